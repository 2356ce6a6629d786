//! `collect` when things go wrong: the process that is dumped always goes on, nothing half written is left, and what happened is said.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{Output, Running, run, wait_for};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dumpscope");

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn collect(pid: u32, options: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["collect", "-p", &pid.to_string()]).args(options);
    command
}

/// The dump fails, says these words, and leaves nothing in the folder.
#[track_caller]
fn assert_refused(command: Command, words: &[&str], folder: &Path) -> Output {
    let output = run(command).expect_status(1);
    for words in words {
        assert!(output.stderr.contains(words), "{words:?} is not in {:?}", output.stderr);
    }
    assert_eq!(files(folder), Vec::<PathBuf>::new());
    output
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect()
}

fn rest() -> Running {
    Running::start("alive", "glibc", &["rest"])
}

#[track_caller]
fn assert_goes_on(process: &Running) {
    wait_for("the process to go on", || process.states().iter().all(|state| *state == 'S'));
}

/// A collector that has stopped the process and cannot write on: nobody reads its standard output.
struct Stuck {
    collector: Child,
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.collector.kill();
        let _ = self.collector.wait();
    }
}

impl Stuck {
    fn on(process: &Running) -> Stuck {
        let mut command = collect(process.pid(), &["-o", "-", "--buffer", "0"]);
        let collector = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        wait_for("the process to be stopped", || process.states().iter().all(|state| *state == 't'));
        Stuck { collector }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.collector.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// What it said, once it has ended; nobody reads the dump.
    fn end(mut self) -> (Option<i32>, String) {
        wait_for("the collector to end", || self.collector.try_wait().expect("a child").is_some());
        let mut said = String::new();
        self.collector.stderr.take().expect("piped").read_to_string(&mut said).expect("it says UTF-8");
        (self.collector.wait().expect("a child").code(), said)
    }
}

/// Larger than the buffers that there are always between process and output, so that a collector whose output is not read stays in the middle.
fn large() -> Running {
    Running::start("alive", "glibc", &["witness", "96"])
}

#[test]
fn a_killed_collector_leaves_the_process_running() {
    let process = large();
    let stuck = Stuck::on(&process);
    stuck.signal("KILL");
    stuck.end();
    wait_for("the process to go on", || process.states().iter().all(|state| matches!(state, 'S' | 'R')));
    process.signal("TERM");
    let said = process.output();
    assert!(said.ends_with(" interrupted 0 signals 0 children 0\n"), "{said}");
}

#[test]
fn a_killed_collector_leaves_a_stopped_process_stopped() {
    let process = large();
    process.stop();
    let stuck = Stuck::on(&process);
    stuck.signal("KILL");
    stuck.end();
    wait_for("the process to be as it was", || process.states().iter().all(|state| *state == 'T'));
    process.signal("CONT");
    wait_for("the process to go on", || process.states().iter().all(|state| matches!(state, 'S' | 'R')));
}

/// Ids of the children of a process's first thread.
fn children(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it is alive")
}

fn is_traced(process: &Running) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it is alive");
    let status = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).ok();
    tasks.flatten().filter_map(status).any(|status| !status.contains("TracerPid:\t0\n"))
}

/// A collector whose output nobody reads, and the copy of the process that it reads.
fn stuck_on_copy(process: &Running) -> Stuck {
    let mut command = collect(process.pid(), &["-o", "-", "--mode", "fork"]);
    let collector = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for("the copy to be made", || !children(process.pid()).is_empty());
    Stuck { collector }
}

/// No copy is left, and the process, to which nothing was done, ends when it is told to.
#[track_caller]
fn assert_unharmed(process: Running) {
    wait_for("the copy to be reaped", || children(process.pid()).is_empty());
    wait_for("the process to go on", || process.states().iter().all(|state| matches!(state, 'S' | 'R')));
    process.signal("TERM");
    let said = process.output();
    assert!(said.ends_with(" interrupted 0 signals 0 children 0\n"), "{said}");
}

