//! Stacks of real processes: the frames that `stack` shows are compared with what the source dictates and, where gdb is right, with
//! gdb's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dumpscope::job::Job;
use dumpscope::model::{End, FrameKind, Stack, Tid, Trust};
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use serde_json::Value;
use support::{Dump, dump};

/// A dump and the stacks of its threads.
struct Walked {
    session: Session,
    threads: Vec<(Tid, Arc<Stack>)>,
}

fn walk(core: &Path, search: &Search) -> Walked {
    let job = Job::default();
    let session = Session::open(Source::File(core.to_owned()), search, &job).expect("a dump");
    let stacks = session.stacks(&job).expect("stacks");
    let tids = session.os_threads().iter().map(|thread| thread.tid);
    let threads = tids.zip(stacks).collect();
    Walked { session, threads }
}

impl Walked {
    fn stack(&self, tid: u64) -> &Stack {
        let found = self.threads.iter().find(|(known, _)| u64::from(known.0) == tid);
        &found.unwrap_or_else(|| panic!("no thread {tid}")).1
    }

    /// Names of logical frames.
    fn functions(&self, stack: &Stack) -> Vec<String> {
        let named = self.session.process().expect("a process").named(stack).into_iter();
        named.map(|frame| frame.function.map_or_else(|| "?".to_owned(), |name| name.to_string())).collect()
    }

    #[track_caller]
    fn check_ends(&self, what: &str) {
        for (tid, stack) in &self.threads {
            assert_eq!(stack.end, End::Bottom, "{what}, thread {tid}: {:?}", self.functions(stack));
        }
    }

    fn count(&self, trust: Trust) -> usize {
        self.threads.iter().flat_map(|(_, stack)| &stack.frames).filter(|frame| frame.trust == trust).count()
    }
}

/// Where the functions stand among those shown, one directly below the other, at or after `from`.
#[track_caller]
fn find(shown: &[String], wanted: &Value, from: usize) -> usize {
    let wanted: Vec<&str> = wanted.as_array().expect("functions").iter().filter_map(Value::as_str).collect();
    let fits = |at: &usize| {
        let rest = &shown[*at..];
        rest.len() >= wanted.len() && wanted.iter().zip(rest).all(|(wanted, shown)| is_named(shown, wanted))
    };
    (from..=shown.len()).find(fits).unwrap_or_else(|| panic!("{wanted:?} is not among {:?}", &shown[from..]))
}

/// Whether a function as shown, with parameters and perhaps a return type, has one of the names that stand between bars.
fn is_named(shown: &str, wanted: &str) -> bool {
    wanted.split('|').any(|name| {
        shown.split_once(name).is_some_and(|(before, after)| {
            (before.is_empty() || before.ends_with(' ')) && (after.is_empty() || after.starts_with(['(', '<']))
        })
    })
}

fn pcs(stack: &Stack) -> Vec<u64> {
    stack.frames.iter().map(|frame| frame.pc.0).collect()
}

/// Physical frames of each thread as gdb sees them: tid, addresses.
fn gdb_pcs(dump: &Dump) -> Vec<(u64, Vec<u64>)> {
    const SCRIPT: &str = "
import gdb
gdb.execute('set backtrace past-main on')
for thread in gdb.selected_inferior().threads():
    thread.switch()
    frame, pcs = gdb.newest_frame(), []
    while frame is not None and len(pcs) < 200:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            pcs.append('%x' % frame.pc())
        try:
            frame = frame.older()
        except gdb.error:
            frame = None
    print('STACK', thread.ptid[1] or thread.ptid[0], *pcs)
";
    let script = tempfile::Builder::new().suffix(".py").tempfile().expect("a temporary file");
    std::fs::write(script.path(), SCRIPT).expect("a temporary file");
    let mut command = Command::new("gdb");
    command.args(["-nx", "-batch", "-x"]).arg(script.path()).arg(dump.exe()).arg(dump.core());
    let output = support::run(command);
    let lines = output.stdout.lines().filter_map(|line| line.strip_prefix("STACK "));
    let stacks: Vec<(u64, Vec<u64>)> = lines
        .map(|line| {
            let (tid, pcs) = line.split_once(' ').expect("a tid and addresses");
            let pcs = pcs.split(' ').map(|pc| u64::from_str_radix(pc, 16).expect("an address"));
            (tid.parse().expect("a tid"), pcs.collect())
        })
        .collect();
    assert!(!stacks.is_empty(), "gdb (apt install gdb) showed no stack: {}{}", output.stdout, output.stderr);
    stacks
}

/// Every thread shows the functions that its source puts there, and is followed to its first one.
#[track_caller]
fn check_threads(name: &str, variant: &str, search: &Search) -> Walked {
    let dump = dump(name, variant);
    let walked = walk(&dump.core(), search);
    let truth = dump.truth();
    for (pattern, expected) in dump.expected().threads() {
        for (_, tid) in truth.threads(pattern) {
            find(&walked.functions(walked.stack(tid)), &expected["functions"], 0);
        }
    }
    walked.check_ends(variant);
    walked
}

