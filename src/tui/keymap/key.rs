//! One key: what the terminal reports, and what it is called.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key, with Ctrl or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    ctrl: bool,
}

/// A letter, a digit, a sign.
pub(super) const fn ch(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: false }
}

/// A letter with Ctrl.
pub(super) const fn ctrl(c: char) -> Key {
    Key { code: KeyCode::Char(c), ctrl: true }
}

/// A key without a letter.
pub(super) const fn key(code: KeyCode) -> Key {
    Key { code, ctrl: false }
}

impl Key {
    /// The key of an event. Shift shows in the letter itself.
    pub fn of(event: &KeyEvent) -> Key {
        Key { code: event.code, ctrl: event.modifiers.contains(KeyModifiers::CONTROL) }
    }

    /// The keys that an event stands for. A terminal sends Alt with a key as Escape and the key, so two that are pressed
    /// quickly one after the other arrive as that; arrows and the like have sequences of their own.
    pub fn all_of(event: &KeyEvent) -> impl Iterator<Item = Key> {
        let is_plain =
            matches!(event.code, KeyCode::Char(_) | KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace | KeyCode::Esc);
        let escaped = event.modifiers.contains(KeyModifiers::ALT) && is_plain;
        escaped.then_some(key(KeyCode::Esc)).into_iter().chain([Key::of(event)])
    }

    /// The digit from 1 that the key is.
    pub fn digit(self) -> Option<usize> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl => c.to_digit(10).and_then(|digit| usize::try_from(digit).ok()),
            _ => None,
        }
    }

    /// The letter that the key types.
    pub fn letter(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl => Some(c),
            _ => None,
        }
    }

    /// The name on the screen and in the documentation: `⏎`, `Ctrl-o`, `PgDn`.
    pub fn name(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::Enter => "⏎".to_owned(),
            KeyCode::Esc => "Esc".to_owned(),
            KeyCode::Tab => "Tab".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            KeyCode::Backspace => "Backspace".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "←".to_owned(),
            KeyCode::Right => "→".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::Home => "Home".to_owned(),
            KeyCode::End => "End".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            _ => "?".to_owned(),
        };
        if self.ctrl { format!("Ctrl-{name}") } else { name }
    }
}
