//! Why a process may not be dumped, each reason brought about for real.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use support::{Output, Started};

use super::{row, row_in, sleep};

/// A user without rights, and a group.
const NOBODY: &str = "65534";

/// The reasons in a row.
fn reasons(row: &Value) -> Vec<&str> {
    row["refusals"].as_array().expect("a list").iter().filter_map(|refusal| refusal["reason"].as_str()).collect()
}

fn as_nobody(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", program]);
    command
}

/// The program where a user without rights can run it: the folders above the build may be closed to others.
fn public_copy() -> PathBuf {
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let count = COPIES.fetch_add(1, Ordering::Relaxed);
    let copy = std::env::temp_dir().join(format!("dumpscope-ps-{}-{count}", std::process::id()));
    support::copy_program(env!("CARGO_BIN_EXE_dumpscope"), &copy);
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).expect("ours");
    copy
}

/// `ps --all --json` run by a user without rights.
fn ps_as_nobody() -> Output {
    let copy = public_copy();
    let mut command = as_nobody(copy.to_str().expect("plain"));
    command.args(["ps", "--all", "--json"]);
    let output = support::run(command);
    std::fs::remove_file(&copy).expect("ours");
    output.expect_status(0)
}

#[test]
fn a_process_of_another_user_and_what_to_change() {
    let (roots, (own, _)) =
        (sleep(), Started::ready(as_nobody("sh").args(["-c", "echo ready; exec sleep 300"]), "util-linux"));
    let output = ps_as_nobody();
    let theirs = row_in(&output.data("ps"), roots.pid());
    assert_eq!((&theirs["dumpable"], reasons(&theirs)), (&false.into(), vec!["other-user"]));
    let refusal = &theirs["refusals"][0];
    assert_eq!(refusal["message"], "it runs as user 0, you as 65534, without CAP_SYS_PTRACE");
    for words in ["--cap-add=SYS_PTRACE", "shareProcessNamespace: true", "kubectl debug"] {
        assert!(refusal["remedy"].as_str().is_some_and(|text| text.contains(words)), "{refusal}");
    }
    // What is world-readable is known all the same.
    assert_eq!(
        (&theirs["name"], &theirs["uid"], &theirs["runtimes"][0]["kind"]),
        (&"sleep".into(), &0.into(), &"unknown".into())
    );
    assert_eq!(row_in(&output.data("ps"), own.pid())["dumpable"], true);
}

#[test]
fn a_process_that_made_itself_undumpable() {
    let script =
        "import ctypes,sys; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print('ready', flush=True); sys.stdin.read()";
    let (process, _) = Started::ready(as_nobody("/usr/bin/python3").args(["-c", script]), "python3");
    assert_eq!(reasons(&row_in(&ps_as_nobody().data("ps"), process.pid())), ["not-dumpable"]);
    assert_eq!(row(process.pid())["dumpable"], true, "root may");
}

#[test]
fn a_process_of_ones_own_that_may_more() {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
        "--inh-caps",
        "+net_raw",
        "--ambient-caps",
        "+net_raw",
    ]);
    let (process, _) = Started::ready(command.args(["sh", "-c", "echo ready; exec sleep 300"]), "util-linux");
    let row = row_in(&ps_as_nobody().data("ps"), process.pid());
    // CAP_NET_RAW is bit 13.
    assert_eq!(reasons(&row), ["capabilities"]);
    assert_eq!(row["refusals"][0]["message"], "it has capabilities that you lack (mask 0x2000)");
}

