//! The terminal taken over and given back: on leaving, on a panic, on a signal, on Ctrl-Z.

use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::style::Print;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};

use super::panics;
use crate::error::Error;

/// The terminal that we draw on.
pub(super) type Screen = Terminal<CrosstermBackend<Stdout>>;

// Presses and the wheel, in decimal. Not motion, of which each would cost a frame and mean nothing.
// Source: xterm ctlseqs, "Mouse Tracking": 1000 sends presses and releases, 1006 is the SGR coding.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// Parents in one process group that are looked at.
const MAX_PARENTS: usize = 64;

static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Takes the terminal over. Whatever ends the program gives it back.
pub(super) fn take() -> Result<Screen, Error> {
    HOOK.call_once(hook);
    enter().and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout()))).map_err(|source| {
        restore();
        Error::Io { path: "the terminal".into(), source }
    })
}

/// Raw mode and the alternate screen.
pub(super) fn enter() -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)
}

/// Gives the terminal back as it was. Does nothing when it is not taken; errors are of no use to anyone by then.
pub(super) fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), Print(MOUSE_OFF), DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}

/// Whether somebody may continue this process once it has stopped: a shell that started its group. Without one the
/// kernel ignores Ctrl-Z, but not the signal that stops for certain.
/// Source: POSIX.1-2017, Base Definitions 3.264 "Orphaned Process Group", of which the parents are looked at alone.
pub(super) fn can_be_continued() -> bool {
    let (group, session) = (getpgrp(), getsid(None));
    let mut parent = getppid();
    for _ in 0..MAX_PARENTS {
        let Some(pid) = parent.filter(|pid| session.is_ok() && getsid(Some(*pid)) == session) else { return false };
        match getpgid(Some(pid)) {
            Ok(of_parent) if of_parent == group => parent = parent_of(pid),
            other => return other.is_ok(),
        }
    }
    false
}

/// Source: Linux proc_pid_stat(5): the parent follows the state, behind the name in parentheses.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Pid::from_raw(fields.split(' ').nth(1)?.parse().ok()?)
}

/// Captures the mouse, or leaves it to the terminal.
pub(super) fn mouse(on: bool) -> io::Result<()> {
    execute!(io::stdout(), Print(if on { MOUSE_ON } else { MOUSE_OFF }))
}

/// A panic of the thread that draws gives the terminal back before it is printed. Those of all other threads are contained while the
/// terminal is taken: whoever waits for the thread's work tells them.
fn hook() {
    let (before, draws) = (panic::take_hook(), thread::current().id());
    panic::set_hook(Box::new(move |info| {
        if TAKEN.load(Ordering::SeqCst) && thread::current().id() != draws {
            panics::record(info);
        } else {
            restore();
            before(info);
        }
    }));
}
