//! The program in a real terminal: what it writes, and how it gives the terminal back.

use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use rustix::termios::tcsetwinsize;

use super::terminal::{LEAVE, PATIENCE, Terminal, cells, fresh, has, winsize};

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
fn control_z_gives_the_terminal_back_to_the_shell_until_it_goes_on() {
    // The shell waits for a line before it goes on.
    let script = format!("set -m; {} demo; read line; fg", env!("CARGO_BIN_EXE_dumpscope"));
    let mut terminal = Terminal::run(&["sh", "-c", &script], (80, 24), &[], ".".as_ref());
    terminal.wait_text("deadlock");
    terminal.press("\x1a");
    let shell = terminal.child.id();
    let stopped = || {
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("it is there");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", children.trim())).expect("the shell's only child");
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    };
    let start = Instant::now();
    while !stopped() {
        assert!(start.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
    terminal.wait("restored screen", |seen| has(&seen.raw, LEAVE));
    assert_eq!(terminal.modes().local_modes, fresh().local_modes);
    terminal.press("\n");
    terminal.wait("its screen again", |seen| {
        seen.screen.screen().alternate_screen() && seen.screen.screen().contents().contains("deadlock")
    });
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn control_z_does_not_stop_what_no_shell_could_continue() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("\x1a");
    terminal.wait_text("not suspended");
    terminal.signal(Signal::TSTP);
    terminal.press("2");
    terminal.wait_text("check_progress");
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

/// As in a container that was entered from outside: the session's leader has no number there.
#[test]
fn control_z_does_not_stop_where_the_session_belongs_to_another_pid_namespace() {
    let demo = format!("{} demo; exit $?", env!("CARGO_BIN_EXE_dumpscope"));
    let line = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", &demo];
    let mut terminal = Terminal::run(&line, (80, 24), &[], ".".as_ref());
    terminal.wait_text("deadlock");
    terminal.press("\x1a");
    terminal.wait_text("not suspended");
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn the_screen_follows_the_terminals_size() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("2");
    terminal.wait_text("Waits for");
    for (width, height) in [(20, 5), (1, 1), (200, 50), (61, 20), (200, 60)] {
        let mut seen = terminal.seen.0.lock().expect("no test panics while it holds the screen");
        seen.screen.screen_mut().set_size(cells(height), cells(width));
        drop(seen);
        tcsetwinsize(&terminal.master, winsize(width, height)).expect("a size");
    }
    terminal.wait("detail beside the list that fits whole", |seen| {
        seen.screen.screen().contents().lines().any(|line| line.contains("│") && line.contains("Thread 4745"))
    });
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn a_key_pressed_while_the_size_changes_is_not_left_lying_until_the_next() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    for round in 0..20 {
        let (key, heading) = if round % 2 == 0 { ("2", "Waits for") } else { ("7", "Build id") };
        let width = if round % 3 == 0 { 100 } else { 80 };
        let mut seen = terminal.seen.0.lock().expect("no test panics while it holds the screen");
        seen.screen.screen_mut().set_size(cells(24), cells(width));
        drop(seen);
        tcsetwinsize(&terminal.master, winsize(width, 24)).expect("a size");
        terminal.press(key);
        terminal.wait_text(heading);
    }
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
}

#[test]
fn a_row_is_copied_by_the_terminal() {
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("7");
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
    for pane in ["2", "3", "4", "5", "6", "7", "8", "?"] {
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

#[test]
fn the_mouse_is_captured_only_while_it_is_on() {
    // Source: xterm ctlseqs: DECSET 1000 sends presses; CSI < 0 ; column ; row M is one, counted from 1.
    const ON: &[u8] = b"\x1b[?1000h";
    const OFF: &[u8] = b"\x1b[?1000l";
    let mut terminal = Terminal::demo((80, 24), &[]);
    terminal.press("2");
    terminal.wait_text("Waits for");
    assert!(!has(&terminal.raw(), ON));
    terminal.press("m");
    terminal.wait("captured mouse", |seen| has(&seen.raw, ON));
    terminal.press("\x1b[<0;10;7M\x1b[<0;10;7m");
    terminal.wait("selected third row", |seen| {
        seen.screen.screen().contents().lines().nth(6).is_some_and(|line| line.starts_with('▸'))
    });
    assert!(!has(&terminal.raw(), OFF));
    terminal.press("m");
    terminal.wait("released mouse", |seen| has(&seen.raw, OFF));
    terminal.press("q");
    assert_eq!(terminal.ended(&fresh()).code(), Some(0));
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
    tmux.run(&["send-keys", "7"]);
    tmux.wait(&screen, "0x400000");
    tmux.run(&["send-keys", "y", "a"]);
    tmux.wait(&screen, "copied 0x400000");
    assert_eq!(tmux.wait(&["show-buffer"], "0x"), "0x400000");
}

/// Answers of a terminal to where its cursor is, to its background and to what it is.
const UTF8_AND_LIGHT: &str = "\x1b[1;2R\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62c";

#[test]
fn without_a_locale_the_terminal_is_asked_for_its_letters_and_its_background() {
    for (answers, marker) in [(UTF8_AND_LIGHT, "▸"), ("\x1b[1;3R\x1b[?62c", "*")] {
        let mut terminal = Terminal::start(&["demo"], (80, 24), &[("LANG", "")]);
        terminal.wait("the question where the cursor is", |seen| has(&seen.raw, b"\x1b[6n"));
        terminal.wait("the question for the background", |seen| has(&seen.raw, b"\x1b]11;?"));
        // What is typed around the answers is not lost.
        terminal.press(&format!("3{answers}2"));
        terminal.wait("the first thread selected", |seen| {
            let contents = seen.screen.screen().contents();
            contents.lines().any(|line| line.starts_with(marker) && line.contains("check_progress"))
        });
        terminal.press("q");
        assert_eq!(terminal.ended(&fresh()).code(), Some(0));
    }
}

#[test]
fn where_a_locale_and_a_background_are_set_nothing_is_asked() {
    let terminal = Terminal::demo((80, 24), &[("COLORFGBG", "15;0")]);
    let raw = terminal.raw();
    assert!(!has(&raw, b"\x1b[6n") && !has(&raw, b"\x1b]11;?") && !has(&raw, b"\x1b[c"));
}