#[test]
fn a_killed_collector_leaves_no_copy_of_the_process() {
    // From the first moment on, at which a thread of the process has registers that are not its own. The delays are what is tested,
    // moments at which it is killed, and wait for nothing: what is checked holds at each of them.
    for delay_ms in [0, 0, 0, 1, 2, 5, 10, 100] {
        let process = large();
        let stuck = stuck_on_copy(&process);
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        stuck.signal("KILL");
        stuck.end();
        assert_unharmed(process);
    }
}

#[test]
fn a_killed_reader_of_the_copy_leaves_none_either() {
    let process = large();
    let stuck = stuck_on_copy(&process);
    let reader = children(stuck.collector.id());
    // While the copy is made a thread of the process runs, with registers that only the reader can put back.
    wait_for("the process to be let go", || !is_traced(&process));
    let sent = Command::new("kill").args(["-s", "KILL", reader.trim()]).status();
    assert!(sent.expect("kill runs").success());
    let (code, said) = stuck.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was ended by signal 9; nothing was kept"), "{said}");
    assert_unharmed(process);
}

#[test]
fn a_cancelled_collector_lets_the_process_go_at_once() {
    for signal in ["TERM", "INT", "HUP"] {
        let process = large();
        let stuck = Stuck::on(&process);
        stuck.signal(signal);
        wait_for("the process to go on", || process.states().iter().all(|state| matches!(state, 'S' | 'R')));
        let (code, said) = stuck.end();
        assert_eq!(code, Some(1), "SIG{signal}: {said}");
        assert!(said.contains("cancelled"), "SIG{signal}: {said}");
    }
}

#[test]
fn a_terminals_stop_key_does_not_stop_the_collector_and_with_it_the_process() {
    let process = large();
    let mut command = collect(process.pid(), &["-o", "-", "--buffer", "0", "--max-pause", "1"]);
    let collector = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let stuck = Stuck { collector };
    wait_for("the process to be stopped", || process.states().iter().all(|state| *state == 't'));
    stuck.signal("TSTP");
    // The limit holds.
    let (code, said) = stuck.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was stopped for 1.0 s, the limit"), "{said}");
    assert!(process.states().iter().all(|state| matches!(state, 'S' | 'R')), "{:?}", process.states());
}

#[test]
fn the_process_is_never_stopped_longer_than_the_limit() {
    let process = large();
    let mut command = collect(process.pid(), &["-o", "-", "--buffer", "0", "--max-pause", "0.3"]);
    let collector = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let (code, said) = Stuck { collector }.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was stopped for 0.3 s, the limit"), "{said}");
    assert!(process.states().iter().all(|state| matches!(state, 'S' | 'R')), "{:?}", process.states());
}

#[test]
fn a_file_whose_bytes_do_not_come_does_not_keep_the_process_stopped() {
    for kind in ["mini", "heap", "full"] {
        for (mode, signal) in [("direct", None), ("fork", Some("INT")), ("direct", Some("INT"))] {
            let process = Running::start("alive", "glibc", &["far"]);
            let limit = if signal.is_some() { "60" } else { "0.5" };
            let mut command =
                collect(process.pid(), &["-o", "-", "--type", kind, "--mode", mode, "--max-pause", limit]);
            let collector = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
            let stuck = Stuck { collector };
            if mode == "direct" {
                wait_for("the process to be stopped", || process.states() == ['t']);
            }
            if let Some(signal) = signal {
                stuck.signal(signal);
            }
            wait_for("the process to go on", || process.states() == ['S']);
            // With it the server ends, and what was asked of it fails.
            process.signal("KILL");
            let (_, said) = stuck.end();
            assert!(signal.is_some() || said.contains("was stopped for 0.5 s, the limit"), "{kind}, {mode}: {said}");
        }
    }
}

