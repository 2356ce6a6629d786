//! What is said of processes that wait: calm only where each wait was understood and is harmless; else who has to do what, as far as
//! the system tells.

use std::process::Command;

use serde_json::Value;
use support::{Expected, Output, Running, Truth, run, wait_for};

const CALM: &str = "nothing looks wrong";

struct Seen {
    truth: Truth,
    output: Output,
}

fn live(running: &Running) -> Seen {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["live", "-p", &running.pid().to_string(), "--json", "-c", "threads", "-c", "summary"]);
    Seen { truth: running.truth().clone(), output: run(command).expect_status(0) }
}

fn analyze(core: &std::path::Path, truth: Truth) -> Seen {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(core).args(["--offline", "--json", "-c", "threads", "-c", "summary"]);
    Seen { truth, output: run(command).expect_status(0) }
}

fn start(mode: &str) -> Running {
    Running::start("waits", "glibc", &[mode])
}

impl Seen {
    fn thread(&self, name: &str) -> Value {
        let (tid, threads) = (self.truth.tid(name), self.output.data("threads"));
        let threads = threads["threads"].as_array().expect("threads").clone();
        threads.into_iter().find(|thread| thread["tid"] == tid).unwrap_or_else(|| panic!("{name}, {tid}, is not shown"))
    }

    fn findings(&self) -> Vec<Value> {
        self.output.data("summary")["findings"].as_array().expect("findings").clone()
    }

    fn titles(&self) -> Vec<String> {
        self.findings().iter().map(|finding| finding["title"].as_str().expect("a title").to_owned()).collect()
    }

    fn is_calm(&self) -> bool {
        self.titles().iter().any(|title| title.contains(CALM))
    }

    #[track_caller]
    fn says(&self, rule: &str, words: &[&str]) {
        let findings = self.findings();
        let right = |finding: &Value| {
            let title = finding["title"].as_str().unwrap_or_default();
            finding["rule"] == rule && words.iter().all(|words| title.contains(words))
        };
        assert!(findings.iter().any(right), "{rule}: {words:?} in {:#?}", self.titles());
        assert!(!self.is_calm(), "{:#?}", self.titles());
    }

    /// The threads of mode `all`. `noted`: the kernel was asked when the process lived.
    fn check_all(&self, noted: bool) {
        for (name, wanted) in Expected::of("waits").threads() {
            let thread = self.thread(name);
            let waits = &thread["waiting_on"];
            assert_eq!(waits["kind"], wanted["kind"], "{name}: {thread}");
            let nature = wanted.get("nature_of_arguments").filter(|_| !noted).unwrap_or(&wanted["nature"]);
            assert_eq!(&waits["nature"], nature, "{name}: {thread}");
            let told = format!("{} {}", waits["name"].as_str().unwrap_or(""), waits["detail"].as_str().unwrap_or(""));
            if let Some(words) = wanted["says"].as_str() {
                let words = self.filled(words);
                assert!(told.contains(&words), "{name}: no '{words}' in {thread}");
            }
            assert!(wanted["fd"] != true || told.starts_with("fd "), "{name}: {thread}");
            for words in wanted["names"].as_array().into_iter().flatten().filter_map(Value::as_str).filter(|_| noted) {
                let words = self.filled(words);
                assert!(told.contains(&words), "{name}: no '{words}' in {thread}");
            }
            if wanted["held_by"] == "child" && noted {
                let holder = format!("process {} (holder)", self.truth.value("child"));
                assert!(told.contains(&holder), "{name}: no '{holder}' in {thread}");
            }
        }
    }

    /// `{set}` is a number that the process published.
    fn filled(&self, words: &str) -> String {
        let names = ["set", "full", "empty", "child", "port"];
        names.iter().fold(words.to_owned(), |words, name| {
            let key = format!("{{{name}}}");
            if words.contains(&key) { words.replace(&key, &self.truth.value(name).to_string()) } else { words }
        })
    }
}

