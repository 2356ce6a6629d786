//! `collect --watch`: a dump when a condition asks for it, and the process goes on, or ends by its signal.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Running, build, run, said, signal, wait_for};

fn dumpscope() -> Command {
    Command::new(env!("CARGO_BIN_EXE_dumpscope"))
}

fn watch(pid: u32, condition: &str, core: &Path, more: &[&str]) -> Command {
    let mut command = dumpscope();
    command
        .args(["collect", "--type", "mini", "-p", &pid.to_string(), "--watch", condition, "-o"])
        .arg(core)
        .args(more);
    command
}

/// Threads of a core as `threads` has them: ids, ascending.
fn tids(core: &Path) -> Vec<u64> {
    let mut command = dumpscope();
    command.args(["analyze", "--json", "-c", "threads"]).arg(core);
    let threads = run(command).expect_status(0).data("threads");
    let mut tids: Vec<u64> =
        threads["threads"].as_array().expect("threads").iter().filter_map(|thread| thread["tid"].as_u64()).collect();
    tids.sort_unstable();
    tids
}

fn expected(running: &Running) -> Vec<u64> {
    let mut tids: Vec<u64> = running.truth().threads("*").into_iter().map(|(_, tid)| tid).collect();
    tids.sort_unstable();
    tids
}

#[test]
fn memory_above_a_limit_is_dumped_as_often_as_asked_and_the_process_goes_on() {
    let running = Running::start("deadlock", "glibc", &[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    let output = run(watch(running.pid(), "rss>1K", &core, &["--max", "2", "--every", "0"])).expect_status(0);
    let second = folder.path().join("core.1");
    assert_eq!(output.stdout.lines().map(Path::new).collect::<Vec<_>>(), [&core, &second]);
    for core in [&core, &second] {
        assert_eq!(tids(core), expected(&running));
    }
    assert!(output.stderr.contains("bytes are resident"), "why: {}", output.stderr);
    assert_eq!(said("ps", &["-o", "stat=", "-p", &running.pid().to_string()], "procps").chars().next(), Some('S'));
}

#[test]
fn a_process_is_dumped_before_it_takes_the_signal_that_ends_it() {
    let dir = build("deadlock", "glibc");
    // Not ignoring it, even if this test does.
    let mut target = Command::new("env");
    target.arg("--default-signal").arg(dir.join("exe")).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut target = target.spawn().expect("it runs");
    let truth = {
        use std::io::BufRead;
        let mut line = String::new();
        std::io::BufReader::new(target.stdout.take().expect("piped")).read_line(&mut line).expect("its truth line");
        support::Truth::parse(&line)
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    let mut command = watch(target.id(), "signal:SIGUSR1", &core, &[]);
    let mut watcher: Child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let is_traced = |tid: u64| {
        let status = std::fs::read_to_string(format!("/proc/{}/task/{tid}/status", target.id())).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    };
    wait_for("every thread is traced", || truth.threads("*").iter().all(|(_, tid)| is_traced(*tid)));
    assert!(target.try_wait().expect("it is ours").is_none());
    // SIGUSR1 is not handled, so that it ends the process.
    signal(target.id(), "USR1");
    let ended = target.wait().expect("it is ours");
    assert_eq!(ended.signal(), Some(10), "the signal arrives after the dump");
    assert!(watcher.wait().expect("it is ours").success());
    let mut wanted: Vec<u64> = truth.threads("*").into_iter().map(|(_, tid)| tid).collect();
    wanted.sort_unstable();
    assert_eq!(tids(&core), wanted);
}

#[test]
fn a_process_that_ends_before_a_condition_is_met_is_no_success() {
    let mut target = Command::new("sleep").arg("1").spawn().expect("sleep runs");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    let mut command = watch(target.id(), "rss>100G", &core, &[]);
    let watcher = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    target.wait().expect("it ends");
    let output = watcher.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("has ended, and no condition was met"), "{said}");
    assert!(!core.exists());
}
