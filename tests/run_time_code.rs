//! Stacks that lead through code made at run time: every frame of a fixture's own code, as its source dictates, and
//! those of real Node and Java, as eu-stack shows them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Dump, Expected, Running, Stack, Started, Truth, dump, eu_stacks, is_named, run, wait_for};

const FIXTURE: &str = "run-time-code";

fn stacks_of(core: &Path) -> Vec<Stack> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(["--offline", "--json", "-c", "stack --all"]);
    Stack::all(&run(command).expect_status(0).data("stack"))
}

fn collect(pid: u32, kind: &str, core: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "-p", &pid.to_string(), "--type", kind, "-o"]).arg(core);
    run(command).expect_status(0);
}

fn pc(frame: &Value) -> u64 {
    support::as_address(&frame["pc"]).expect("a frame has a pc")
}

/// A stack's frames without expanded inline calls.
fn physical(stack: &Stack) -> Vec<&Value> {
    stack.frames.iter().filter(|frame| frame["kind"] != "inline").collect()
}

/// Every thread shows the frames that the source dictates: none missing, none between them, and only the C library's at
/// both ends.
#[track_caller]
fn check(stacks: &[Stack], truth: &Truth, expected: &Expected, what: &str) {
    assert_eq!(expected.threads().len() + 1, stacks.len(), "{what}: threads, and main");
    for (thread, wanted) in expected.threads() {
        let tid = truth.tid(thread);
        let stack = stacks.iter().find(|stack| stack.tid == tid).unwrap_or_else(|| panic!("no stack of {thread}"));
        let frames = physical(stack);
        let wanted: Vec<&str> = wanted["frames"].as_array().expect("frames").iter().filter_map(Value::as_str).collect();
        let is = |frame: &Value, wanted: &str| match wanted.strip_prefix('@') {
            Some(value) => pc(frame) == truth.value(value),
            None => wanted == "*" || is_named(frame["function"].as_str().unwrap_or("?"), wanted),
        };
        let first = frames.iter().position(|frame| is(frame, wanted[0]));
        let shown = || frames.iter().map(|frame| format!("{} {} {}", frame["pc"], frame["trust"], frame["function"]));
        let shown = || shown().collect::<Vec<_>>().join("\n");
        let first = first.unwrap_or_else(|| panic!("{what}: {thread} lacks {}:\n{}", wanted[0], shown()));
        let run = frames.iter().skip(first).zip(&wanted).take_while(|(frame, wanted)| is(frame, wanted)).count();
        assert_eq!(run, wanted.len(), "{what}: {thread}, wanted {wanted:?}:\n{}", shown());
        for (at, frame) in frames.iter().enumerate().filter(|(at, _)| *at < first || *at >= first + run) {
            let module = frame["module"].as_str().unwrap_or("");
            assert!(module.contains("libc"), "{what}: {thread}, frame {at} is not the source's:\n{}", shown());
        }
        assert_eq!(stack.end, "bottom", "{what}: {thread}:\n{}", shown());
        // A frame of code without tables cannot have led to its caller by tables.
        let bare = |frame: &Value| frame["module"].is_null();
        for pair in frames.windows(2).filter(|pair| bare(pair[0])) {
            assert!(
                ["frame-pointer", "scan"].contains(&pair[1]["trust"].as_str().unwrap_or("")),
                "{what}: {thread}: {pair:?}"
            );
        }
    }
}

#[track_caller]
fn check_core(variant: &str) -> Dump {
    let dump = dump(FIXTURE, variant);
    check(&stacks_of(&dump.core()), &dump.truth(), &dump.expected(), variant);
    dump
}

#[test]
fn no_frame_is_lost_in_code_made_at_run_time() {
    check_core("plain");
}

#[test]
fn no_frame_is_lost_where_native_code_keeps_frame_pointers_too() {
    check_core("frame-pointers");
}

#[test]
fn no_frame_is_lost_where_no_symbol_tells_functions() {
    check_core("nameless");
}

#[test]
fn collected_dumps_and_a_live_process_show_the_same_frames() {
    let process = Running::start(FIXTURE, "plain", &[]);
    let expected = Expected::of(FIXTURE);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for kind in ["full", "mini"] {
        let core = folder.path().join(kind);
        collect(process.pid(), kind, &core);
        check(&stacks_of(&core), process.truth(), &expected, kind);
    }
    let mut live = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    live.args(["live", "-p", &process.pid().to_string(), "--json", "-c", "stack --all"]);
    check(&Stack::all(&run(live).expect_status(0).data("stack")), process.truth(), &expected, "live");
}

/// Waits until all threads of a process are blocked, and dumps it.
fn dump_at_rest(process: &Started, folder: &Path) -> PathBuf {
    let blocked = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
    };
    wait_for("all threads to wait", || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("the process is alive");
        tasks.flatten().all(blocked)
    });
    let core = folder.join("core");
    collect(process.pid(), "full", &core);
    core
}

/// Every frame that eu-stack shows of a core is shown, in its order. The number of frames of each thread that were
/// found by the frame pointer, in falling order.
#[track_caller]
fn check_against_eu_stack(exe: &Path, core: &Path) -> Vec<usize> {
    let theirs = eu_stacks(exe, core);
    let stacks = stacks_of(core);
    assert_eq!(stacks.len(), theirs.len(), "threads");
    let mut chained = Vec::new();
    for stack in &stacks {
        let frames = physical(stack);
        let mut ours = frames.iter().map(|frame| pc(frame));
        let lost = theirs[&stack.tid].iter().position(|wanted| !ours.any(|shown| shown == *wanted));
        let shown = || frames.iter().map(|frame| format!("{} {}", frame["pc"], frame["trust"])).collect::<Vec<_>>();
        assert_eq!(lost, None, "thread {}: {:x?}\nshown {:#?}", stack.tid, theirs[&stack.tid], shown());
        assert_eq!(stack.end, "bottom", "thread {}: {:#?}", stack.tid, shown());
        chained.push(frames.iter().filter(|frame| frame["trust"] == "frame-pointer").count());
    }
    chained.sort_unstable_by(|one, other| other.cmp(one));
    chained
}

