//! `dumpscope ps` against what the processes themselves, the kernel and the runtimes' own tools say.

mod refusals;
mod runtimes;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use support::{Started, dumpscope, said};

/// The row of a process in `ps --all --json`.
#[track_caller]
fn row(pid: u32) -> Value {
    let output = dumpscope!("ps", "--all", "--json").expect_status(0);
    row_in(&output.data("ps"), pid)
}

#[track_caller]
fn row_in(data: &Value, pid: u32) -> Value {
    let rows = data["processes"].as_array().expect("a list");
    rows.iter().find(|row| row["pid"] == pid).unwrap_or_else(|| panic!("no process {pid}")).clone()
}

/// A folder of this test's own.
fn scratch(name: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("ps").join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the scratch folder can be made");
    dir
}

fn sleep() -> Started {
    Started::new(Command::new("sleep").arg("300"), "coreutils")
}

/// A field of /proc/PID/status, its unit left out.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it is alive");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("the kernel tells");
    line.trim().trim_end_matches(" kB").to_owned()
}

#[test]
fn a_native_process_is_shown_as_the_kernel_knows_it() {
    let process = sleep();
    // Its first page faults are over when it sleeps.
    while !std::fs::read_to_string(format!("/proc/{}/wchan", process.pid())).is_ok_and(|at| at.contains("nanosleep")) {}
    let row = row(process.pid());
    assert_eq!(row["name"], "sleep");
    assert_eq!(row["command_line"], serde_json::json!(["sleep", "300"]));
    assert_eq!(row["threads"].to_string(), status(process.pid(), "Threads"));
    let kib: u64 = status(process.pid(), "VmRSS").parse().expect("a number");
    assert_eq!(row["rss_bytes"], kib * 1024);
    let executable = std::fs::read_link(format!("/proc/{}/exe", process.pid())).expect("ours");
    assert_eq!(row["executable"], executable.to_str().expect("plain"));
    assert_eq!(row["user"], said("id", &["-un"], "coreutils"));
    assert_eq!(row["parent"], std::process::id());
    assert!(row["age_seconds"].as_u64().is_some_and(|age| age < 60), "{row}");
    let runtimes = row["runtimes"].as_array().expect("a list");
    assert_eq!((runtimes.len(), &runtimes[0]["kind"]), (1, &"native".into()));
    assert_eq!((&row["dumpable"], &row["refusals"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(row["namespace_pid"], Value::Null);
}

#[test]
fn without_all_only_what_can_be_dumped_is_listed_and_the_rest_counted() {
    let output = dumpscope!("ps", "--json").expect_status(0);
    let data = output.data("ps");
    let rows = data["processes"].as_array().expect("a list");
    assert!(!rows.is_empty() && rows.iter().all(|row| row["dumpable"] == true));
    assert!(data["hidden"]["itself"] == 1, "{}", data["hidden"]);
    let sorted = rows.windows(2).all(|pair| pair[0]["rss_bytes"].as_u64() >= pair[1]["rss_bytes"].as_u64());
    assert!(sorted, "by memory");
}

#[test]
fn the_text_has_a_row_for_each_and_each_reason_once() {
    let process = sleep();
    let output = dumpscope!("ps", "--all", "--sort", "pid").expect_status(0);
    let row = output.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{} ", process.pid())));
    let row = row.unwrap_or_else(|| panic!("{}", output.stdout));
    assert!(row.contains("native") && row.ends_with("sleep 300"), "{row}");
    let legend = output.stdout.split("May not be dumped\n").nth(1).expect("this very process may not");
    assert_eq!(legend.matches("this very process").count(), 1, "{legend}");
}

#[test]
fn names_and_arguments_that_would_command_a_terminal_are_shown_not_obeyed() {
    let hostile = "\x1b]0;owned\x07\n) R 1 (";
    let script = "import ctypes,sys; ctypes.CDLL(None).prctl(15, b'\\xff\\x1b[2J)\\n(', 0, 0, 0); print('ready', flush=True); \
                  sys.stdin.read()";
    let mut command = Command::new("/usr/bin/python3");
    let (process, _) = Started::ready(command.args(["-c", script, hostile]), "python3");
    let row = row(process.pid());
    // What is no UTF-8 is written as its bytes; the rest is there as it is, escaped by JSON.
    assert_eq!(row["name"], "\\xff\x1b[2J)\n(");
    assert_eq!(row["command_line"][3], hostile);
    let output = dumpscope!("ps", "--all").expect_status(0);
    let row = output.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{} ", process.pid())));
    let row = row.expect("on one line of its own");
    assert!(row.contains("\\xff\\x1b[2J)\\n(") && row.ends_with("\\x1b]0;owned\\x07\\n) R 1 ("), "{row}");
    assert!(output.stdout.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn a_pid_namespace_and_a_control_group_are_seen_from_outside() {
    let mut command = Command::new("unshare");
    let (process, _) =
        Started::ready(command.args(["--pid", "--fork", "sh", "-c", "echo ready; exec sleep 300"]), "util-linux");
    let children =
        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.pid())).expect("its children");
    let inner: u32 = children.trim().parse().expect("one child");
    let row = row(inner);
    assert_eq!(row["namespace_pid"], 1);
    // Not killed with its parent.
    support::signal(inner, "KILL");
}

#[test]
fn from_inside_a_pid_namespace_it_is_said_that_others_are_not_seen() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_dumpscope"), "ps", "--all", "--json"]);
    let output = support::run(command).expect_status(0);
    let document = &output.documents()[0];
    let rows = document["data"]["processes"].as_array().expect("a list");
    assert_eq!((rows.len(), &rows[0]["pid"]), (1, &1.into()), "only itself is there");
    assert_eq!(document["warnings"][0]["code"], "pid-namespace");
    assert!(document["warnings"][0]["message"].as_str().is_some_and(|text| text.contains("shareProcessNamespace")));
}

#[test]
fn processes_that_come_and_go_meanwhile_do_no_harm() {
    let script = "while :; do (exec true) & (sleep 0.01) & wait; done";
    let _busy: Vec<Started> = (0..4).map(|_| Started::new(Command::new("sh").args(["-c", script]), "dash")).collect();
    let job = dumpscope::job::Job::default();
    let mut listed = 0;
    for _ in 0..20 {
        let found = dumpscope::processes::list(&job).unwrap_or_else(|why| panic!("{why}"));
        let pids: Vec<u32> = found.value.iter().map(|process| process.pid).collect();
        assert!(pids.is_sorted_by(|a, b| a < b), "each once, in order");
        assert!(pids.contains(&std::process::id()), "those that stay are all there");
        listed += pids.len();
    }
    assert!(listed > 100);
}

#[test]
fn a_cancelled_listing_stops() {
    let job = dumpscope::job::Job::default();
    job.cancel();
    assert!(matches!(dumpscope::processes::list(&job), Err(dumpscope::error::Error::Cancelled)));
}

/// A control group of its own, named as an engine would; removed when dropped.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        // A group that still has a process cannot be removed; it is empty by then or shows up in the next run.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_container_is_named_by_its_control_group() {
    let id: String = format!("{:064x}", 0xd0c7_e200_0000_0000_u64 + u64::from(std::process::id()));
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"];
    let group = roots.iter().find_map(|root| {
        let group = PathBuf::from(root).join(format!("docker-{id}.scope"));
        let procs = std::fs::create_dir(&group).is_ok() && group.join("cgroup.procs").exists();
        let group = Group(group);
        procs.then_some(group)
    });
    let Some(group) = group else {
        return support::left_out("containers by their control groups: none can be made below /sys/fs/cgroup");
    };
    let process = sleep();
    std::fs::write(group.0.join("cgroup.procs"), process.pid().to_string()).expect("root may");
    let row = row(process.pid());
    assert_eq!(row["container"], serde_json::json!({ "engine": "docker", "id": id, "pod_uid": null }));
    drop(process);
}

#[test]
fn one_name_means_one_process() {
    let name = format!("unique{}", std::process::id());
    let link = scratch("names").join(&name);
    support::copy_program("/bin/sleep", &link);
    let job = dumpscope::job::Job::default();
    let absent = dumpscope::processes::find(&name, &job).map(|found| found.pid).map_err(|error| error.to_string());
    assert!(absent.is_err_and(|said| said.contains("no process is called")));
    let first = Started::new(Command::new(&link).arg("300"), "coreutils");
    let settled = |process: &Started| {
        while !std::fs::read_link(format!("/proc/{}/exe", process.pid())).is_ok_and(|exe| exe == link) {}
    };
    settled(&first);
    let found = dumpscope::processes::find(&name, &job).expect("there is one");
    assert_eq!(found.pid, first.pid());
    let second = Started::new(Command::new(&link).arg("301"), "coreutils");
    settled(&second);
    let said = dumpscope::processes::find(&name, &job).map(|found| found.pid).map_err(|error| error.to_string());
    let said = said.expect_err("there are two");
    for process in [&first, &second] {
        assert!(said.contains(&format!(" {} {name} (native)", process.pid())), "{said}");
    }
}
