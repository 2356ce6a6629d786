//! .NET processes. `collect`: ClrMD, the library beneath dotnet-dump, reads of our dumps what it reads of createdump's of the same process.
//! Reading: threads and frames of createdump's dumps are those that Microsoft's own library tells of them, without any file of the target.

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
        let process = dotnet.start(version, "dotnet-shop", "Shop");
        await_sleep(process.pid());
        test(&dotnet, &runtime.join("createdump"), &process);
    }
}

/// What the program prints is read before its first thread has come back from printing: it sleeps once it waits in one place.
fn await_sleep(pid: u32) {
    // Number of the call, arguments, stack pointer, program counter. Source: proc(5), and syscall_64.tbl for futex.
    let call = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/syscall")).unwrap_or_default();
    let mut before = String::new();
    wait_for("the first thread to sleep", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = call();
        let is_same = now.starts_with("202 ") && now == before;
        before = now;
        is_same
    });
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

/// Each of them opens a pipe that a debugger would open too, and waits in that for ever.
#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn the_thread_that_waits_for_a_debugger_is_no_warning() {
    each_runtime(|_, _, process| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = collect(process, &["--type", "mini"], folder.path().join("core"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.arg("analyze").arg(&dump).args(["-c", "summary", "-c", "threads", "--json"]);
        let output = run(command).expect_status(0);
        let (summary, threads) = (output.data("summary").to_string(), output.data("threads").to_string());
        assert!(threads.contains("clr-debug-pipe") && threads.contains("a debugger"), "{threads}");
        assert!(!summary.contains("there is no answer yet"), "{summary}");
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
            for (command, (full, mut other)) in SHOWN.iter().zip(full.iter().zip(shown(kind))) {
                let mut full = full.clone();
                if (*command, kind) == ("locks", "mini") {
                    // The lock that its owner alone has is told by the object's header alone: that is in the heap, of which a mini dump has some pages, and
                    // says what it lacks.
                    let without = |told: &mut Value| {
                        let locks = told["data"]["locks"].as_array_mut().expect("locks");
                        let all = locks.len();
                        locks.retain(|lock| lock["evidence"] != "object-header");
                        all - locks.len()
                    };
                    let (of_full, of_other) = (without(&mut full), without(&mut other));
                    assert!(of_full == 1 && of_other <= 1, "{of_full}, {of_other}");
                    let warnings = other["warnings"].as_array_mut().expect("warnings");
                    let all = warnings.len();
                    warnings.retain(|warning| warning["code"] != "locks-unread");
                    // A heap as small as this program's may be there whole.
                    assert!(warnings.len() < all || of_other == 1, "{warnings:?}");
                }
                assert_eq!(difference(&full, &other, ""), None, "{command} of full and {kind}");
            }
        }
        // What only the heap tells is told as by the full one, or said not to have been read.
        const OF_HEAP: [&str; 4] = ["dumpasync", "dumprequests", "dumphttp", "dumpexceptions"];
        let [full, mini] = ["full", "mini"].map(|kind| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
            command.arg("analyze").arg(folder.path().join(kind)).args(["--json", "--offline"]);
            command.args(OF_HEAP.iter().flat_map(|command| ["-c", command]));
            run(command).documents()
        });
        for (command, (full, mini)) in OF_HEAP.iter().zip(full.iter().zip(&mini)) {
            let said = format!("{}{}", mini["warnings"], mini["error"]);
            let is_said = said.contains("not in the dump") && said.contains("heap");
            assert!(is_said || difference(&full["data"], &mini["data"], "").is_none(), "{command}: {mini}");
        }
    });
}

/// A dump of createdump's, and what it told of the stacks at the same stop.
fn reported(process: &Started, createdump: &Path, flag: &str, folder: &Path) -> (PathBuf, Value) {
    let dump = folder.join(format!("reported{flag}"));
    let mut command = Command::new(createdump);
    command.args([flag, "--crashreport", "-f"]).arg(&dump).arg(process.pid().to_string());
    run(command).expect_status(0);
    let report = std::fs::read(format!("{}.crashreport.json", dump.display())).expect("the report");
    (dump, serde_json::from_slice(&report).expect("JSON"))
}