#[test]
fn the_end_of_the_process_is_noticed() {
    let process = large();
    let stuck = Stuck::on(&process);
    process.signal("KILL");
    let (code, said) = stuck.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ended while it was being dumped"), "{said}");
}

#[test]
fn a_process_under_a_debugger_is_refused_with_the_debuggers_name() {
    let process = large();
    let stuck = Stuck::on(&process);
    let folder = folder();
    let output = folder.path().join("core");
    let mut second = collect(process.pid(), &["-o"]);
    second.arg(&output);
    let tracer = format!("is traced by process {} (dumpscope)", stuck.collector.id());
    assert_refused(second, &[&tracer, "can have one tracer only"], folder.path());
    stuck.signal("KILL");
    stuck.end();
}

#[test]
fn a_full_disk_is_noticed_before_and_leaves_nothing_behind() {
    let process = rest();
    let folder = folder();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&disk).status();
    assert!(mounted.expect("mount runs (apt-get install mount)").success(), "needs root, to mount a small tmpfs");
    let unmount = || Command::new("umount").arg(&disk).status().expect("umount runs").success();
    let refused = std::panic::catch_unwind(|| {
        let mut command = collect(process.pid(), &["-o"]);
        command.arg(disk.join("core"));
        assert_refused(command, &["the dump needs about", "are free there"], &disk);
        // A stream is not measured before; its end is an error all the same.
        let mut command = collect(process.pid(), &["-o", "-"]);
        let full = std::fs::File::create(disk.join("stream")).expect("a file");
        let output = command.stdout(full).stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the disk is full"), "{said}");
    });
    assert!(unmount());
    if let Err(why) = refused {
        std::panic::resume_unwind(why);
    }
    assert_goes_on(&process);
}

#[test]
fn a_limit_of_file_size_is_an_error_and_leaves_nothing_behind() {
    let process = rest();
    let folder = folder();
    let mut command = Command::new("sh");
    let line =
        format!("ulimit -f 512; exec {PROGRAM} collect -p {} -o {}/core", process.pid(), folder.path().display());
    command.args(["-c", &line]);
    assert_refused(command, &["files may not be larger"], folder.path());
    assert_goes_on(&process);
}

#[test]
fn nothing_that_is_there_is_replaced_or_followed() {
    let process = rest();
    let folder = folder();
    let outside = folder.path().join("outside");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&outside, &link).expect("a link");
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").expect("a file");
    for path in [&link, &file] {
        let mut command = collect(process.pid(), &["-o"]);
        command.arg(path);
        let said = run(command).expect_status(1).stderr;
        assert!(said.contains("is there already"), "{said}");
    }
    assert!(!outside.exists());
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "mine");

    // Where everybody may remove what others wrote, nothing is written.
    let open = folder.path().join("open");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("permissions");
    let mut command = collect(process.pid(), &["-o"]);
    command.arg(open.join("core"));
    assert_refused(command, &["no sticky bit"], &open);
}

#[test]
fn a_dump_is_its_owners_alone() {
    let process = rest();
    let folder = folder();
    let core = folder.path().join("core");
    let line = format!("umask 0; exec {PROGRAM} collect --type mini -p {} -o {}", process.pid(), core.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]);
    run(command).expect_status(0);
    assert_eq!(std::fs::metadata(&core).expect("the core").permissions().mode() & 0o7777, 0o600);
}

#[test]
fn without_a_name_the_dump_is_called_by_the_time_as_dotnet_dump_does() {
    let process = rest();
    let folder = folder();
    let mut command = collect(process.pid(), &["--type", "mini"]);
    command.current_dir(folder.path()).env("TZ", "UTC");
    let said = run(command).expect_status(0).stdout;
    let name = said.trim();
    // core_20261128_092755
    let digits: Vec<&str> = name.split('_').collect();
    assert_eq!(digits.iter().map(|part| part.len()).collect::<Vec<_>>(), [4, 8, 6], "{name}");
    assert!(folder.path().join(name).exists());
}