#[test]
fn every_thread_of_a_deadlock_is_followed_to_its_start_on_glibc() {
    for variant in ["glibc", "glibc-static", "glibc-nopie", "glibc-gcore", "glibc-filter-7f"] {
        let walked = check_threads("deadlock", variant, &Search::default());
        assert_eq!(walked.count(Trust::Scan), 0, "{variant}: glibc has tables");
    }
}

#[test]
fn every_thread_of_a_deadlock_is_followed_to_its_start_on_musl() {
    for variant in ["musl", "musl-static", "musl-gcore"] {
        let walked = check_threads("deadlock", variant, &Search::default());
        // The program has tables, musl has none: its callers are scanned.
        for (tid, stack) in &walked.threads {
            for pair in stack.frames.windows(2) {
                let name = walked.session.target().expect("a process").name(pair[0].lookup());
                let has_lines = name.is_some_and(|name| name.parts.iter().any(|part| part.file.is_some()));
                let trust = if has_lines { Trust::Cfi } else { Trust::Scan };
                assert_eq!(pair[1].trust, trust, "{variant}, thread {tid}: {:x?} calls {:x?}", pair[1].pc, pair[0].pc);
            }
        }
    }
}

#[test]
fn threads_that_wait_for_other_locks_are_followed_too() {
    for (fixture, variant) in [
        ("locks", "glibc"),
        ("locks", "static"),
        ("rust-std", "gnu"),
        ("rust-std", "musl"),
        ("rust-parking-lot", "gnu"),
        ("rust-parking-lot", "musl"),
        ("pidns", "musl"),
    ] {
        walk(&dump(fixture, variant).core(), &Search::default()).check_ends(&format!("{fixture} {variant}"));
    }
}

#[test]
fn what_a_signal_handler_interrupted_is_shown_below_it() {
    for variant in ["segv", "nested", "block", "same", "segv-musl", "block-musl", "segv-static", "block-O0"] {
        let dump = dump("altstack", variant);
        let walked = walk(&dump.core(), &Search::default());
        let stack = walked.stack(dump.truth().tid("main"));
        let functions = walked.functions(stack);
        let expected = dump.expected().variant(variant).clone();
        let handler = find(&functions, &expected["functions"], 0);
        let interrupted = find(&functions, &expected["interrupted"], handler);
        let kinds: Vec<FrameKind> =
            walked.session.process().expect("a process").named(stack).iter().map(|frame| frame.kind).collect();
        assert!(kinds[handler..interrupted].contains(&FrameKind::Signal), "{variant}: {functions:?}");
        walked.check_ends(variant);
    }
}

#[test]
fn a_crash_shows_who_did_it() {
    for variant in [
        "null-member",
        "call-null",
        "call-deadbeef",
        "execute-heap",
        "execute-stack",
        "jump-nowhere",
        "smashed-return",
        "stack-smash",
        "thread-stack-overflow",
        "double-free-static",
        "uncaught-custom",
        "pure-virtual",
        "killed-segv",
    ] {
        let dump = dump("crash", variant);
        let walked = walk(&dump.core(), &Search::default());
        let expected = dump.expected().variant(variant).clone();
        let mut stack = walked.stack(dump.truth().tid(expected["thread"].as_str().expect("a thread"))).clone();
        assert_eq!(stack.end, End::Bottom, "{variant}");
        stack.frames.truncate(40);
        let functions = walked.functions(&stack);
        let first = find(&functions, &expected["functions"], 0);
        if expected["outermost"].is_array() {
            find(&functions, &expected["outermost"], first);
        }
    }
}

#[test]
fn stacks_are_those_of_gdb_where_gdb_can() {
    for (fixture, variant) in [
        ("deadlock", "glibc"),
        ("deadlock", "glibc-static"),
        ("deadlock", "glibc-gcore"),
        ("altstack", "segv"),
        ("altstack", "nested"),
        ("altstack", "block-O0"),
        ("crash", "null-member"),
        ("crash", "call-null"),
        ("crash", "execute-heap"),
        ("crash", "uncaught"),
        ("crash", "double-free"),
        ("crash", "uncaught-stripped"),
        ("locks", "glibc"),
        ("rust-std", "gnu"),
    ] {
        let dump = dump(fixture, variant);
        let walked = walk(&dump.core(), &Search::default());
        for (tid, wanted) in gdb_pcs(&dump) {
            let stack = walked.stack(tid);
            assert_eq!(pcs(stack), wanted, "{fixture} {variant}, thread {tid}: {:?}", walked.functions(stack));
        }
    }
}

