//! `collect` on .NET processes: ClrMD, the library beneath dotnet-dump, reads of our dumps what it reads of createdump's of the same process.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, difference, run, signal, wait_for, without_remainders};

/// A process of every version there is, with `createdump` of its runtime.
fn each_runtime(test: impl Fn(&Dotnet, &Path, &Started)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        println!(".NET {version}");
        test(&dotnet, &runtime.join("createdump"), &dotnet.start(version, "dotnet-shop", "Shop"));
    }
}

fn collect(process: &Started, options: &[&str], to: PathBuf) -> PathBuf {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "-p", &process.pid().to_string(), "-o"]).arg(&to).args(options);
    let said = run(command).expect_status(0);
    assert!(!said.stderr.contains("not possible"), "{}", said.stderr);
    to
}

/// Managed threads with their frames, without what ClrMD says of itself.
fn threads(dotnet: &Dotnet, dump: &Path) -> Value {
    dotnet.clrmd("threads", dump)["threads"].take()
}

/// Objects and bytes of each type of the heap, by method table, and how many are damaged.
fn heap(dotnet: &Dotnet, dump: &Path) -> (Value, BTreeMap<String, Value>) {
    let answer = dotnet.clrmd("heap", dump);
    let types = answer["types"].as_array().expect("types").iter();
    let types = types.map(|kind| (kind["mt"].as_str().expect("a table").to_owned(), kind.clone())).collect();
    (answer["invalid"].clone(), types)
}

#[test]
#[ignore = "needs .NET and ClrMD: tests/run takes them where they are"]
fn clrmd_reads_our_dumps_as_it_reads_createdumps() {
    each_runtime(|dotnet, createdump, process| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let theirs = |flag: &str| {
            let dump = folder.path().join(format!("createdump{flag}"));
            let mut command = Command::new(createdump);
            command.args([flag, "-f"]).arg(&dump).arg(process.pid().to_string());
            run(command).expect_status(0);
            dump
        };
        let (full, with_heap) = (theirs("--full"), theirs("--withheap"));
        let (invalid, types) = heap(dotnet, &full);
        // What the source says: fixtures/dotnet-shop/Shop.cs.
        let count = |name: &str| types.values().find(|kind| kind["name"] == name).map(|kind| kind["count"].clone());
        assert_eq!(count("Shop.Customer"), Some(1000.into()));
        assert_eq!(count("Shop.Box<Shop.Customer>"), Some(100.into()));
        let (all, most) = (threads(dotnet, &full), threads(dotnet, &with_heap));
        // Four of its own, the first, and that of finalizers.
        assert!(all.as_array().is_some_and(|threads| threads.len() == 6), "{all}");
        // createdump's dump with heap has no name for what was made at run time, ours neither.
        for (kind, mode, expected) in [
            ("full", "direct", &all),
            ("full", "fork", &all),
            ("heap", "direct", &most),
            ("heap", "fork", &most),
            ("mini", "direct", &most),
        ] {
            let ours =
                collect(process, &["--type", kind, "--mode", mode], folder.path().join(format!("{kind}-{mode}")));
            let seen = threads(dotnet, &ours);
            assert_eq!(difference(expected, &seen, ""), None, "threads of {kind}, {mode}");
            if kind == "mini" {
                let dump = std::fs::metadata(&ours).expect("the dump");
                // createdump has read all stacks, 8 MiB each, to their lower ends: that does not make them the runtime's memory.
                let bytes = (dump.blocks() * 512, dump.len());
                assert!(bytes.0 < 60_000_000 && bytes.1 < 80_000_000, "{bytes:?} bytes");
            } else {
                assert_eq!(heap(dotnet, &ours), (invalid.clone(), types.clone()), "heap of {kind}, {mode}");
            }
        }
        let locks = |dump: &Path| {
            let mut answer = dotnet.clrmd("locks", dump);
            [answer["sync_blocks"].take(), answer["thin_locks"].take()]
        };
        assert_eq!(locks(&folder.path().join("heap-direct")), locks(&with_heap));
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_mini_dump_shows_what_a_full_one_shows() {
    const SHOWN: [&str; 6] = ["threads", "stack --all", "locks", "printexception", "modules", "registers"];
    each_runtime(|_, _, process| {
        signal(process.pid(), "STOP");
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("it is alive");
        wait_for("it to stop", || state().contains(") T "));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shown = |kind: &str| {
            let dump = collect(process, &["--type", kind], folder.path().join(kind));
            let commands = SHOWN.iter().flat_map(|command| ["-c", command]);
            let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
            command.arg("analyze").arg(dump).args(["--json", "--offline"]).args(commands);
            let mut documents = run(command).expect_status(0).documents();
            documents.iter_mut().for_each(without_remainders);
            documents
        };
        let full = shown("full");
        for kind in ["heap", "mini"] {
            for (command, (full, other)) in SHOWN.iter().zip(full.iter().zip(shown(kind))) {
                assert_eq!(difference(full, &other, ""), None, "{command} of full and {kind}");
            }
        }
    });
}