#[test]
fn what_cannot_be_dumped_is_refused_with_the_reason() {
    let folder = folder();
    let refused = |pid: u32, words: &[&str]| {
        let mut command = collect(pid, &["-o"]);
        command.arg(folder.path().join("core"));
        assert_refused(command, words, folder.path());
    };
    // Ids end at 4,194,304 (PID_MAX_LIMIT).
    refused(4_194_305, &["there is no process 4194305"]);
    let kernel = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if kernel.trim() == "kthreadd" {
        refused(2, &["is a thread of the kernel"]);
    }
    let mut zombie = Command::new("true").spawn().expect("true runs");
    let stat = format!("/proc/{}/stat", zombie.id());
    wait_for("it to end", || std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")));
    refused(zombie.id(), &["is a zombie"]);
    zombie.wait().expect("a child");
    let process = rest();
    let thread = u32::try_from(process.truth().tid("cashier")).expect("a tid");
    refused(thread, &["is a thread of process", &format!("-p {}", process.pid())]);
}

#[test]
fn a_process_that_waits_in_vfork_is_refused_at_once_with_the_child_that_has_its_memory() {
    let process = Running::start("alive", "glibc", &["vforks"]);
    wait_for("the child", || !children(process.pid()).is_empty());
    let child = children(process.pid()).trim().to_owned();
    let folder = folder();
    let mut command = collect(process.pid(), &["-o"]);
    command.arg(folder.path().join("core"));
    let began = std::time::Instant::now();
    assert_refused(command, &["waits in vfork()", &format!("-p {child}")], folder.path());
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    // What is told works, and leaves both as they were.
    let core = folder.path().join("core");
    let mut command = collect(child.parse().expect("a number"), &["--type", "mini", "-o"]);
    command.arg(&core);
    run(command).expect_status(0);
    assert_eq!(process.states(), ['D']);
}

#[test]
fn another_users_process_is_refused_with_who_may() {
    let process = rest();
    // A copy that everybody may run.
    let folder = folder();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("permissions");
    let program = folder.path().join("dumpscope");
    support::copy_program(PROGRAM, &program);
    let own = folder.path().join("own");
    std::fs::create_dir(&own).expect("a folder");
    std::os::unix::fs::chown(&own, Some(65_534), Some(65_534)).expect("needs root, to become another user");
    let mut command = Command::new(&program);
    command.args(["collect", "-p", &process.pid().to_string(), "-o"]).arg(own.join("core"));
    command.uid(65_534).gid(65_534);
    assert_refused(command, &["belongs to user 0, and this is user 65534", "as root"], &own);
    assert_goes_on(&process);
}

#[test]
fn processes_that_start_end_fork_and_exec_all_the_time_are_dumped_or_refused() {
    let mut command = Command::new(support::build("alive", "glibc").join("exe"));
    let Killed(process) = &mut Killed(command.arg("churn").stdout(Stdio::null()).spawn().expect("it starts"));
    let folder = folder();
    let (mut whole, mut refused) = (0, 0);
    for index in 0..60 {
        let core = folder.path().join("core");
        let kind = ["full", "heap", "mini", "triage"][index % 4];
        let mode = ["direct", "fork"][index % 2];
        let mut command = collect(process.id(), &["--type", kind, "--mode", mode, "-o"]);
        command.arg(&core);
        let output = run(command);
        if output.status.success() {
            whole += 1;
            let mut command = Command::new(PROGRAM);
            command.arg("analyze").arg(&core).args(["--json", "-c", "stack --all"]);
            let stacks = run(command).expect_status(0);
            assert!(!stacks.stderr.contains("truncated"), "{}", stacks.stderr);
            std::fs::remove_file(&core).expect("the core");
        } else {
            // It ran another program at that very moment.
            assert!(output.stderr.contains("(exec)"), "{}", output.stderr);
            refused += 1;
        }
        assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("it is alive");
        assert!(!stat.contains(") t ") && !stat.contains(") T "), "{stat}");
    }
    assert!(process.try_wait().expect("a child").is_none(), "the process ended");
    assert!(whole > refused, "{whole} whole, {refused} refused");
}

#[test]
fn a_process_that_runs_another_program_while_it_is_being_stopped_hangs_neither_itself_nor_us() {
    let mut command = Command::new(support::build("alive", "glibc").join("exe"));
    let process = Killed(command.arg("execs").stdout(Stdio::null()).spawn().expect("it starts"));
    let folder = folder();
    let core = folder.path().join("core");
    for _ in 0..60 {
        let mut command = collect(process.0.id(), &["--type", "mini", "-o"]);
        let command = command.arg(&core).stdout(Stdio::null()).stderr(Stdio::null());
        let mut collector = Killed(command.spawn().expect("it starts"));
        wait_for("the collector to end", || collector.0.try_wait().expect("a child").is_some());
        // Where it was another program by then, nothing is there.
        let _ = std::fs::remove_file(&core);
    }
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).expect("it is alive");
    wait_for("the process to go on", || stat().contains(") S ") || stat().contains(") R "));
}

