//! `live`: a running process is captured, opened as a dump is, and goes on.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Expected, Output, Running, as_address};

fn live(running: &Running, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["live", "-p", &running.pid().to_string()]).args(arguments);
    support::run(command).expect_status(0)
}

/// `S`, `R`, `t` … of each thread, as the kernel shows them.
fn states(running: &Running) -> Vec<char> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.pid())).expect("the process is alive");
    let state = |stat: String| stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats.filter_map(state).collect()
}

fn assert_it_goes_on(running: &Running) {
    let states = states(running);
    assert!(!states.is_empty() && states.iter().all(|state| !matches!(state, 't' | 'T' | 'Z' | 'X')), "{states:?}");
}

/// The row of a thread in a list.
fn of(rows: &Value, tid: u64) -> &Value {
    let rows = rows.as_array().expect("a list");
    rows.iter().find(|row| row["tid"] == tid).unwrap_or_else(|| panic!("no thread {tid} in {rows:?}"))
}

#[test]
fn a_deadlock_is_told_of_the_living_process_and_the_process_goes_on() {
    let running = Running::start("deadlock", "glibc", &[]);
    let output = live(&running, &["--json", "-c", "locks", "-c", "threads", "-c", "summary"]);
    assert_it_goes_on(&running);
    let locks = output.data("locks");
    let (truth, expected) = (running.truth(), Expected::of("deadlock"));
    for (name, wanted) in expected.locks() {
        let address = truth.lock(name);
        let lock =
            locks["locks"].as_array().expect("locks").iter().find(|lock| as_address(&lock["address"]) == Some(address));
        let lock = lock.unwrap_or_else(|| panic!("{name} is not shown: {locks}"));
        assert_eq!(lock["kind"], wanted["kind"], "{name}: {lock}");
        assert_eq!(lock["owner"]["tid"], truth.tid(wanted["owner"].as_str().expect("an owner")), "{name}: {lock}");
    }
    let cycles = locks["deadlocks"].as_array().expect("deadlocks");
    assert_eq!(cycles.len(), expected.json()["deadlocks"].as_array().expect("deadlocks").len());
    assert!(cycles.iter().all(|cycle| cycle["certain"] == true), "{cycles:?}");
    // The kernel knows what the program called its threads.
    let threads = output.data("threads");
    for (name, tid) in truth.threads("worker-*") {
        assert_eq!(of(&threads["threads"], tid)["name"], name);
    }
    let pause = output.data("summary")["dump"]["pause_ms"].as_f64().expect("how long it was stopped");
    assert!(pause > 0.0 && pause < output.elapsed.as_secs_f64() * 1000.0, "{pause} ms");
}

#[test]
fn of_two_captures_the_threads_that_moved_are_told_from_those_that_are_stuck() {
    let running = Running::start("moving", "glibc", &[]);
    let output = live(&running, &["--json", "-c", "moved", "-c", "refresh", "-c", "refresh", "-c", "moved"]);
    assert_it_goes_on(&running);
    let documents = output.documents();
    let (first, last) = (&documents[0]["data"], &documents[3]["data"]);
    assert_eq!((&first["captures"], &last["captures"]), (&Value::from(1), &Value::from(3)));
    assert_eq!(last["ended"], Value::from(Vec::<Value>::new()));
    for (name, wanted) in Expected::of("moving").threads() {
        let tid = running.truth().tid(name);
        assert_eq!(of(&first["threads"], tid)["moved"], "new", "{name}");
        let row = of(&last["threads"], tid);
        if wanted["moves"] == true {
            assert_eq!((&row["moved"], &row["still_ms"]), (&Value::from("moved"), &Value::from(0)), "{name}: {row}");
            assert!(row["shared_frames"].as_u64() >= Some(2), "its callers are the same: {row}");
        } else {
            assert_eq!((&row["moved"], &row["captures"]), (&Value::from("stayed"), &Value::from(3)), "{name}: {row}");
            assert!(row["still_ms"].as_u64() > Some(0), "{name}: {row}");
        }
    }
    let refreshed = &documents[1]["data"];
    assert!(refreshed["pause_ms"].as_f64().is_some_and(|pause| pause > 0.0), "{refreshed}");
    assert!(refreshed["moved"].as_u64() >= Some(1) && refreshed["stayed"].as_u64() >= Some(3), "{refreshed}");
}

#[test]
fn a_dump_has_one_moment_and_a_process_that_ended_none() {
    let dump = support::dump("deadlock", "glibc");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["-c", "moved", "-c", "refresh"]);
    let output = support::run(command).expect_status(1);
    assert!(output.stderr.contains("a dump holds one moment"), "{}", output.stderr);
    assert!(output.stderr.contains("not a live process"), "{}", output.stderr);

    let mut gone = Command::new("true").spawn().expect("true runs");
    gone.wait().expect("it ends");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(["live", "-p", &gone.id().to_string(), "-c", "summary"]);
    let output = support::run(command).expect_status(1);
    assert!(output.stderr.contains(&format!("there is no process {}", gone.id())), "{}", output.stderr);
}

/// The most memory that dumpscope had until it answered a command from its standard input, in bytes.
fn peak(arguments: &[&str]) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.args(arguments).arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    let mut commands = child.stdin.take().expect("piped");
    commands.write_all(b"threads\n").expect("it reads");
    let mut answer = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut answer).expect("UTF-8");
    assert!(answer.contains("\"threads\""), "{answer}");
    // It waits for the next command.
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it is alive");
    drop(commands);
    assert!(child.wait().expect("a child").success());
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("proc(5)");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn of_a_thousand_threads_what_they_never_touched_takes_no_memory() {
    let running = Running::start("threads1000", "small", &["1000"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let core = folder.path().join("core");
    let core = core.to_str().expect("UTF-8");
    let pid = running.pid().to_string();
    let mut collect = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    collect.args(["collect", "-p", &pid, "--type", "mini", "-o", core]);
    support::run(collect).expect_status(0);
    let (opened, live) = (peak(&["analyze", core]), peak(&["live", "-p", &pid]));
    // The capture is kept beside what is read from it, and the program's own code of taking dumps counts, too; the stacks would take 8 GB.
    assert!(live <= 2 * opened + (16 << 20), "{live} bytes, and {opened} for the same as a file");
}
