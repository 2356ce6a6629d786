//! Programs of .NET in a single file, which holds the runtime and all assemblies: the fixtures, in hosts that others have published, tell the same
//! as in a runtime of their own, from every kind of dump, with the file and without it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::dotnet_locks::{LOCKS, MONITORS, OTHERS, at_rest, expect, list, waits};
use support::{Dotnet, SingleFileHost, Stack, Started, Stored, dumpscope, run};

/// `fixtures/dotnet-locks` at rest, in every host there is, with its file and its major version.
fn each_host(stored: Stored, test: impl Fn(&SingleFileHost, &Started, &Path, u32)) {
    for host in SingleFileHost::all() {
        println!(".NET {}", host.version);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = host.program("dotnet-locks", "Locks", stored, folder.path());
        let mut command = Command::new(&program);
        let (process, printed) = Started::ready(command.env("DOTNET_TieredCompilation", "0"), "libstdc++6");
        assert_eq!(printed, host.version);
        process.at_rest();
        let major = host.version.split('.').next().and_then(|major| major.parse().ok()).expect("a version");
        test(&host, &process, &program, major);
    }
}

fn collected(kind: &str, process: &Started, folder: &Path) -> PathBuf {
    let dump = folder.join(kind);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "--type", kind, "-p", &process.pid().to_string(), "-o"]).arg(&dump);
    run(command).expect_status(0);
    dump
}

fn gcore(process: &Started, folder: &Path) -> PathBuf {
    let mut command = Command::new("gcore");
    command.arg("-o").arg(folder.join("gcore")).arg(process.pid().to_string());
    run(command).expect_status(0);
    folder.join(format!("gcore.{}", process.pid()))
}

/// The same of a moment in which every thread waits that does so by the source.
fn resting(dump: impl Fn() -> PathBuf) -> PathBuf {
    at_rest(dump, |dump| answers(dump, None, &["threads"]).remove(0))
}

/// What commands answer of a dump, whose program may be given.
fn answers(dump: &Path, program: Option<&Path>, commands: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline"]);
    if let Some(program) = program {
        command.arg("--exe").arg(program);
    }
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// Gives a program another name: to its dumps it is gone.
fn renamed(program: &Path) -> PathBuf {
    let other = program.with_extension("old");
    std::fs::rename(program, &other).expect("in the same folder");
    other
}

/// Version, locks, deadlocks, stacks, as the source of the fixture says.
fn is_told(told: &[Value], version: &str, major: u32) {
    let [runtime, locks, threads, summary, stacks, marks] = told else { panic!("six answers") };
    assert_eq!(runtime["version"], version, "{runtime}");
    let dotnet = &list(marks, "runtimes")[0];
    assert_eq!((&dotnet["name"], &dotnet["version"]), (&".NET".into(), &version.into()), "{dotnet}");
    let evidence = dotnet["evidence"].as_str().expect("a text");
    assert!(evidence.contains("a single-file program"), "{evidence}");
    let waits = waits(locks, threads);
    expect(&waits, MONITORS);
    expect(&waits, OTHERS);
    if major >= 9 {
        expect(&waits, LOCKS);
    }
    let titles: Vec<&str> = list(summary, "findings").iter().filter_map(|finding| finding["title"].as_str()).collect();
    let parts = ["deadlock", "till-owner", "stock-owner", "Shop.Program.Till", "Shop.Program.Stock"];
    assert!(titles.iter().any(|title| parts.iter().all(|part| title.contains(part))), "{titles:#?}");
    let all = Stack::all(stacks);
    assert!(
        all.iter().all(|stack| stack.end == "bottom"),
        "{:?}",
        all.iter().map(|stack| &stack.end).collect::<Vec<_>>()
    );
    let of = |name: &str| {
        let thread = list(threads, "threads").iter().find(|thread| thread["name"] == name).expect("a thread");
        all.iter().find(|stack| Some(stack.tid) == thread["tid"].as_u64()).expect("its stack")
    };
    // What the source keeps from being inlined: see its attributes.
    for (thread, method) in [
        ("till-owner", "Shop.Program.TakeBoth"),
        ("stock-owner", "Shop.Program.TakeBoth"),
        ("account-owner", "Shop.Program.Hold"),
        ("prices-maker", "Shop.Prices.Read"),
    ] {
        assert!(of(thread).has_run(&Value::from(vec![method])), "{thread}: {:#?}", of(thread).functions());
    }
    // Code of .NET has its name everywhere, of the framework as of the program.
    for stack in &all {
        for frame in stack.frames.iter().filter(|frame| frame["kind"] == "managed") {
            assert!(frame["function"].is_string(), "{frame}");
        }
    }
    let main = all.iter().filter(|stack| stack.has_run(&Value::from(vec!["Shop.Program.Main"]))).count();
    assert_eq!(main, 1);
}

const ASKED: [&str; 6] = ["eeversion", "locks", "threads", "summary", "stack --all", "runtimes"];

#[test]
#[ignore = "needs .NET in single files: tests/run takes it where .NET is"]
fn every_dump_tells_what_the_source_says_with_and_without_the_file() {
    each_host(Stored::AsItIs, |host, process, program, major| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ours = ["full", "heap", "mini"].map(|kind| resting(|| collected(kind, process, folder.path())));
        let gdbs = resting(|| gcore(process, folder.path()));
        let told = |dump: &Path, program: Option<&Path>| {
            println!("{}, {program:?}", dump.display());
            is_told(&answers(dump, program, &ASKED), host.version, major);
        };
        for dump in ours.iter().chain([&gdbs]) {
            told(dump, None);
        }
        let other = renamed(program);
        for dump in &ours {
            told(dump, None);
        }
        told(&gdbs, Some(&other));
        // gdb writes nothing of a mapped file that is as it was: names of the program's own are in its assembly alone.
        let without = answers(&gdbs, None, &ASKED);
        assert_eq!(without[0]["version"], host.version);
        let waits = waits(&without[1], &without[2]);
        for (thread, kind, _, owner, recursion) in MONITORS.iter().filter(|(_, kind, ..)| *kind == "monitor") {
            let (told, _, of, times) = &waits[*thread];
            assert_eq!((told.as_str(), of.as_deref(), times), (*kind, *owner, recursion), "{thread}");
        }
        assert!(Stack::all(&without[4]).iter().all(|stack| stack.end == "bottom"));
    });
}

