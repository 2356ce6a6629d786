//! The terminal taken over and given back: on leaving, on a panic, on a signal, on Ctrl-Z.

use std::io::{self, Stdout, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread;

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::style::Print;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::worker;
use crate::error::Error;

/// The terminal that we draw on.
pub(super) type Screen = Terminal<CrosstermBackend<Stdout>>;

// Presses and the wheel, in decimal. Not motion, of which each would cost a frame and mean nothing.
// Source: xterm ctlseqs, "Mouse Tracking": 1000 sends presses and releases, 1006 is the SGR coding.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

static TAKEN: AtomicBool = AtomicBool::new(false);
static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Where a worker panicked last: `src/a.rs:12`.
pub(super) fn last_panic() -> Option<String> {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()
}

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

/// Captures the mouse, or leaves it to the terminal.
pub(super) fn mouse(on: bool) -> io::Result<()> {
    execute!(io::stdout(), Print(if on { MOUSE_ON } else { MOUSE_OFF }))
}

/// A panic gives the terminal back before it is printed; a worker's is kept for its page and not printed.
fn hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let contained = is_contained(thread::current().name()) && TAKEN.load(Ordering::SeqCst);
        if contained {
            let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
            *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = place;
        } else {
            restore();
            before(info);
        }
    }));
}

/// Workers catch their panics; so does rayon, whose threads have no name and pass them on to the worker.
fn is_contained(thread: Option<&str>) -> bool {
    thread.is_none_or(|name| name == worker::THREAD_NAME)
}
