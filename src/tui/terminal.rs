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
use procfs::process::{Process, Stat};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

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
    let Ok(ours) = Process::myself().and_then(|process| process.stat()) else { return false };
    may_continue(&ours, |pid| Process::new(pid).and_then(|process| process.stat()).ok())
}

/// Ids are 0 for what is outside of our PID namespace: nothing can be said of it.
fn may_continue(ours: &Stat, stat: impl Fn(i32) -> Option<Stat>) -> bool {
    let mut parent = ours.ppid;
    for _ in 0..MAX_PARENTS {
        let seen = if parent > 0 && ours.session > 0 { stat(parent) } else { None };
        let Some(seen) = seen.filter(|seen| seen.session == ours.session) else { return false };
        if seen.pgrp != ours.pgrp {
            return true;
        }
        parent = seen.ppid;
    }
    false
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