#[test]
#[ignore = "needs .NET in single files: tests/run takes it where .NET is"]
fn assemblies_that_were_compressed_are_in_every_dump() {
    // What the runtime has unpacked is its own memory, which gdb writes too.
    each_host(Stored::Compressed, |host, process, program, major| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut dumps: Vec<PathBuf> =
            ["full", "heap", "mini"].map(|kind| resting(|| collected(kind, process, folder.path()))).into();
        dumps.push(resting(|| gcore(process, folder.path())));
        renamed(program);
        for dump in &dumps {
            println!("{}", dump.display());
            is_told(&answers(dump, None, &ASKED), host.version, major);
        }
    });
}

#[test]
#[ignore = "needs .NET in single files: tests/run takes it where .NET is"]
fn a_live_process_is_told_as_one() {
    each_host(Stored::AsItIs, |host, process, _, _| {
        let output = dumpscope!("ps", "--all", "--json").expect_status(0).data("ps");
        let row = list(&output, "processes").iter().find(|row| row["pid"] == process.pid()).expect("it runs");
        let [runtime] = list(row, "runtimes") else { panic!("one runtime: {row}") };
        assert_eq!((&runtime["kind"], &runtime["version"]), (&"dotnet".into(), &host.version.into()), "{row}");
        let evidence = runtime["evidence"].as_str().expect("a text");
        assert!(evidence.contains("a single-file program"), "{evidence}");
    });
}

#[test]
#[ignore = "needs .NET in single files: tests/run takes it where .NET is"]
fn asynchronous_methods_that_wait_are_told() {
    for host in SingleFileHost::all() {
        println!(".NET {}", host.version);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = host.program("dotnet-async", "Async", Stored::AsItIs, folder.path());
        let mut command = Command::new(&program);
        let (process, printed) = Started::ready(command.env("DOTNET_TieredCompilation", "0"), "libstdc++6");
        assert_eq!(printed, host.version);
        let dump = collected("heap", &process, folder.path());
        renamed(&program);
        let told = answers(&dump, None, &["dumpasync --type Impatient"]).remove(0);
        // It is called once, and has a single `await`.
        let [stack] = list(&told, "stacks") else { panic!("one stack: {told}") };
        let frame = list(stack, "frames")
            .iter()
            .find(|frame| frame["method"].as_str().is_some_and(|method| method.starts_with("Shop.Program.Impatient")));
        assert_eq!(frame.unwrap_or_else(|| panic!("no method: {stack}"))["state"], 0, "{stack}");
    }
}