/// What commands answer of a dump on a machine that has no file of its process.
fn answers(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(nowhere.path());
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// `0x7f…` as a number.
fn number(value: &Value) -> u64 {
    support::as_address(value).unwrap_or_else(|| panic!("{value} is no address"))
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn managed_frames_are_those_that_createdump_reports() {
    each_runtime(|_, createdump, process| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for flag in ["--withheap", "--normal", "--triage"] {
            let (dump, report) = reported(process, createdump, flag, folder.path());
            let told = answers(&dump, &["stack --all"]).remove(0);
            let ours = told["threads"].as_array().expect("threads");
            let mut named = 0;
            for thread in report["payload"]["threads"].as_array().expect("threads") {
                let tid = number(&thread["native_thread_id"]);
                let ours = ours.iter().find(|own| own["tid"] == tid).unwrap_or_else(|| panic!("no thread {tid}"));
                let mut frames: Vec<&Value> = ours["frames"].as_array().expect("frames").iter().collect();
                // An inlined call has the place of the frame that holds it.
                frames.retain(|frame| frame["kind"] != "inline");
                let theirs = thread["stack_frames"].as_array().expect("frames");
                let mut theirs: Vec<&Value> = theirs.iter().filter(|frame| frame["native_address"] != "0x0").collect();
                // Of the first thread it tells nothing beyond Main; without the host's tables, which are not in the dump, neither do we.
                if theirs.last().is_some_and(|frame| frame["method_name"] == "Shop.Program.Main()") {
                    frames.truncate(theirs.len());
                }
                // Of the native code that waits for us, small dumps lack the tables: the frames below the first managed one are compared.
                let first = theirs.iter().position(|frame| frame["is_managed"] == "true").unwrap_or(0);
                theirs.drain(..first);
                let start = frames.iter().position(|frame| number(&frame["sp"]) == number(&theirs[0]["stack_pointer"]));
                frames.drain(..start.unwrap_or_else(|| panic!("{flag}: no frame at {}: {ours}", theirs[0])));
                assert_eq!(frames.len(), theirs.len(), "{flag}, thread {tid}: {ours}");
                for (index, (own, their)) in frames.iter().zip(&theirs).enumerate() {
                    assert_eq!(number(&own["sp"]), number(&their["stack_pointer"]), "{flag}, thread {tid}: {own}");
                    let (pc, reported) = (number(&own["pc"]), number(&their["native_address"]));
                    // Of code that has called native code createdump tells a place a little before: that of a helper's call.
                    let inner = index.checked_sub(1).and_then(|inner| frames.get(inner));
                    let called_native = inner.is_none_or(|inner| inner["kind"] != "managed");
                    let called_native = called_native && pc > reported && pc - reported < 0x30;
                    assert!(pc == reported || called_native, "{flag}, thread {tid}: {own}, not {their}");
                    if let Some(name) = their["method_name"].as_str() {
                        assert_eq!((own["function"].as_str(), &own["kind"]), (Some(name), &Value::from("managed")));
                        assert_eq!(own["module"], their["filename"], "{own}");
                        named += 1;
                    }
                }
            }
            // Main, two threads that take both locks, one that takes one twice, one that handles an exception: fixtures/dotnet-shop/Shop.cs.
            assert!(named >= 9, "{flag}: {named} frames have names");
        }
    });
}

#[test]
#[ignore = "needs .NET and ClrMD: tests/run takes them where they are"]
fn managed_threads_are_those_that_clrmd_reads() {
    each_runtime(|dotnet, createdump, process| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (dump, report) = reported(process, createdump, "--withheap", folder.path());
        let told = answers(&dump, &["clrthreads", "threads", "eeversion", "printexception"]);
        let theirs = threads(dotnet, &dump);
        let theirs = theirs.as_array().expect("threads");
        let ours = told[0]["threads"].as_array().expect("threads");
        assert_eq!((ours.len(), &told[0]["count"]), (theirs.len(), &Value::from(theirs.len())));
        for (own, their) in ours.iter().zip(theirs) {
            assert_eq!((&own["id"], &own["tid"]), (&their["managed_id"], &their["os_id"]));
            assert_eq!(number(&own["address"]), number(&their["address"]));
            assert_eq!(own["state"].to_string(), their["state"].as_str().expect("a number"));
            assert_eq!(own["mode"].as_str(), their["gc_mode"].as_str().map(str::to_ascii_lowercase).as_deref());
            assert_eq!(own["role"] == "finalizer", their["finalizer"] == true);
            let exception = (&own["last_exception"]["address"], &own["last_exception"]["type"]);
            assert_eq!(exception, (&their["exception"]["address"], &their["exception"]["type"]), "{own}");
        }
        // One thread handles an exception: it is in flight, with the stack at which it was thrown.
        let (told_exceptions, handler) =
            (&told[3]["exceptions"], theirs.iter().find(|thread| !thread["exception"].is_null()));
        let handler = handler.expect("one has thrown");
        let (exception, wanted) = (&told_exceptions[0], &handler["exception"]);
        assert_eq!(told_exceptions.as_array().map(Vec::len), Some(1), "{told_exceptions}");
        assert_eq!((&exception["tid"], &exception["fatal"]), (&handler["os_id"], &Value::from(false)));
        for (own, their) in ["address", "type", "message"].map(|part| (&exception[part], &wanted[part])) {
            assert_eq!(own, their);
        }
        let frames = exception["frames"].as_array().expect("frames").iter().map(|frame| frame["function"].clone());
        assert_eq!(Value::from_iter(frames), wanted["trace"]);
        // What ClrMD does not tell, the source does: fixtures/dotnet-shop/Shop.cs.
        let names: Vec<&str> = ours.iter().filter_map(|thread| thread["name"].as_str()).collect();
        assert_eq!(names, ["cashier", "clerk", "owner", "handler"]);
        let cashier = ours.iter().find(|thread| thread["name"] == "cashier").expect("it is there");
        let all = told[1]["threads"].as_array().expect("threads");
        let shown = all.iter().find(|thread| thread["name"] == "cashier").expect("it has its name");
        assert_eq!((&shown["runtime_id"], &shown["tid"]), (&cashier["id"], &cashier["tid"]));
        assert_eq!(shown["top"], "Shop.Program.TakeBoth(System.Object, System.Object)");
        let version = report["payload"]["configuration"]["version"].as_str().expect("a version");
        let (version, _) = version.split_once(' ').expect("a commit behind it");
        let folder = createdump.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        assert_eq!(told[2]["version"].as_str(), folder);
        assert!(told[2]["full_version"].is_null() || told[2]["full_version"] == version);
        assert_eq!(told[2]["server_gc"], false);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn our_own_dumps_tell_version_commit_and_frames() {
    each_runtime(|_, createdump, process| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (dump, report) = reported(process, createdump, "--withheap", folder.path());
        let frames = |dump: &Path| {
            let told = answers(dump, &["stack --all"]).remove(0);
            let of = |thread: &Value| {
                let frames = thread["frames"].as_array().expect("frames").iter();
                let managed = frames.filter(|frame| frame["kind"] == "managed");
                (thread["tid"].clone(), managed.map(|frame| frame["function"].clone()).collect::<Vec<_>>())
            };
            // The first thread may still be about to print.
            told["threads"].as_array().expect("threads").iter().skip(1).map(of).collect::<Vec<_>>()
        };
        let (wanted, version) = (frames(&dump), &report["payload"]["configuration"]["version"]);
        for kind in ["full", "heap", "mini"] {
            let dump = collect(process, &["--type", kind], folder.path().join(kind));
            assert_eq!(frames(&dump), wanted, "{kind}");
            let told = answers(&dump, &["eeversion"]).remove(0);
            let said = format!(
                "{} @Commit: {} ",
                told["full_version"].as_str().unwrap_or("?"),
                told["commit"].as_str().unwrap_or("?")
            );
            assert_eq!(version.as_str(), Some(said.as_str()), "{kind}");
        }
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn an_exception_that_nobody_catches_is_told_first_with_what_caused_it() {
    let dotnet = Dotnet::find();
    let program = support::repository().join("fixtures/dotnet-crash/Crash.dll");
    for (version, _) in &dotnet.runtimes {
        println!(".NET {version}");
        // 1 is createdump's mini dump, 2 the one with the heap, 3 triage.
        for (kind, thread) in [("1", None), ("2", None), ("2", Some("packer")), ("3", None)] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let dump = folder.path().join("crash");
            let mut command = dotnet.command(version, &program);
            command.args(thread).env("DOTNET_DbgEnableMiniDump", "1").env("DOTNET_DbgMiniDumpType", kind);
            command.env("DOTNET_DbgMiniDumpName", &dump);
            let ended = run(command);
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(6), "{}", ended.stderr);
            assert!(ended.stderr.contains("Shop.OutOfStock: no pears"), "{}", ended.stderr);
            let told = answers(&dump, &["summary", "printexception"]);
            let exception = &told[1]["exceptions"][0];
            assert_eq!(
                (&exception["fatal"], &exception["type"]),
                (&true.into(), &"Shop.OutOfStock".into()),
                "{exception}"
            );
            // createdump may leave texts out of a triage dump.
            let is_left_out = kind == "3" && exception["message"].is_null();
            assert!(is_left_out || exception["message"] == "no pears", "{kind}: {exception}");
            assert_eq!(exception["kind"], "dotnet");
            assert_eq!(exception["inner"]["type"], "System.FormatException");
            let functions = |exception: &Value| {
                let frames = exception["frames"].as_array().expect("frames").iter();
                frames.map(|frame| frame["function"].as_str().unwrap_or("?").to_owned()).collect::<Vec<_>>()
            };
            // As the runtime prints them, but for what it hides there: the frame that throws for Int32.Parse.
            let frames = functions(exception);
            assert_eq!(frames[0], "Shop.Program.Take(System.String)", "{kind}");
            let main = "Shop.Program.Main(System.String[])".to_owned();
            assert_eq!(frames.contains(&main), thread.is_none(), "{frames:?}");
            let inner = functions(&exception["inner"]);
            let mine = inner.iter().filter(|name| name.starts_with("Shop."));
            assert_eq!(
                mine.collect::<Vec<_>>(),
                ["Shop.Program.Count(System.String)", "Shop.Program.Take(System.String)"]
            );
            let title = told[0]["findings"][0]["title"].as_str().expect("a title");
            assert!(title.starts_with("uncaught Shop.OutOfStock"), "{title}");
        }
    }
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_core_of_gdb_takes_what_it_lacks_of_assemblies_from_their_files() {
    each_runtime(|_, createdump, process| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (dump, _) = reported(process, createdump, "--withheap", folder.path());
        let mut command = Command::new("gcore");
        command.arg("-o").arg(folder.path().join("gdb")).arg(process.pid().to_string());
        run(command).expect_status(0);
        let core = folder.path().join(format!("gdb.{}", process.pid()));
        let told = |dump: &Path| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
            command.arg("analyze").arg(dump).args(["--json", "--offline", "-c", "stack --all"]);
            run(command).expect_status(0).documents().remove(0)
        };
        let managed = |told: &Value| {
            let threads = told["data"]["threads"].as_array().expect("threads").iter();
            // The first thread may still be about to print. gdb has an order of its own.
            let of = |thread: &Value| {
                let frames = thread["frames"].as_array().expect("frames").iter();
                let frames = frames.filter(|frame| frame["kind"] == "managed").map(|frame| frame["function"].clone());
                (thread["tid"].as_u64().expect("an id"), frames.collect::<Vec<_>>())
            };
            let threads = threads.map(of).filter(|(tid, _)| *tid != u64::from(process.pid()));
            threads.collect::<BTreeMap<_, _>>()
        };
        let of_gdb = told(&core);
        assert_eq!(managed(&of_gdb), managed(&told(&dump)));
        // gdb keeps nothing of files that were not written: that they are the same is not known.
        let mut warnings = of_gdb["warnings"].as_array().expect("warnings").iter();
        assert!(warnings.any(|warning| warning["code"] == "assembly-unverified"), "{}", of_gdb["warnings"]);
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_core_of_the_kernel_names_types_and_methods_by_the_files_of_assemblies() {
    let dotnet = Dotnet::find();
    let program = support::repository().join("fixtures/dotnet-crash/Crash.dll");
    for (version, _) in &dotnet.runtimes {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let crash = dotnet.command(version, &program);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"]).arg(crash.get_program());
        command.args(crash.get_args()).arg("packer").current_dir(folder.path());
        run(command);
        let mut files = std::fs::read_dir(folder.path()).expect("it is there").flatten();
        let core = files.next().expect("a core: sysctl -w kernel.core_pattern=core");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.arg("analyze").arg(core.path()).args([
            "--json",
            "--offline",
            "-c",
            "printexception",
            "-c",
            "stack --all",
        ]);
        let told = run(command).expect_status(0).documents();
        let exception = &told[0]["data"]["exceptions"][0];
        assert_eq!((&exception["fatal"], &exception["type"]), (&true.into(), &"Shop.OutOfStock".into()), "{version}");
        assert_eq!(
            (&exception["message"], &exception["inner"]["type"]),
            (&"no pears".into(), &"System.FormatException".into())
        );
        let thread =
            told[1]["data"]["threads"].as_array().expect("threads").iter().find(|own| own["tid"] == exception["tid"]);
        let frames = thread.expect("it is there")["frames"].as_array().expect("frames");
        assert!(frames.iter().any(|frame| frame["function"] == "Shop.Program.Take(System.String)"), "{frames:?}");
        // Assemblies are no ELF files: none is refused for that.
        let warnings = told[1]["warnings"].as_array().expect("warnings").iter();
        let mut messages = warnings.map(|warning| warning["message"].as_str().expect("a message"));
        assert!(!messages.any(|message| message.contains(".dll")), "{}", told[1]["warnings"]);
    }
}