/// Workers that wait below JavaScript of several kinds: deep recursion, callbacks from native code, generators, `eval`,
/// WebAssembly.
const NODE: &str = r"
const { Worker, isMainThread, workerData, parentPort } = require('worker_threads');
const kinds = ['deep', 'callback', 'generator', 'eval', 'proxy', 'wasm'];
function wait(tell) { tell(); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }
if (isMainThread) {
  let ready = 0;
  for (const kind of kinds) new Worker(__filename, { workerData: kind }).on('message', () => {
    if (++ready === kinds.length) wait(() => require('fs').writeSync(1, 'ready\n'));
  });
} else {
  const here = () => wait(() => parentPort.postMessage(1));
  const deep = n => n === 0 ? here() : deep(n - 1) + 1;
  // (import 'e' 'g') (func $f (param i32) (if (i32.eqz 0) (then (call g) (return))) (call $f (i32.sub 0 1)))
  const code = [0,97,115,109,1,0,0,0,1,8,2,96,0,0,96,1,127,0,2,7,1,1,101,1,103,0,0,3,2,1,1,7,5,1,1,102,0,1,10,20,1,18,0,
    32,0,69,4,64,16,0,15,11,32,0,65,1,107,16,1,11];
  ({
    deep() { deep(100); },
    callback() { [2, 1].sort(() => { JSON.stringify({ toJSON: here }); return 0; }); },
    generator() { function* all() { yield here(); } for (const one of all()); },
    eval() { eval('deep(3)'); },
    proxy() { Reflect.get(new Proxy({}, { get: here }), 'x'); },
    wasm() { new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(code)), { e: { g: here } }).exports.f(8); },
  })[workerData]();
}
";

#[test]
fn every_frame_of_node_that_eu_stack_shows_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("main.js");
    std::fs::write(&script, NODE).expect("a temporary file");
    let (process, said) = Started::ready(Command::new("node").arg(&script), "nodejs");
    assert_eq!(said, "ready");
    let exe = std::fs::read_link(format!("/proc/{}/exe", process.pid())).expect("node's file");
    let core = dump_at_rest(&process, folder.path());
    let chained = check_against_eu_stack(&exe, &core);
    // The recursion of 101 calls of one worker; each of the others and the first thread stand in JavaScript too.
    assert!(chained[0] > 101 && chained[6] > 3, "{chained:?}");
}

/// Threads that wait in native code below interpreted and compiled methods; two of them in a deadlock.
const JAVA: &str = r#"
import java.util.concurrent.*;

public class Main {
    interface Task { void run() throws Exception; }

    static final CountDownLatch entered = new CountDownLatch(2);

    static void start(Task task) {
        Thread thread = new Thread(() -> { try { task.run(); } catch (Exception e) { throw new Error(e); } });
        thread.setDaemon(true);
        thread.start();
    }

    static int deep(int left, Object lock) throws Exception {
        if (left > 0) return deep(left - 1, lock) + 1;
        synchronized (lock) { lock.wait(); }
        return 0;
    }

    static void take(Object first, Object second) throws Exception {
        synchronized (first) {
            entered.countDown();
            entered.await();
            synchronized (second) { second.notify(); }
        }
    }

    static int compiled(int number) throws Exception {
        if (number < 0) { System.out.println("ready"); Thread.sleep(Long.MAX_VALUE); }
        return number * 3;
    }

    public static void main(String[] arguments) throws Exception {
        Object one = new Object(), other = new Object();
        start(() -> take(one, other));
        start(() -> take(other, one));
        start(() -> deep(200, new Object()));
        start(() -> System.in.read());
        start(() -> new LinkedBlockingQueue<String>().take());
        start(() -> new java.net.ServerSocket(0).accept());
        for (int number = 0; number < 200_000; number++) compiled(number);
        compiled(-1);
    }
}
"#;

#[track_caller]
fn check_java(options: &[&str]) -> Vec<usize> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("Main.java");
    std::fs::write(&source, JAVA).expect("a temporary file");
    let mut compile = Command::new("javac");
    run({
        compile.arg("-d").arg(folder.path()).arg(&source);
        compile
    })
    .expect_status(0);
    let mut java = Command::new("java");
    java.args(["-Xmx32m", "-XX:+UseG1GC", "-XX:ParallelGCThreads=4", "-Xshare:auto"]).args(options);
    let (process, said) = Started::ready(java.arg("-cp").arg(folder.path()).arg("Main"), "default-jdk-headless");
    assert_eq!(said, "ready");
    let exe = std::fs::read_link(format!("/proc/{}/exe", process.pid())).expect("java's file");
    let core = dump_at_rest(&process, folder.path());
    check_against_eu_stack(&exe, &core)
}

#[test]
fn every_frame_of_java_that_eu_stack_shows_is_shown() {
    let chained = check_java(&[]);
    assert!(chained.len() > 10 && chained[6] > 3, "seven threads stand in methods: {chained:?}");
}

#[test]
fn every_frame_of_interpreted_java_that_eu_stack_shows_is_shown() {
    let chained = check_java(&["-Xint"]);
    assert!(chained[0] > 201 && chained[6] > 3, "the recursion of 201 calls, and six other threads: {chained:?}");
}