/// Runs the program under a seccomp filter that answers EPERM to ptrace, call 101, as old container profiles do.
#[test]
#[cfg(target_arch = "x86_64")]
fn every_process_where_ptrace_is_filtered() {
    let process = sleep();
    // BPF: load the call's number; where it is 101, return ERRNO | EPERM, else ALLOW. PR_SET_NO_NEW_PRIVS is 38, PR_SET_SECCOMP 22, mode 2.
    let script = "import ctypes,os,struct,sys\n\
        code = b''.join(struct.pack('HBBI', *line) for line in [(0x20,0,0,0),(0x15,0,1,101),(6,0,0,0x50001),(6,0,0,0x7fff0000)])\n\
        kept = ctypes.create_string_buffer(code); prog = struct.pack('HxxxxxxQ', 4, ctypes.addressof(kept))\n\
        libc = ctypes.CDLL(None)\n\
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.c_char_p(prog), 0, 0) == 0\n\
        os.execv(sys.argv[1], sys.argv[1:])\n";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script, env!("CARGO_BIN_EXE_dumpscope"), "ps", "--all", "--json"]);
    let output = support::run(command).expect_status(0);
    assert_eq!(reasons(&row_in(&output.data("ps"), process.pid())), ["seccomp"]);
    let warnings = output.documents()[0]["warnings"].clone();
    assert!(
        warnings.as_array().is_some_and(|all| all.iter().any(|warning| warning["code"] == "seccomp")),
        "{warnings}"
    );
}

#[test]
fn a_proc_that_hides_others_is_said_to() {
    let copy = public_copy();
    let process = sleep();
    let script =
        "mount -t proc -o hidepid=2 proc /proc && exec setpriv --reuid $1 --regid $1 --clear-groups $0 ps --all --json";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(&copy).arg(NOBODY);
    let output = support::run(command);
    std::fs::remove_file(&copy).expect("ours");
    let output = output.expect_status(0);
    let document = &output.documents()[0];
    let rows = document["data"]["processes"].as_array().expect("a list");
    assert!(rows.iter().all(|row| row["pid"] != process.pid()), "hidden");
    let warnings = document["warnings"].as_array().expect("a list");
    assert!(warnings.iter().any(|warning| warning["code"] == "hidepid"), "{warnings:?}");
}

#[test]
fn a_process_outside_of_ones_user_namespace() {
    let process = sleep();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_dumpscope"), "ps", "--all", "--json"]);
    let output = support::run(command).expect_status(0);
    let row = row_in(&output.data("ps"), process.pid());
    assert_eq!((&row["dumpable"], reasons(&row)), (&false.into(), vec!["user-namespace"]));
}

#[test]
fn a_process_that_has_exited_and_was_not_waited_for() {
    let mut process = Started::new(&mut Command::new("true"), "coreutils");
    while !std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).is_ok_and(|stat| stat.contains(") Z ")) {}
    let row = row(process.pid());
    assert_eq!(reasons(&row), ["zombie"]);
    assert_eq!(row["rss_bytes"], Value::Null);
    process.wait();
}

#[test]
fn a_process_whose_first_thread_left_is_no_zombie() {
    let script = "import ctypes,threading,time\n\
                  def go():\n    time.sleep(0.2); print('ready', flush=True); time.sleep(300)\n\
                  threading.Thread(target=go).start()\n\
                  ctypes.CDLL(None).pthread_exit(None)\n";
    let (process, _) = Started::ready(Command::new("/usr/bin/python3").args(["-c", script]), "python3");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("it is alive");
    assert!(stat.contains(") Z "), "the kernel calls it a zombie: {stat}");
    assert_eq!(reasons(&row(process.pid())), Vec::<&str>::new());
}

#[test]
fn a_process_that_a_debugger_holds() {
    let process = sleep();
    // PTRACE_SEIZE is 0x4206.
    let script = "import ctypes,sys; r=ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None); print('ready', r, flush=True); \
                  sys.stdin.read()";
    let mut command = Command::new("/usr/bin/python3");
    let (tracer, line) = Started::ready(command.args(["-c", script, &process.pid().to_string()]), "python3");
    assert_eq!(line, "ready 0");
    let row = row(process.pid());
    assert_eq!(reasons(&row), ["traced"]);
    assert_eq!(row["refusals"][0]["message"], format!("process {} traces it", tracer.pid()));
}

#[test]
fn a_thread_of_the_kernel() {
    if !std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        return support::left_out("threads of the kernel: they are not seen from this PID namespace");
    }
    let row = row(2);
    assert_eq!((reasons(&row), &row["name"]), (vec!["kernel-thread"], &"kthreadd".into()));
    assert_eq!((&row["command_line"], &row["rss_bytes"]), (&serde_json::json!([]), &Value::Null));
}
