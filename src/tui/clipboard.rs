//! Text into the clipboard of the user's terminal, over SSH and through tmux too: OSC 52.
//!
//! tmux takes OSC 52 from a program inside only with `set-clipboard on`, which is not its default; its own command
//! `load-buffer -w` works with the default. Where that fails, the sequence is wrapped so that tmux passes it on.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crossterm::clipboard::CopyToClipboard;

use crate::report::words::size;

/// Longest text that is copied, in bytes.
// xterm reads at most 100,000 bytes of a sequence, in base64: three quarters of that, less the frame.
// Source: xterm ctlseqs; the limit is MAX_OSC in hterm and the default of tmux's input buffer is larger.
const MAX_COPIED: usize = 74_000;

/// What the terminal is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// Nothing: the sequence goes straight to it.
    Nothing,
    /// tmux.
    Tmux,
    /// GNU screen.
    Screen,
}

impl Inside {
    /// What the environment says.
    pub fn detect(var: impl Fn(&str) -> Option<String>) -> Inside {
        let set = |name: &str| var(name).is_some_and(|value| !value.is_empty());
        if set("TMUX") {
            Inside::Tmux
        } else if set("STY") {
            Inside::Screen
        } else {
            Inside::Nothing
        }
    }
}

/// The bytes that put a text into the clipboard.
pub fn sequence(text: &str, inside: Inside) -> String {
    let plain = osc52(text);
    match inside {
        Inside::Nothing => plain,
        // Source: tmux(1), allow-passthrough: ESC P tmux ; … ESC \, each ESC inside doubled.
        Inside::Tmux => format!("\x1bPtmux;{}\x1b\\", plain.replace('\x1b', "\x1b\x1b")),
        // Source: screen(1), "String Terminator": ESC P … ESC \ is passed to the terminal.
        Inside::Screen => format!("\x1bP{plain}\x1b\\"),
    }
}

fn osc52(text: &str) -> String {
    let mut sequence = String::new();
    // Writing into a string cannot fail.
    let _ = crossterm::Command::write_ansi(&CopyToClipboard::to_clipboard_from(text), &mut sequence);
    sequence
}

/// A text to be copied, as much of it as terminals take, with what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copying {
    text: String,
    /// What is copied.
    pub what: String,
}

impl Copying {
    /// A text, called `what`.
    pub fn new(text: &str, what: &str) -> Copying {
        let kept = text.get(..text.floor_char_boundary(MAX_COPIED)).unwrap_or(text);
        let what = if kept.len() < text.len() {
            format!("the first {} of {what}: terminals take no more", size(MAX_COPIED as u64))
        } else {
            what.to_owned()
        };
        Copying { text: kept.to_owned(), what }
    }

    /// Hands it to the tmux that we are inside of. Waits for it: not for the main loop. Says whether tmux took it.
    pub fn through_tmux(&self) -> bool {
        tmux(&self.text)
    }

    /// Writes the bytes that put it into the clipboard. Returns what to say: what was copied, or why it was not.
    pub fn write(&self, inside: Inside, out: &mut impl Write) -> Result<String, String> {
        let written = out.write_all(sequence(&self.text, inside).as_bytes()).and_then(|()| out.flush());
        written.map(|()| self.what.clone()).map_err(|why| format!("cannot write to the terminal: {why}"))
    }
}

fn tmux(text: &str) -> bool {
    let load = || -> io::Result<bool> {
        let mut child = Command::new("tmux")
            .args(["load-buffer", "-w", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(text.as_bytes())?;
        }
        Ok(child.wait()?.success())
    };
    load().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    // "0x7f12" in base64, by base64(1).
    const ENCODED: &str = "MHg3ZjEy";

    #[test]
    fn the_text_goes_to_the_terminal_in_base64() {
        assert_eq!(sequence("0x7f12", Inside::Nothing), format!("\x1b]52;c;{ENCODED}\x1b\\"));
    }

    #[test]
    fn inside_tmux_the_sequence_is_wrapped_and_its_escapes_doubled() {
        assert_eq!(sequence("0x7f12", Inside::Tmux), format!("\x1bPtmux;\x1b\x1b]52;c;{ENCODED}\x1b\x1b\\\x1b\\"));
    }

    #[test]
    fn a_text_of_the_dump_cannot_end_the_sequence() {
        let sequence = sequence("a\x07b\x1b\\c", Inside::Nothing);
        let inner = sequence.strip_prefix("\x1b]52;c;").and_then(|rest| rest.strip_suffix("\x1b\\"));
        assert!(inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_graphic())), "{sequence:?}");
    }

    #[test]
    fn a_long_text_is_cut_and_that_is_said() {
        let mut out = Vec::new();
        let said = Copying::new(&"é".repeat(60_000), "the pane").write(Inside::Nothing, &mut out);
        assert!(out.len() <= 100_000);
        assert!(said.is_ok_and(|said| said.starts_with("the first")));
    }

    #[test]
    fn the_environment_tells_what_the_terminal_is_inside_of() {
        let with = |name: &'static str| Inside::detect(move |asked| (asked == name).then(|| "x".to_owned()));
        assert_eq!([with("TMUX"), with("STY"), with("TERM")], [Inside::Tmux, Inside::Screen, Inside::Nothing]);
    }
}
