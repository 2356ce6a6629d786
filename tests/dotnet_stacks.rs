//! Stacks of .NET processes: of every kind of frame, of threads that never wait, of threads that are stopped for a collection, of a full
//! stack. They are those that Microsoft's own library tells of the same stop, without any file of the target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::core_parts::{Part, leave_out, parts, unwind_tables};
use support::{CrashReport, Dotnet, ReportedFrame, Started, as_address, plain, run};

/// A frame of ours.
#[derive(Clone, Debug)]
struct Frame {
    pc: u64,
    sp: u64,
    kind: String,
    function: String,
}

/// What commands answer of a dump on a machine that has no file of its process.
fn answers(dump: &Path, commands: &[&str]) -> Vec<Value> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    answers_with(dump, nowhere.path(), commands)
}

/// The same where the process's files are below a folder.
fn answers_with(dump: &Path, files: &Path, commands: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "--sysroot"]).arg(files);
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let mut documents = run(command).expect_status(0).documents();
    documents.iter_mut().map(|document| document["data"].take()).collect()
}

/// The walked frames of each thread, by its id, and why each stack ends.
fn stacks(dump: &Path) -> BTreeMap<u64, (Vec<Frame>, String)> {
    let nowhere = tempfile::tempdir().expect("a temporary folder");
    stacks_with(dump, nowhere.path())
}

