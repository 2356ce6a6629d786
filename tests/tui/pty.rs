//! The program in a real terminal: what it writes, and how it gives the terminal back.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Leaves the alternate screen; shows the cursor. Source: xterm ctlseqs, DECRST 1049, DECSET 25.
const LEAVE: &[u8] = b"\x1b[?1049l";
const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

struct Seen {
    raw: Vec<u8>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Runs the program in a terminal of this size.
    fn start(arguments: &[&str], (width, height): (u16, u16), environment: &[(&str, &str)]) -> Terminal {
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
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_dumpscope")).args(arguments);
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

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid is not 0");
        kill_process(pid, signal).expect("the program is there");
    }

    /// Waits until what was written satisfies `until`.
    #[track_caller]
    fn wait(&self, what: &str, until: impl Fn(&Seen) -> bool) {
        let start = Instant::now();
        let mut seen = self.seen.0.lock().expect("no test panics while it holds the screen");
        while !until(&seen) {
            let left = PATIENCE.checked_sub(start.elapsed());
            let Some(left) = left else { panic!("no {what} in:\n{}", seen.screen.screen().contents()) };
            seen = self.seen.1.wait_timeout(seen, left).expect("no test panics while it holds the screen").0;
        }
    }

    #[track_caller]
    fn wait_text(&self, text: &str) {
        self.wait(text, |seen| seen.screen.screen().contents().contains(text));
    }

    fn raw(&self) -> Vec<u8> {
        self.seen.0.lock().expect("no test panics while it holds the screen").raw.clone()
    }

    /// Waits for the program's end, and checks that the terminal is as it was.
    #[track_caller]
    fn ended(&mut self, before: &rustix::termios::Termios) -> ExitStatus {
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

    fn modes(&self) -> rustix::termios::Termios {
        tcgetattr(&self.slave).expect("the terminal is there")
    }

    /// A demo whose first screen is there, and the terminal's modes before it.
    #[track_caller]
    fn demo(size: (u16, u16), environment: &[(&str, &str)]) -> Terminal {
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

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has a size")
}

fn winsize(width: u16, height: u16) -> Winsize {
    Winsize { ws_col: width, ws_row: height, ws_xpixel: 0, ws_ypixel: 0 }
}

fn has(raw: &[u8], part: &[u8]) -> bool {
    raw.windows(part.len()).any(|window| window == part)
}

/// The modes of a terminal that nobody changed.
fn fresh() -> rustix::termios::Termios {
    let flags = rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY;
    let master = rustix::pty::openpt(flags).expect("a pseudo terminal");
    tcgetattr(&master).expect("a new terminal has modes")
}

#[test]
fn q_gives_the_terminal_back() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    assert_ne!(terminal.modes().local_modes, fresh().local_modes, "keys are read raw while it runs");
    terminal.press("2");
    terminal.wait_text("check_progress");
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn a_signal_gives_the_terminal_back_and_ends_it_as_that_signal_does() {
    use std::os::unix::process::ExitStatusExt;
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut terminal = Terminal::demo((80, 24), &[]);
        terminal.signal(signal);
        assert_eq!(terminal.ended(&fresh()).signal(), Some(signal.as_raw()));
    }
}

#[test]
fn control_z_gives_the_terminal_back_until_it_goes_on() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("\x1a");
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", terminal.child.id())).expect("it is there");
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    };
    let start = Instant::now();
    while !stopped() {
        assert!(start.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
    terminal.wait("restored screen", |seen| has(&seen.raw, LEAVE));
    assert_eq!(terminal.modes().local_modes, fresh().local_modes);
    terminal.signal(Signal::CONT);
    terminal.wait("its screen again", |seen| {
        seen.screen.screen().alternate_screen() && seen.screen.screen().contents().contains("deadlock")
    });
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn the_screen_follows_the_terminals_size() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("2");
    terminal.wait_text("check_progress");
    for (width, height) in [(20, 5), (1, 1), (200, 50), (61, 20), (120, 40)] {
        let mut seen = terminal.seen.0.lock().expect("no test panics while it holds the screen");
        seen.screen.screen_mut().set_size(cells(height), cells(width));
        drop(seen);
        tcsetwinsize(&terminal.master, winsize(width, height)).expect("a size");
    }
    terminal.wait("detail beside the list", |seen| {
        seen.screen.screen().contents().lines().any(|line| line.contains("│") && line.contains("Thread 4745"))
    });
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn a_row_is_copied_by_the_terminal() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("6");
    terminal.wait_text("0x400000");
    terminal.press("ya");
    // "0x400000" in base64, by base64(1).
    terminal.wait("an OSC 52", |seen| has(&seen.raw, b"\x1b]52;c;MHg0MDAwMDA=\x1b\\"));
    terminal.wait_text("copied 0x400000");
    terminal.press("q");
    terminal.ended(&fresh());
}

#[test]
fn a_terminal_without_utf8_and_colour_gets_ascii_and_none() {
    let mut terminal = Terminal::demo((80, 24), &[("LANG", "C"), ("NO_COLOR", "1")]);
    for pane in ["2", "3", "4", "5", "6", "7", "?"] {
        terminal.press(pane);
    }
    terminal.wait_text("Next row");
    assert!(terminal.raw().is_ascii());
    let seen = terminal.seen.0.lock().expect("no test panics while it holds the screen");
    let screen = seen.screen.screen();
    let cells = (0..24).flat_map(|y| (0..80).filter_map(move |x| screen.cell(y, x)));
    let coloured =
        cells.filter(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default);
    assert_eq!(coloured.count(), 0);
}

#[test]
fn what_is_no_dump_is_refused_on_the_command_line() {
    let file = env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml";
    let mut terminal = Terminal::start(&[&file], (80, 24), &[]);
    let status = terminal.ended(&fresh());
    assert_eq!(status.code(), Some(3));
    terminal.wait("reason", |seen| {
        !seen.screen.screen().alternate_screen() && seen.screen.screen().contents().contains("Cargo.toml")
    });
}

/// A tmux server of its own, ended when dropped.
struct Tmux(String);

impl Tmux {
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.0, "-f", "/dev/null"])
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .unwrap_or_else(|why| panic!("tmux: {why}: apt-get install tmux"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    fn wait(&self, arguments: &[&str], text: &str) -> String {
        let start = Instant::now();
        loop {
            let shown = self.run(arguments);
            if shown.contains(text) {
                return shown;
            }
            assert!(start.elapsed() < PATIENCE, "no {text} in:\n{shown}");
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn inside_tmux_what_is_copied_is_in_its_buffer() {
    let tmux = Tmux(format!("dumpscope-test-{}", std::process::id()));
    let command = format!("env LANG=C.UTF-8 {} demo", env!("CARGO_BIN_EXE_dumpscope"));
    tmux.run(&["new-session", "-d", "-x", "80", "-y", "24", &command]);
    let screen = ["capture-pane", "-p"];
    tmux.wait(&screen, "deadlock");
    tmux.run(&["send-keys", "6"]);
    tmux.wait(&screen, "0x400000");
    tmux.run(&["send-keys", "y", "a"]);
    tmux.wait(&screen, "copied 0x400000");
    assert_eq!(tmux.wait(&["show-buffer"], "0x"), "0x400000");
}