#[test]
fn memory_that_a_stopped_server_would_have_to_provide_is_not_asked_for() {
    let process = Running::start("alive", "glibc", &["served"]);
    let folder = folder();
    for kind in ["full", "heap", "mini", "triage"] {
        for mode in ["direct", "fork"] {
            let core = folder.path().join(format!("{kind}-{mode}"));
            let mut command = collect(process.pid(), &["--type", kind, "--mode", mode, "-o"]);
            let command = command.arg(&core).stdout(Stdio::null()).stderr(Stdio::null());
            let mut collector = Killed(command.spawn().expect("it starts"));
            wait_for("the collector to end", || collector.0.try_wait().expect("a child").is_some());
            // The page that was provided, and one that was not.
            let memory = process.truth().value("memory");
            let read = |address: u64| {
                let mut command = Command::new(PROGRAM);
                command.arg("analyze").arg(&core).args(["-c", &format!("readmemory {address:x}")]);
                let output = run(command);
                assert!(!output.stderr.contains("damaged"), "{}", output.stderr);
                output.stdout
            };
            assert!(kind == "triage" || read(memory).contains("70 72 6f 76 69 64 65 64"), "{kind}, {mode}");
            assert!(!read(memory + 0x2000).contains("00 00 00 00"), "{kind}, {mode}");
        }
    }
    assert_goes_on(&process);
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_is_found_by_its_name_if_only_one_has_it() {
    let folder = folder();
    // No other process has this name, nor one of another run.
    let name = format!("one-{}", std::process::id());
    let program = folder.path().join(&name);
    support::copy_program(support::build("alive", "glibc").join("exe"), &program);
    let start = || {
        let mut child = Killed(Command::new(&program).arg("rest").stdout(Stdio::piped()).spawn().expect("it starts"));
        let mut byte = [0];
        child.0.stdout.as_mut().expect("piped").read_exact(&mut byte).expect("it is ready");
        child
    };
    let by_name = |name: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["collect", "-n", name, "--type", "mini", "-o"]).arg(folder.path().join("core"));
        run(command)
    };
    let first = start();
    by_name(&name).expect_status(0);
    let second = start();
    let said = by_name(&name).expect_status(1).stderr;
    assert!(said.contains(&format!("2 processes are called '{name}'")), "{said}");
    assert!(said.contains(&first.0.id().to_string()) && said.contains(&second.0.id().to_string()), "{said}");
    drop((first, second));
    let said = by_name(&name).expect_status(1).stderr;
    assert!(said.contains(&format!("no process is called '{name}'")), "{said}");
}