/// The same where the process's files are below a folder.
fn stacks_with(dump: &Path, files: &Path) -> BTreeMap<u64, (Vec<Frame>, String)> {
    let told = answers_with(dump, files, &["stack --all"]).remove(0);
    let number = |value: &Value| as_address(value).unwrap_or_else(|| panic!("{value} is no address"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let frame = |frame: &Value| Frame {
        pc: number(&frame["pc"]),
        sp: number(&frame["sp"]),
        kind: text(&frame["kind"]),
        function: text(&frame["function"]),
    };
    let thread = |thread: &Value| {
        let frames = thread["frames"].as_array().expect("frames").iter().map(frame);
        // An inlined call has the place of the frame that holds it.
        let frames = frames.filter(|frame| frame.kind != "inline").collect();
        (thread["tid"].as_u64().expect("an id"), (frames, text(&thread["end"])))
    };
    told["threads"].as_array().expect("threads").iter().map(thread).collect()
}

/// A fixture on one version, with small stacks, and what it needs to compile code anew while it runs.
fn start(dotnet: &Dotnet, version: &str, argument: &str) -> Started {
    let program = support::repository().join("fixtures/dotnet-frames/Frames.dll");
    let mut command = dotnet.command(version, &program);
    command.arg(argument).env("DOTNET_DefaultStackSize", "40000");
    let (process, printed) = Started::ready(&mut command, "dotnet-runtime-8.0");
    assert_eq!(printed, version);
    let last = match argument {
        "spin" => "call",
        "collect" => "collect",
        _ => {
            // Its first thread may still be writing the line that was read.
            std::thread::sleep(std::time::Duration::from_secs(1));
            return process;
        }
    };
    // The kernel knows the names of threads: proc(5).
    let names = || std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it is alive");
    let is_there = |name: &Path| std::fs::read_to_string(name.join("comm")).is_ok_and(|name| name.trim() == last);
    support::wait_for("the last thread to begin", || names().flatten().any(|task| is_there(&task.path())));
    std::thread::sleep(std::time::Duration::from_secs(1));
    process
}

/// What each version's createdump tells of the fixture, and its dump.
fn each_dump(argument: &str, flags: &[&str], test: impl Fn(&Path, &CrashReport)) {
    let dotnet = Dotnet::find();
    for (version, runtime) in &dotnet.runtimes {
        let process = start(&dotnet, version, argument);
        for flag in flags {
            println!(".NET {version}, {flag}");
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (dump, report) = CrashReport::of(process.pid(), &runtime.join("createdump"), flag, folder.path());
            test(&dump, &report);
        }
    }
}

/// Holds a thread against its report. Of precompiled code that has called native code the library tells a place a little before the call's end.
fn compare(tid: u64, ours: &[Frame], theirs: &[ReportedFrame]) -> Result<usize, String> {
    /// From the label that such code records to the call's end, at most, in bytes.
    const MAX_BEFORE: u64 = 0x32;
    let mut named = 0;
    for their in theirs {
        let place = ours.iter().position(|own| own.sp == their.sp);
        let place = place.ok_or_else(|| format!("thread {tid}: no frame at {:#x}: {their:?}", their.sp))?;
        let own = &ours[place];
        let calls_native = place > 0 && ours[place - 1].kind == "native";
        let is_label = calls_native && own.pc > their.pc && own.pc - their.pc <= MAX_BEFORE;
        // A return address that was replaced to stop the thread: the library tells what replaced it.
        let replaced = own.kind == "managed" && !their.managed && their.method.is_none();
        if own.pc != their.pc && !replaced && !is_label {
            return Err(format!("thread {tid}: {own:x?}, not {their:x?}"));
        }
        if their.managed && !matches!(own.kind.as_str(), "managed" | "stub") {
            return Err(format!("thread {tid}: {own:x?} is managed"));
        }
        if let Some(name) = &their.method {
            let own_name = own.function.split(" of ").next().unwrap_or_default();
            let same = plain(&support::csharp(own_name)) == *name;
            // Type arguments of a type in a generic type stand where they were declared, and at the end.
            if !(same || own_name.contains(">+") && of_method(own_name) == of_method(name)) {
                return Err(format!("thread {tid}: {own_name}, not {name}"));
            }
            named += 1;
        }
    }
    Ok(named)
}

/// `Hold` of `Frames.Box<Int32>+Inner<Int32>.Hold(Int32)`.
fn of_method(name: &str) -> &str {
    let path = name.split('(').next().unwrap_or_default();
    path.rsplit('.').next().unwrap_or_default()
}

/// Threads of which the library lost the stack, or a part: it has no frame of the fixture, or stops before we do.
fn is_lost(ours: &[Frame], theirs: &[ReportedFrame]) -> bool {
    let managed = ours.iter().filter(|own| matches!(own.kind.as_str(), "managed" | "stub"));
    managed.filter(|own| !theirs.iter().any(|their| their.sp == own.sp)).count() > 0
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn every_kind_of_frame_is_told_as_the_runtimes_own_library_tells_it() {
    each_dump("", &["--withheap", "--normal"], |dump, report| {
        let ours = stacks(dump);
        let mut named = 0;
        for (tid, theirs) in &report.0 {
            let (frames, end) = &ours[tid];
            named += compare(*tid, frames, theirs).unwrap_or_else(|why| panic!("{why}"));
            // What the library shows of the first thread ends at Main; the host's tables are not in the dump.
            if !frames.iter().any(|frame| frame.function.contains("Program.Main(")) {
                assert_eq!(end, "bottom", "thread {tid}");
                assert!(!is_lost(frames, theirs), "thread {tid}: {frames:x?}");
            }
        }
        // As the source has them: 48 threads, each with a method of its own, with what called that, and with what it called.
        assert!(named > 200, "{named} frames have names");
        let all: Vec<&Frame> = ours.values().flat_map(|(frames, _)| frames).collect();
        for method in [
            "Frames.Box<System.Int32>.Hold<System.Int64>(Int32, Int64[], System.Collections.Generic.Dictionary<Int32, System.Collections.Generic.List<Int64>>)",
            "Frames.Box<System.Int32>+Inner<System.__Canon>.Hold(Int32, System.__Canon)",
            "Frames.Explicit.Frames.IHold.Hold()",
            "Frames.Program.Draw<Frames.Square>()",
            "DynamicClass.Made(Int32, System.String)",
            "Emitted.Run.Hold(System.Collections.Generic.List<Int32>)",
            "Emitted.Collect.Hold(System.Collections.Generic.List<Int32>)",
            "Frames.Outside.Run(System.Action)",
            "Frames.Program.Replaced(Int64)",
            "Frames.First..cctor()",
            "Frames.Finalized.Finalize()",
        ] {
            let found = all.iter().any(|frame| frame.kind == "managed" && frame.function == method);
            assert!(found, "no frame is {method}");
        }
        // A call with a text as argument goes through a stub, which tells what it calls.
        let stub =
            all.iter().find(|frame| frame.function.ends_with("of Frames.Program.poll(System.String, IntPtr, Int32)"));
        let stub = stub.expect("poll is called by a stub");
        assert!(stub.kind == "stub" && stub.function.starts_with("ILStubClass.IL_STUB_PInvoke("), "{stub:?}");
    });
}

/// Whether a part of a core holds native code of a library, or tables by which its callers are found. What the runtime compiles is in a file
/// without a name (`memfd:doublemapper`), and beside it what tells the methods' names.
fn is_unwound_natively(part: &Part) -> bool {
    let Some((path, base)) = &part.file else { return false };
    let Some(tables) = unwind_tables(Path::new(path)) else { return false };
    part.execute || part.start < base + tables.end && base + tables.start < part.end
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn managed_frames_are_told_to_their_ends_where_native_code_cannot_be_unwound() {
    each_dump("", &["--withheap"], |dump, report| {
        let count = leave_out(dump, is_unwound_natively);
        assert!(count > 10, "{count} parts of native code");
        let ours = stacks(dump);
        let mut held = 0;
        for (tid, theirs) in &report.0 {
            let managed = |frame: &&ReportedFrame| frame.managed && frame.method.is_some();
            let named: Vec<ReportedFrame> = theirs.iter().filter(managed).cloned().collect();
            let (frames, _) = &ours[tid];
            held += compare(*tid, frames, &named).unwrap_or_else(|why| panic!("{why}: {frames:x?}"));
            let more =
                frames.iter().find(|own| own.kind == "managed" && !theirs.iter().any(|their| their.sp == own.sp));
            assert!(more.is_none(), "thread {tid}: {more:x?} is no frame of it");
        }
        assert!(held > 200, "{held} frames");
    });
}

/// Of a core that ends early: the threads whose whole stacks are before its end.
fn in_file(dump: &Path, stacks: &BTreeMap<u64, (Vec<Frame>, String)>, len: u64) -> Vec<u64> {
    let parts = parts(dump);
    let holds = |part: &&Part, frames: &[Frame]| {
        let range = part.start..part.end;
        part.offset + part.in_file <= len && frames.iter().all(|frame| range.contains(&frame.sp))
    };
    let is_there = |frames: &[Frame]| !frames.is_empty() && parts.iter().any(|part| holds(&part, frames));
    stacks.iter().filter(|(_, (frames, _))| is_there(frames)).map(|(tid, _)| *tid).collect()
}

/// Of such a dump the library of Microsoft tells nothing. The runtime's own variables are behind its end: what is managed is told by frame pointers.
#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn threads_whose_stacks_are_in_a_dump_that_was_cut_have_their_frames() {
    each_dump("", &["--withheap"], |dump, _| {
        let files = Path::new("/");
        let whole = stacks_with(dump, files);
        let bytes = std::fs::read(dump).expect("it is there");
        let (mut held, mut opens) = (0, 0);
        for quarter in [3, 2, 1] {
            let len = bytes.len() / 4 * quarter;
            let cut = dump.with_file_name(format!("cut-{quarter}"));
            std::fs::write(&cut, &bytes[..len]).expect("it can be written");
            let ours = stacks_with(&cut, files);
            assert_eq!(ours.len(), whole.len(), "every thread is listed");
            // A thread of every runtime waits for a debugger: for the program that is no wait.
            let told = answers_with(&cut, files, &["threads"]).remove(0);
            let waits = told["threads"].as_array().expect("threads").iter().map(|thread| &thread["waiting_on"]);
            for wait in waits.filter(|wait| wait["name"].as_str().is_some_and(|name| name.contains("clr-debug-pipe"))) {
                assert!(wait["detail"].as_str().is_some_and(|detail| detail.starts_with("a debugger")), "{wait}");
                opens += 1;
            }
            for tid in in_file(dump, &whole, len as u64) {
                let ((frames, end), (all, _)) = (&ours[&tid], &whole[&tid]);
                assert_eq!(end, "bottom", "{quarter}: thread {tid}: {frames:x?}");
                let is_told = |one: &&Frame| frames.iter().any(|own| (own.pc, own.sp) == (one.pc, one.sp));
                // Frame pointers skip funclets, and code that keeps none.
                let told = all.iter().filter(is_told).count();
                assert!(told * 5 >= all.len() * 2, "{quarter}: thread {tid}: {told} of {}", all.len());
                held += 1;
            }
        }
        assert!(held > 30, "{held} threads");
        assert!(opens > 0, "no cut dump has the pipe's path");
    });
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn threads_that_never_wait_are_told_to_their_ends() {
    const SPINNERS: [&str; 9] = ["Leaf", "Branch", "Empty", "Store", "Dispatch", "Delegate", "Cast", "Throw", "Call"];
    for argument in ["spin", "collect"] {
        each_dump(argument, &["--withheap"], |dump, report| {
            let ours = stacks(dump);
            let mut told = 0;
            for (tid, theirs) in &report.0 {
                let (frames, end) = &ours[tid];
                // Where the library is lost, what it has told by then is right all the same, and behind it is no frame with a name.
                let known = theirs.iter().take_while(|their| frames.iter().any(|own| own.sp == their.sp)).count();
                let (known, lost) = theirs.split_at(known);
                compare(*tid, frames, known).unwrap_or_else(|why| panic!("{argument}: {why}: {frames:x?}"));
                assert!(
                    lost.iter().all(|their| their.method.is_none()),
                    "{argument}: thread {tid}: {lost:x?}: {frames:x?}"
                );
                assert!(lost.is_empty() || is_lost(frames, theirs), "{argument}: thread {tid}: {lost:x?}: {frames:x?}");
                told += usize::from(lost.is_empty());
                let spins = frames.iter().any(|frame| frame.function.starts_with("Frames.Program.Spin"));
                assert!(!spins || end == "bottom", "{argument}: thread {tid} ends {end}: {frames:x?}");
            }
            assert!(told > report.0.len() / 2, "{argument}: {told} of {}", report.0.len());
            for name in SPINNERS {
                let method = format!("Frames.Program.Spin{name}(");
                let stack =
                    ours.values().find(|(frames, _)| frames.iter().any(|frame| frame.function.starts_with(&method)));
                let (frames, _) = stack.unwrap_or_else(|| panic!("{argument}: no stack has {method}"));
                let start = frames.iter().any(|frame| frame.function.ends_with(".<Start>b__0()"));
                assert!(start, "{argument}: {method}: {frames:x?}");
            }
        });
    }
}

/// Dumps that are too large to be made each time: of the workshop, whose folder `DUMPSCOPE_SPECIMENS` names, with the truths beside them.
fn specimens() -> PathBuf {
    let folder = std::env::var_os("DUMPSCOPE_SPECIMENS");
    PathBuf::from(folder.expect("no specimens; name their folder with DUMPSCOPE_SPECIMENS"))
}

#[test]
#[ignore = "needs specimens of dumps: tests/run takes it where they are"]
fn specimens_have_the_stacks_that_were_told_of_them() {
    for name in ["specimen-8.0.33", "specimen-9.0.22"] {
        let report = CrashReport::read(&specimens().join(format!("{name}.crashreport.json")));
        let ours = stacks(&specimens().join(format!("{name}.heap.core")));
        let mut named = 0;
        // The report is of the same process, a moment before.
        let both = report.0.iter().filter_map(|(tid, theirs)| Some((*tid, theirs, &ours.get(tid)?.0)));
        for (tid, theirs, frames) in both {
            named += compare(tid, frames, theirs).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        assert!(named > 5, "{name}: {named} names");
        println!("{name}: {} threads, {named} names", report.0.len());
    }
}

#[test]
#[ignore = "needs specimens of dumps: tests/run takes it where they are"]
fn a_specimen_of_a_full_stack_is_as_deep_as_the_runtime_printed() {
    let told = answers(&specimens().join("crash-overflow-10.0.14.heap.core"), &["summary"]).remove(0);
    // `Repeated 261974 times`: crash-overflow-10.0.14.stderr.txt.
    let title = told["findings"][0]["title"].as_str().expect("a title");
    assert_eq!(title, "stack overflow: Museum.Program.Recurse calls itself, 261974 calls deep");
}
