//! A fixture that is alive, at rest in its final state: for what looks at processes and not at cores.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Truth, build};

/// A running fixture. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    truth: Truth,
    // Kept open: a program whose standard output is closed could end early.
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Builds the variant, runs it with these arguments, and returns once it has said that it is ready.
    pub fn start(name: &str, variant: &str, arguments: &[&str]) -> Running {
        Running::start_with(name, variant, arguments, &[])
    }

    /// The same with variables added to its environment.
    pub fn start_with(name: &str, variant: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let dir = build(name, variant);
        // Signals do what they do by default, also where this runs with some of them ignored (nohup).
        let mut command = Command::new("env");
        command.arg("--default-signal").arg(dir.join("exe")).args(arguments);
        command.envs(environment.iter().copied()).current_dir(&dir);
        Running::from_command(command)
    }

    /// Runs a copy of a fixture's program, and returns once it has said that it is ready.
    pub fn start_at(program: &Path) -> Running {
        let mut command = Command::new("env");
        command.arg("--default-signal").arg(program);
        Running::from_command(command)
    }

    fn from_command(mut command: Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the fixture's truth line is UTF-8");
        Running { child, truth: Truth::parse(&line), stdout }
    }

    /// The process id, in the namespace of the test.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The letter of proc(5) for the state of each thread: `S`, `R`, `T` (stopped), `t` (stopped by a tracer), …
    pub fn states(&self) -> Vec<char> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the process is alive");
        let state = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            stat.rsplit(") ").next()?.chars().next()
        };
        tasks.flatten().filter_map(state).collect()
    }

    /// Sends a signal by name (`STOP`, `CONT`, `TERM`).
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "kill -s {name} {}", self.pid());
    }

    /// Stops the process (SIGSTOP) and returns once all of its threads have stopped: dumps taken now are of the same moment.
    pub fn stop(&self) {
        self.signal("STOP");
        wait_for("all threads to stop", || self.states().iter().all(|state| *state == 'T'));
    }

    /// The rest of what it prints, up to its end.
    pub fn output(mut self) -> String {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut rest).expect("it prints UTF-8");
        rest
    }

    /// What the process said of itself.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }
}

/// Waits until something holds, at most 20 seconds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited 20 s for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
