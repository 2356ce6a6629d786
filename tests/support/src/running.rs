//! A fixture that is alive, at rest in its final state: for what looks at processes and not at cores.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::{Truth, build};

/// A running fixture. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    truth: Truth,
    // Kept open: a program whose standard output is closed could end early.
    _stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Builds the variant, runs it with these arguments, and returns once it has said that it is ready.
    pub fn start(name: &str, variant: &str, arguments: &[&str]) -> Running {
        let dir = build(name, variant);
        let mut child = Command::new(dir.join("exe"))
            .args(arguments)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("{}: {why}", dir.join("exe").display()));
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the fixture's truth line is UTF-8");
        Running { child, truth: Truth::parse(&line), _stdout: stdout }
    }

    /// The process id, in the namespace of the test.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the process said of itself.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
