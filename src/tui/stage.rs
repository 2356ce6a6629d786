//! The screen without a terminal: keys in, what would be seen out. For tests and for the pictures in the documentation.

use std::convert::Infallible;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::app::App;
use super::event::{Answered, Effect, Event, Failure, Opened, Question};
use super::keymap::Action;
use super::look::Look;
use crate::job::Job;

/// Answers the screen's questions at once.
pub type Answer<'a> = Box<dyn FnMut(&Question, &Job) -> Result<Answered, Failure> + 'a>;

/// A screen of a size, fed by hand.
pub struct Stage<'a> {
    /// The state.
    pub app: App,
    screen: Terminal<TestBackend>,
    answer: Answer<'a>,
    /// What was copied.
    pub copied: Vec<String>,
    /// Questions asked, in order.
    pub asked: Vec<Question>,
    /// Whether the screen asked to leave.
    pub quit: bool,
    /// Rows chosen from a list of things to open, and what to do with them.
    pub chosen: Vec<(Action, usize)>,
    /// Whether the screen asked for the mouse last.
    pub mouse: bool,
}

impl<'a> Stage<'a> {
    /// A screen over a dump that is open.
    pub fn new(look: Look, size: (u16, u16), opened: Opened, answer: Answer<'a>) -> Stage<'a> {
        let mut stage = Stage::opening(look, size, &opened.file, answer);
        stage.send(Event::Opened(Ok(opened)));
        stage
    }

    /// A screen over a dump that is being opened.
    pub fn opening(look: Look, size: (u16, u16), file: &str, answer: Answer<'a>) -> Stage<'a> {
        let Ok(screen) = terminal(size);
        let app = App::new(look, size, file, Job::default());
        Stage {
            app,
            screen,
            answer,
            copied: Vec::new(),
            asked: Vec::new(),
            quit: false,
            chosen: Vec::new(),
            mouse: false,
        }
    }

    /// A screen over a list of things to open.
    pub fn choosing(look: Look, size: (u16, u16), title: &'static str, answer: Answer<'a>) -> Stage<'a> {
        let mut stage = Stage::opening(look, size, title, answer);
        stage.app = App::choosing(look, size, title);
        stage.send(Event::Resize(size.0, size.1));
        stage
    }

    /// Takes an event and whatever follows from it.
    pub fn send(&mut self, event: Event) {
        let mut pending = vec![event];
        while let Some(event) = pending.pop() {
            for effect in self.app.update(event) {
                match effect {
                    Effect::Ask(ticket, question, job) => {
                        let answer = (self.answer)(&question, &job);
                        self.asked.push(question);
                        pending.push(Event::Answered(ticket, answer));
                    }
                    Effect::Arrange(ticket, rows) => {
                        pending.extend(rows.run().ok().map(|kept| Event::Arranged(ticket, kept)));
                    }
                    Effect::Copy { text, what } => {
                        self.copied.push(text);
                        pending.push(Event::Copied(Ok(what)));
                    }
                    Effect::Quit => self.quit = true,
                    Effect::Choose(action, row) => self.chosen.push((action, row)),
                    Effect::Mouse(on) => self.mouse = on,
                    Effect::Redraw | Effect::Suspend | Effect::Keep(_) => {}
                }
            }
        }
    }

    /// Presses the keys of a script: letters stand for themselves, `<Enter>`, `<Esc>`, `<C-o>`, `<Down>` for theirs.
    pub fn press(&mut self, script: &str) -> &mut Self {
        let mut rest = script;
        while let Some(first) = rest.chars().next() {
            let named = rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
            let (code, modifiers, after) = match named.and_then(|(name, after)| Some((key(name)?, after))) {
                Some(((code, modifiers), after)) => (code, modifiers, after),
                None => (KeyCode::Char(first), KeyModifiers::NONE, rest.get(first.len_utf8()..).unwrap_or_default()),
            };
            self.send(Event::Key(KeyEvent::new(code, modifiers)));
            rest = after;
        }
        self
    }

    /// Clicks at a column and a line of the screen, from 0.
    pub fn click(&mut self, column: u16, row: u16) -> &mut Self {
        self.point(MouseEventKind::Down(MouseButton::Left), column, row)
    }

    /// Turns the wheel there by one notch.
    pub fn wheel(&mut self, down: bool, column: u16, row: u16) -> &mut Self {
        self.point(if down { MouseEventKind::ScrollDown } else { MouseEventKind::ScrollUp }, column, row)
    }

    fn point(&mut self, kind: MouseEventKind, column: u16, row: u16) -> &mut Self {
        self.send(Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
        self
    }

    /// Makes the screen another size.
    pub fn resize(&mut self, width: u16, height: u16) -> &mut Self {
        self.screen.backend_mut().resize(width, height);
        self.send(Event::Resize(width, height));
        self
    }

    /// The screen's cells.
    pub fn buffer(&mut self) -> &Buffer {
        let Ok(_) = self.screen.draw(|frame| self.app.draw(frame));
        self.screen.backend().buffer()
    }

    /// The screen as text, a line each, without trailing blanks.
    pub fn text(&mut self) -> String {
        let buffer = self.buffer();
        let mut text = String::new();
        for y in 0..buffer.area.height {
            let mut line = String::new();
            let mut x = 0;
            while x < buffer.area.width {
                let symbol = buffer.cell((x, y)).map_or(" ", ratatui::buffer::Cell::symbol);
                line.push_str(symbol);
                x = x.saturating_add(u16::try_from(super::ink::width_of(symbol)).unwrap_or(1).max(1));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn terminal((width, height): (u16, u16)) -> Result<Terminal<TestBackend>, Infallible> {
    Terminal::new(TestBackend::new(width, height))
}

fn key(name: &str) -> Option<(KeyCode, KeyModifiers)> {
    if let Some(letter) = name.strip_prefix("C-") {
        return Some((KeyCode::Char(letter.chars().next()?), KeyModifiers::CONTROL));
    }
    let code = match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "S-Tab" => KeyCode::BackTab,
        "BS" => KeyCode::Backspace,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "Left" => KeyCode::Left,
        "Right" => KeyCode::Right,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        "Home" => KeyCode::Home,
        "End" => KeyCode::End,
        _ => return None,
    };
    Some((code, KeyModifiers::NONE))
}
