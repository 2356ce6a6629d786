//! Mini and triage dumps of .NET processes: what a mini dump shows of threads, stacks, waits and exceptions is what the full dump of the same
//! moment shows, and neither is much larger than createdump's.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, Started, difference, run, signal, wait_for};

/// Bytes that a dump of ours may have beyond createdump's: the names and unwind tables of all native libraries, by which it is read where none of
/// their files are, their data, and what pointers on stacks lead to.
const MARGIN: u64 = 12 << 20;

/// Has a process stand still.
fn stop(process: &Started) {
    signal(process.pid(), "STOP");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("it is alive");
    wait_for("it to stop", || state().contains(") T "));
}

fn collect(process: &Started, kind: &str, folder: &Path) -> PathBuf {
    let to = folder.join(kind);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "-p", &process.pid().to_string(), "--type", kind, "-o"]).arg(&to);
    run(command).expect_status(0);
    to
}

fn shown(dump: &Path, sysroot: Option<&Path>, commands: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline"]);
    command.args(sysroot.iter().flat_map(|folder| [Path::new("--sysroot"), folder]));
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().for_each(without_what_passes);
    documents
}

/// Takes out what goes on while a process stands still, and what the heap alone tells: how many locks a thread has.
fn without_what_passes(told: &mut Value) {
    match told {
        Value::Object(members) => {
            for name in ["left_ms", "lock_count"] {
                members.remove(name);
            }
            members.values_mut().for_each(without_what_passes);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_what_passes),
        _ => {}
    }
}

/// Locks that somebody waits for: those that are held alone are told by the heap, of which a mini dump has some pages.
fn waited(told: &Value) -> Vec<Value> {
    let locks = told["data"]["locks"].as_array().unwrap_or_else(|| panic!("no locks: {told}")).iter();
    locks.filter(|lock| lock["waiters"].as_array().is_some_and(|waiters| !waiters.is_empty())).cloned().collect()
}

/// Bytes that a file takes.
fn size(file: &Path) -> u64 {
    std::fs::metadata(file).expect("the dump").blocks() * 512
}

fn compare(process: &Started, createdump: &Path) {
    stop(process);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let [full, mini, triage] = ["full", "mini", "triage"].map(|kind| collect(process, kind, folder.path()));
    for sysroot in [None, Some(nowhere.path())] {
        const SAME: [&str; 4] = ["stack --all", "threads", "printexception", "clrthreads"];
        let told = [&full, &mini].map(|dump| shown(dump, sysroot, &[&SAME[..], &["locks"]].concat()));
        let [full, mini] = &told;
        for (command, (full, mini)) in SAME.iter().zip(full.iter().zip(mini)) {
            let (full, mini) = (&full["data"], &mini["data"]);
            assert!(full.is_object(), "{command}");
            assert_eq!(difference(full, mini, ""), None, "{command}, {sysroot:?}");
        }
        let [full_locks, mini_locks] = [full, mini].map(|told| &told[SAME.len()]);
        assert_eq!(waited(full_locks), waited(mini_locks));
        assert_eq!(full_locks["data"]["deadlocks"], mini_locks["data"]["deadlocks"]);
    }
    for (flag, ours) in [("--normal", &mini), ("--triage", &triage)] {
        let theirs = folder.path().join("theirs");
        let mut command = Command::new(createdump);
        command.args([flag, "-f"]).arg(&theirs).arg(process.pid().to_string());
        run(command).expect_status(0);
        let (ours, theirs) = (size(ours), size(&theirs));
        println!("{flag}: {ours} bytes, createdump's {theirs}");
        assert!(ours < theirs + MARGIN, "{flag}: {ours} bytes, createdump's {theirs}");
    }
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_mini_dump_of_waiting_threads_shows_what_the_full_one_shows() {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        println!(".NET {version}");
        let process = dotnet.start(version, "dotnet-locks", "Locks");
        process.at_rest();
        compare(&process, &runtime.join("createdump"));
    }
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_mini_dump_of_a_server_shows_what_the_full_one_shows() {
    let dotnet = Dotnet::find();
    for major in [9, 10] {
        println!("ASP.NET Core {major}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (process, createdump) = dotnet.start_web(major, "dotnet-web", "Web", folder.path());
        compare(&process, &createdump);
    }
}
