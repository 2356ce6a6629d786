//! A process that a test starts and ends: any command.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A process of the test's own. Killed and waited for when dropped.
#[derive(Debug)]
pub struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Started {
    /// Starts it, standard input and output piped. `tool` is the Debian package that has the program, for the message where it is missing.
    pub fn new(command: &mut Command, package: &str) -> Started {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{command:?}: {why}; apt-get install {package}"));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Started { child, stdout }
    }

    /// The same, and waits for its first line, which is returned without its end.
    pub fn ready(command: &mut Command, package: &str) -> (Started, String) {
        let mut started = Started::new(command, package);
        let line = started.line();
        assert!(!line.is_empty(), "{command:?} ended, or said nothing");
        (started, line)
    }

    /// Its next line.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it prints UTF-8");
        line.trim_end().to_owned()
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until none of its threads has run for half a second: on a busy machine some have not come to where they
    /// stay when the program says that they have. Panics after a minute.
    pub fn at_rest(&self) {
        const STEP: Duration = Duration::from_millis(100);
        let tasks = format!("/proc/{}/task", self.pid());
        let switches = || -> Vec<(PathBuf, Option<String>)> {
            let folders = std::fs::read_dir(&tasks).expect("it lives").flatten().map(|task| task.path());
            let told = |task: PathBuf| {
                let status = std::fs::read_to_string(task.join("status")).ok();
                let lines = |status: &str| {
                    let kept = |line: &&str| line.contains("ctxt_switches") || line.starts_with("State");
                    status.lines().filter(kept).collect::<Vec<_>>().join(", ")
                };
                (task, status.as_deref().map(lines))
            };
            folders.map(told).collect()
        };
        let (mut seen, mut still) = (switches(), 0);
        for _ in 0..600 {
            std::thread::sleep(STEP);
            let now = switches();
            let sleeps = now.iter().all(|(_, told)| told.as_ref().is_some_and(|told| told.contains("S (sleeping)")));
            still = if sleeps && now == seen { still + 1 } else { 0 };
            if still == 5 {
                return;
            }
            seen = now;
        }
        panic!("some threads run on: {seen:?}");
    }

    /// Its standard input; closed when dropped.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("taken once")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("it is ours")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command prints, its ends trimmed; panics where it is missing or fails.
pub fn said(program: &str, arguments: &[&str], package: &str) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|why| panic!("{program}: {why}; apt-get install {package}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
    // `java -version` speaks on standard error.
    if output.stdout.is_empty() { text(&output.stderr) } else { text(&output.stdout) }
}

/// Copies a program that will be run. By another process: while this one has the copy open for writing, a child that another test starts
/// may inherit that, and the kernel runs no file that somebody could write ("text file busy").
#[track_caller]
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let done = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().expect("cp runs");
    assert!(done.success(), "cp {} {}", from.as_ref().display(), to.as_ref().display());
}

/// Sends a signal by its name, `USR1`.
pub fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill is there");
    assert!(done.success(), "kill -{name} {pid}");
}