#[test]
#[ignore = "needs .NET in single files: tests/run takes it where .NET is"]
fn objects_are_counted_as_the_source_makes_them() {
    // Each `new` of a static field; the Parcel's finalizer waits and holds it.
    const OBJECTS: [(&str, u64); 7] = [
        ("Shop.Account", 1),
        ("Shop.Parcel", 1),
        ("System.Threading.Barrier", 3),
        ("System.Threading.CountdownEvent", 1),
        ("System.Threading.ReaderWriterLockSlim", 3),
        ("System.Threading.ReaderWriterLock", 1),
        ("System.Threading.Mutex", 1),
    ];
    each_host(Stored::AsItIs, |_, process, program, _| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dumps = ["full", "heap"].map(|kind| collected(kind, process, folder.path()));
        for is_there in [true, false] {
            if !is_there {
                renamed(program);
            }
            for dump in &dumps {
                let told = answers(dump, None, &["dumpheap -stat", "verifyheap"]);
                let rows = list(&told[0], "types");
                for (name, count) in OBJECTS {
                    let row = rows.iter().find(|row| row["type"] == name).unwrap_or_else(|| panic!("no {name}"));
                    assert_eq!(row["count"], count, "{row}");
                }
                assert!(rows.iter().all(|row| row["type"].is_string()), "{rows:#?}");
                assert_eq!(told[1]["verdict"], "intact", "{}", told[1]);
            }
        }
    });
}

#[test]
#[ignore = "needs .NET, and in single files: tests/run takes it where it is"]
fn createdump_of_another_runtime_writes_a_full_dump_that_is_told() {
    // A host has none with it; that of a runtime writes all memory without its help.
    let (_, runtime) = Dotnet::find().runtimes.pop().expect("one is there");
    each_host(Stored::AsItIs, |host, process, program, major| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = resting(|| {
            let dump = folder.path().join("full");
            let mut command = Command::new(runtime.join("createdump"));
            command.args(["--full", "-f"]).arg(&dump).arg(process.pid().to_string());
            run(command).expect_status(0);
            dump
        });
        is_told(&answers(&dump, None, &ASKED), host.version, major);
        renamed(program);
        is_told(&answers(&dump, None, &ASKED), host.version, major);
    });
}

#[test]
#[ignore = "needs .NET in single files: tests/run takes it where .NET is"]
fn an_exception_that_nobody_caught_is_told_from_a_core_of_the_kernel() {
    for host in SingleFileHost::all() {
        println!(".NET {}", host.version);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = host.program("dotnet-endings", "Endings", Stored::AsItIs, folder.path());
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c unlimited; exec ./Endings chain"]).current_dir(folder.path());
        let ended = run(command);
        assert!(ended.stderr.contains("Endings.Broken: outermost"), "{}", ended.stderr);
        let files = std::fs::read_dir(folder.path()).expect("a folder");
        let mut cores = files.flatten().map(|file| file.path()).filter(|file| *file != program);
        let core = cores.next().expect("a core: sysctl -w kernel.core_pattern=core");
        let told = answers(&core, None, &["summary", "printexception", "eeversion"]);
        let title = told[0]["findings"][0]["title"].as_str().expect("a title");
        assert!(title.starts_with("uncaught Endings.Broken: outermost"), "{title}");
        let outer = &told[1]["exceptions"][0];
        assert_eq!((&outer["type"], &outer["message"]), (&"Endings.Broken".into(), &"outermost".into()));
        let middle = &outer["inner"];
        assert_eq!((&middle["type"], &middle["message"]), (&"System.ArgumentException".into(), &"middle".into()));
        assert_eq!(
            (&middle["inner"]["type"], &middle["inner"]["message"]),
            (&"Endings.Broken".into(), &"innermost".into())
        );
        assert_eq!(told[2]["version"], host.version);
    }
}
