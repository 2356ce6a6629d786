//! A program on a pseudo terminal of its own: keys in, the screen that a terminal would show out.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Leaves the alternate screen; shows the cursor. Source: xterm ctlseqs, DECRST 1049, DECSET 25.
pub(crate) const LEAVE: &[u8] = b"\x1b[?1049l";
const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    pub(crate) master: File,
    slave: OwnedFd,
    pub(crate) seen: Arc<(Mutex<Seen>, Condvar)>,
}

pub(crate) struct Seen {
    pub(crate) raw: Vec<u8>,
    pub(crate) screen: vt100::Parser,
}

impl Terminal {
    /// Runs the program in a terminal of this size.
    pub(crate) fn start(arguments: &[&str], size: (u16, u16), environment: &[(&str, &str)]) -> Terminal {
        let mut line = vec![env!("CARGO_BIN_EXE_dumpscope")];
        line.extend(arguments);
        Terminal::run(&line, size, environment, ".".as_ref())
    }

    /// Runs a command line in a terminal of this size, in this folder.
    pub(crate) fn run(
        line: &[&str],
        (width, height): (u16, u16),
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Terminal {
        let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
        let master = rustix::pty::openpt(flags).expect("a pseudo terminal");
        rustix::pty::grantpt(&master).expect("a pseudo terminal");
        rustix::pty::unlockpt(&master).expect("a pseudo terminal");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("a pseudo terminal has a name");
        let name = name.to_str().expect("its name is ASCII").to_owned();
        // Opened by a process without a terminal it would become its own; the test has nothing to do with it.
        let open =
            || -> OwnedFd { OpenOptions::new().read(true).write(true).open(&name).expect("its other end").into() };
        let slave = open();
        tcsetwinsize(&slave, winsize(width, height)).expect("a size");
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(line).current_dir(folder);
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        for name in ["TMUX", "STY", "NO_COLOR", "COLORTERM", "LC_ALL", "LC_CTYPE"] {
            command.env_remove(name);
        }
        command.envs(environment.iter().copied());
        command.stdin(Stdio::from(open())).stdout(Stdio::from(open())).stderr(Stdio::from(open()));
        let child = command.spawn().unwrap_or_else(|why| panic!("setsid: {why}: apt-get install util-linux"));
        let screen = vt100::Parser::new(cells(height), cells(width), 0);
        let seen = Arc::new((Mutex::new(Seen { raw: Vec::new(), screen }), Condvar::new()));
        let master = File::from(master);
        let mut reading = master.try_clone().expect("a second handle");
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut buffer) {
                let mut seen = shared.0.lock().expect("no test panics while it holds the screen");
                seen.raw.extend_from_slice(&buffer[..count]);
                seen.screen.process(&buffer[..count]);
                shared.1.notify_all();
            }
        });
        Terminal { child, master, slave, seen }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid is not 0");
        kill_process(pid, signal).expect("the program is there");
    }

    /// Waits until what was written satisfies `until`.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, until: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        let mut seen = self.seen.0.lock().expect("no test panics while it holds the screen");
        while !until(&seen) {
            let left = PATIENCE.checked_sub(start.elapsed());
            let Some(left) = left else { panic!("no {what} in:\n{}", seen.screen.screen().contents()) };
            seen = self.seen.1.wait_timeout(seen, left).expect("no test panics while it holds the screen").0;
        }
    }

    #[track_caller]
    pub(crate) fn wait_text(&self, text: &str) {
        self.wait(text, |seen| seen.screen.screen().contents().contains(text));
    }

    pub(crate) fn raw(&self) -> Vec<u8> {
        self.seen.0.lock().expect("no test panics while it holds the screen").raw.clone()
    }

    /// Waits for the program's end, and checks that the terminal is as it was.
    #[track_caller]
    pub(crate) fn ended(&mut self, before: &rustix::termios::Termios) -> ExitStatus {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("the program is ours") {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => panic!("it does not end"),
                None => std::thread::yield_now(),
            }
        };
        self.wait("restored screen", |seen| has(&seen.raw, LEAVE) && has(&seen.raw, SHOW_CURSOR));
        let after = tcgetattr(&self.slave).expect("the terminal is there");
        assert_eq!((after.input_modes, after.output_modes), (before.input_modes, before.output_modes));
        assert_eq!(after.local_modes, before.local_modes);
        status
    }

    pub(crate) fn modes(&self) -> rustix::termios::Termios {
        tcgetattr(&self.slave).expect("the terminal is there")
    }

    /// A demo whose first screen is there, and the terminal's modes before it.
    #[track_caller]
    pub(crate) fn demo(size: (u16, u16), environment: &[(&str, &str)]) -> Terminal {
        let terminal = Terminal::start(&["demo"], size, environment);
        terminal.wait_text("orders-api");
        terminal.wait_text("deadlock");
        terminal
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already dead is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has a size")
}

pub(crate) fn winsize(width: u16, height: u16) -> Winsize {
    Winsize { ws_col: width, ws_row: height, ws_xpixel: 0, ws_ypixel: 0 }
}

pub(crate) fn has(raw: &[u8], part: &[u8]) -> bool {
    raw.windows(part.len()).any(|window| window == part)
}

/// The modes of a terminal that nobody changed.
pub(crate) fn fresh() -> rustix::termios::Termios {
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let master = rustix::pty::openpt(flags).expect("a pseudo terminal");
    tcgetattr(&master).expect("a new terminal has modes")
}