#[test]
fn a_stack_of_200_000_frames_is_followed_to_its_start() {
    for variant in ["abort", "segv", "mutual"] {
        let dump = dump("deep", variant);
        let begin = Instant::now();
        let walked = walk(&dump.core(), &Search::default());
        let took = begin.elapsed();
        let stack = walked.stack(dump.truth().tid("diver"));
        let part = |range: std::ops::Range<usize>| {
            walked.functions(&Stack { frames: stack.frames[range].to_vec(), ..stack.clone() })
        };
        let expected = dump.expected().variant(variant).clone();
        let count = stack.frames.len();
        find(&part(0..20), &expected["functions"], 0);
        find(&part(count - 8..count), &expected["outermost"], 0);
        assert!((200_000..200_030).contains(&count), "{variant}: {count} frames");
        assert_eq!(stack.end, End::Bottom, "{variant}");
        // 20 ms when optimised; this is no benchmark, but a step whose cost grows with the depth would take minutes.
        assert!(took < Duration::from_secs(20), "{variant}: {took:?}");
    }
}

#[test]
fn aarch64_stacks_are_followed_with_and_without_tables() {
    for variant in ["null", "null-static", "null-frame-pointer", "deadlock", "deadlock-static"] {
        let dump = dump("aarch64", variant);
        let search =
            Search { sysroot: Some("/usr/aarch64-linux-gnu".into()), exe: vec![dump.exe()], ..Search::default() };
        let walked = walk(&dump.core(), &search);
        if let Some(functions) = dump.expected().variant(variant).get("functions") {
            find(&walked.functions(walked.stack(dump.truth().tid("main"))), functions, 0);
        }
        walked.check_ends(variant);
    }
}

#[test]
fn where_the_stack_is_cut_off_the_frames_below_are_right_and_no_more_is_shown() {
    for variant in ["glibc", "musl"] {
        let dump = dump("deadlock", variant);
        let bytes = std::fs::read(dump.core()).expect("the core");
        let whole = walk(&dump.core(), &Search::default());
        let mut cut_stacks = 0;
        for part in 1..32 {
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            std::fs::write(file.path(), &bytes[..bytes.len() * part / 32]).expect("a temporary file");
            let cut = walk(file.path(), &Search { exe: vec![dump.exe()], ..Search::default() });
            for ((tid, whole), (_, cut)) in whole.threads.iter().zip(&cut.threads) {
                let (whole, shown) = (pcs(whole), pcs(cut));
                assert!(whole.starts_with(&shown), "{variant} {part}/32, thread {tid}: {shown:x?} for {whole:x?}");
                if cut.end != End::Bottom {
                    assert_eq!(cut.end, End::NoMemory, "{variant} {part}/32, thread {tid}");
                    cut_stacks += 1;
                }
            }
        }
        assert!(cut_stacks > 0, "{variant}: no cut went below a stack");
    }
}

/// A search that finds no file at all.
fn nowhere() -> Search {
    Search { sysroot: Some("/nonexistent".into()), ..Search::default() }
}

#[test]
fn a_dump_that_holds_all_pages_needs_no_file() {
    let dump = dump("deadlock", "glibc-filter-7f");
    let with_files = walk(&dump.core(), &Search::default());
    let without = walk(&dump.core(), &nowhere());
    for ((tid, with_files), (_, without)) in with_files.threads.iter().zip(&without.threads) {
        assert_eq!(pcs(with_files), pcs(without), "thread {tid}");
        assert_eq!(without.end, End::Bottom, "thread {tid}");
    }
}

#[test]
fn without_files_nothing_is_invented() {
    let dump = dump("deadlock", "glibc");
    let whole = walk(&dump.core(), &Search::default());
    let walked = walk(&dump.core(), &nowhere());
    for ((tid, whole), (_, stack)) in whole.threads.iter().zip(&walked.threads) {
        let known = pcs(whole);
        let invented: Vec<u64> = pcs(stack).into_iter().filter(|pc| !known.contains(pc)).collect();
        assert!(invented.is_empty(), "thread {tid}: {invented:x?}");
        assert_ne!(stack.end, End::Loop, "thread {tid}");
    }
}

/// Stopped inside the stub of a call of another module: it is one frame of its own kind, named after what it leads to.
#[test]
fn a_stub_of_the_linkage_table_is_a_frame_of_its_own() {
    for variant in ["first", "pushed", "beginning", "ibt", "ibt-lazy", "bare"] {
        let dump = dump("stub", variant);
        let walked = walk(&dump.core(), &Search::default());
        let expected = dump.expected();
        let wanted = expected.variant(variant);
        let (_, stack) = walked.threads.first().expect("a thread");
        let frames = walked.session.process().expect("a process").named(stack);
        let stub = frames.first().expect("a frame");
        assert_eq!((stub.kind, stub.function.as_deref()), (FrameKind::Stub, wanted["stub"].as_str()), "{variant}");
        assert_eq!(find(&walked.functions(stack), &wanted["functions"], 0), 1, "{variant}");
        let others = frames.iter().skip(1).filter(|frame| frame.kind == FrameKind::Stub).count();
        assert_eq!(others, 0, "{variant}: {frames:?}");
    }
}