#[test]
fn each_wait_beyond_the_process_is_named_with_who_can_end_it() {
    let running = start("all");
    let seen = live(&running);
    seen.check_all(true);
    let child = seen.truth.value("child").to_string();
    seen.says("waits-outside", &["file lock", "posix.lock", &child]);
    seen.says("waits-outside", &["pipe:[", &child, "takes no more"]);
    seen.says("waits-outside", &["127.0.0.1", "no answer yet"]);
    seen.says("owner-unknown", &["2 threads", "semaphore g_jobs", "semaphore 2 of set"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["collect", "-p", &running.pid().to_string(), "--type", "mini", "-o"]).arg(&core);
    run(command).expect_status(0);
    analyze(&core, running.truth().clone()).check_all(true);
}

#[test]
fn arguments_of_calls_name_what_is_waited_for_in_a_core_of_the_kernels() {
    let dump = support::dump("waits", "kernel");
    let seen = analyze(&dump.core(), dump.truth());
    seen.check_all(false);
    seen.says("owner-unknown", &["2 threads", "semaphore g_jobs"]);
    seen.says("waits-outside", &["waits for a file lock on fd"]);
}

#[test]
fn a_child_is_named_with_what_it_does() {
    let seen = live(&start("child"));
    let child = format!("{} (compiler)", seen.truth.value("child"));
    seen.says("waits-outside", &["its only thread waits for a child process", &child, "waits for a signal"]);
    assert_eq!(seen.findings()[0]["severity"], "note", "a parent that waits is no trouble in itself");
}

#[test]
fn a_child_that_waits_for_its_parent_is_told_as_that() {
    let seen = live(&start("child-pipe"));
    let child = format!("{} (compiler)", seen.truth.value("child"));
    seen.says("waits-outside", &[&child, "writes", "pipe:[", "of this process", "neither can go on"]);
    assert_eq!(seen.findings()[0]["severity"], "warning");
}

#[test]
fn a_pipe_with_both_ends_in_one_thread_is_emptied_by_nobody() {
    let running = start("own-pipe");
    // The pipe is filled after the process has spoken.
    let writes =
        || std::fs::read_to_string(format!("/proc/{}/syscall", running.pid())).is_ok_and(|call| call.starts_with("1 "));
    wait_for("the pipe to be full", writes);
    live(&running).says("waits-outside", &["its only thread writes fd", "of this process", "nobody else"]);
}

#[test]
fn threads_that_wait_for_work_and_who_joins_them_are_calm() {
    for mode in ["idle", "join"] {
        let running = start(mode);
        let rests = || running.states().iter().all(|state| *state == 'S');
        wait_for("all threads to rest", rests);
        let seen = live(&running);
        assert!(seen.is_calm(), "{mode}: {:#?}", seen.titles());
    }
}

#[test]
fn a_semaphore_has_no_known_owner() {
    live(&start("job"))
        .says("owner-unknown", &["1 thread waits for something whose owner is not known", "semaphore g_jobs"]);
}

#[test]
fn who_waits_to_be_woken_where_only_time_passes_is_told() {
    live(&start("missed")).says("stuck", &["worker", "g_ready", "without a limit", "no thread is at work", "sleep"]);
}

#[test]
fn a_process_that_was_stopped_is_told_as_stopped_by_its_signal() {
    let running = start("idle");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (signal, name) in [("STOP", "SIGSTOP"), ("TSTP", "SIGTSTP")] {
        running.signal(signal);
        wait_for("all threads to stop", || running.states().iter().all(|state| *state == 'T'));
        let seen = live(&running);
        seen.says("stopped", &["the process is stopped by", name, "SIGCONT"]);
        assert_eq!(seen.findings()[0]["rule"], "stopped", "{:#?}", seen.titles());
        for thread in ["main", "worker", "events"] {
            assert_eq!(seen.thread(thread)["kernel"]["state"], "stopped", "{}", seen.thread(thread));
        }
        let core = folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        command.args(["collect", "-p", &running.pid().to_string(), "--type", "triage", "-o"]).arg(&core);
        run(command).expect_status(0);
        analyze(&core, running.truth().clone()).says("stopped", &[name]);
        assert!(running.states().iter().all(|state| *state == 'T'), "it stays stopped");
        running.signal("CONT");
        wait_for("all threads to go on", || running.states().iter().all(|state| *state == 'S'));
    }
}

#[test]
fn a_thread_that_runs_and_was_stopped_does_not_run() {
    let running = Running::start("moving", "glibc", &[]);
    running.stop();
    let seen = live(&running);
    let threads = seen.output.data("threads");
    let states: Vec<&Value> =
        threads["threads"].as_array().expect("threads").iter().map(|thread| &thread["state"]).collect();
    assert!(!states.contains(&&Value::from("running")), "{states:?}");
    seen.says("stopped", &["SIGSTOP"]);
}

#[test]
fn a_thread_that_could_not_be_stopped_is_shown_with_what_the_kernel_tells() {
    let running = start("vfork");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    command.args(["collect", "-p", &running.pid().to_string(), "--type", "mini", "-o"]).arg(&core);
    let collected = run(command).expect_status(0);
    let launcher = running.truth().tid("launcher");
    assert!(collected.stderr.contains(&launcher.to_string()), "{}", collected.stderr);
    let seen = analyze(&core, running.truth().clone());
    let thread = seen.thread("launcher");
    assert_eq!(thread["kernel"]["state"], "uninterruptible", "{thread}");
    assert!(thread["kernel"]["lost"].as_str().is_some_and(|why| why.contains("did not stop")), "{thread}");
    // The kernel's function is told where this machine tells it.
    let channel = std::fs::read_to_string(format!("/proc/{}/task/{launcher}/wchan", running.pid())).expect("a channel");
    let told = thread["kernel"]["wait_channel"].as_str().unwrap_or("0");
    assert_eq!(told, if channel.is_empty() { "0" } else { channel.as_str() });
    assert_eq!(thread["waiting_on"]["name"], "vfork", "{thread}");
    assert_eq!(thread["top"], "launch", "{thread}");
    // The thread that joins it waits for its end.
    let main = seen.thread("main");
    assert_eq!(main["waiting_on"]["kind"], "join", "{main}");
    let joined = format!("thread {launcher}");
    assert!(main["waiting_on"]["name"].as_str().is_some_and(|name| name.contains(&joined)), "{main}");
    assert_eq!(seen.output.data("summary")["dump"]["complete"], false);
    seen.says("uninterruptible", &["launch", "state D", "vfork"]);
}
