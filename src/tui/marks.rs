//! Objects that were marked: shown in every list, and gone to from anywhere.

use ratatui::layout::Rect;

use super::app::{App, Overlay};
use super::draw::choices;
use super::heap;
use super::ink::Pen;
use super::keymap::Action;
use super::layout::Layout;
use super::pane::Pane;
use crate::model::{Addr, Subject};
use crate::report::section::{Tone, Value};
use crate::report::words::{Room, words};
use crate::views::dumpheap;

/// Marks that are kept.
const MOST: usize = 100;
/// What stands before the row of a marked object.
const MARK: &str = "•";

impl App {
    /// Marks the object that keys speak of, or takes its mark away.
    pub(super) fn mark(&mut self) {
        let Some(at) = self.object() else { return };
        if self.unmark(at) {
            return self.say(format!("{at} is no longer marked"), Tone::Plain);
        }
        if self.marks.len() >= MOST {
            return self.say(format!("there are {MOST} marks: ' lists them, x takes one away"), Tone::Guess);
        }
        self.marks.push((at, self.called(at)));
        self.say(format!("{at} is marked; ' finds it again"), Tone::Plain);
    }

    /// What an object is called: its type, as far as the row or the way to the page tells it.
    fn called(&self, at: Addr) -> String {
        let of_row = || {
            let row = self.pane.row().filter(|row| row.subject == Some(Subject::Object(at)))?;
            let named = row.cells.iter().find(|cell| matches!(cell.value, Value::Type(_) | Value::Text(_)))?;
            Some(words(&named.value, Room::Sentence).into_owned())
        };
        let own = at.to_string();
        let crumbs = &self.pane.crumbs;
        let of_page = || crumbs.iter().position(|crumb| *crumb == own).and_then(|at| crumbs.get(at.checked_sub(1)?));
        of_row().or_else(|| of_page().cloned()).unwrap_or_default()
    }

    /// Whether there was a mark to take away.
    fn unmark(&mut self, at: Addr) -> bool {
        let before = self.marks.len();
        self.marks.retain(|(marked, _)| *marked != at);
        self.marks.len() < before
    }

    pub(super) fn open_marks(&mut self) {
        match self.marks.is_empty() {
            true => self.say("no object is marked: x marks the one that is selected", Tone::Plain),
            false => self.overlay = Overlay::Marks(0),
        }
    }

    /// Does what a key says in the list of marks.
    pub(super) fn act_in_marks(&mut self, choice: usize, action: Action) {
        let last = self.marks.len().saturating_sub(1);
        match action {
            Action::NextChoice => self.overlay = Overlay::Marks(choice.saturating_add(1).min(last)),
            Action::PreviousChoice => self.overlay = Overlay::Marks(choice.saturating_sub(1)),
            Action::Accept => self.go_to_mark(choice),
            Action::Erase => {
                if let Some((at, _)) = self.marks.get(choice).cloned() {
                    self.unmark(at);
                }
                let last = self.marks.len().checked_sub(1);
                self.overlay = last.map_or(Overlay::None, |last| Overlay::Marks(choice.min(last)));
            }
            _ => {}
        }
    }

    /// Opens the page of a marked object.
    pub(super) fn go_to_mark(&mut self, choice: usize) {
        self.overlay = Overlay::None;
        let Some((at, _)) = self.marks.get(choice).cloned() else { return };
        let title = at.to_string();
        let mut pane = Pane::new(title.clone(), Some(heap::object(at)), Vec::new(), self.pane.size());
        let tab = self.tabs.iter().position(|tab| tab.view == Some(&dumpheap::VIEW)).unwrap_or(self.tab);
        let own = self.tabs.get(tab).map(|tab| tab.title.to_owned());
        pane.crumbs = own.into_iter().chain(["marked".to_owned(), title]).collect();
        self.page_to(pane);
        self.tab = tab;
    }

    pub(super) fn mark_menu(&self, pen: &mut Pen<'_>, layout: Layout, choice: usize) {
        let row =
            |(index, (at, name)): (usize, &(Addr, String))| (format!("{} {at}", index.saturating_add(1)), name.clone());
        let rows: Vec<(String, String)> = self.marks.iter().enumerate().map(row).collect();
        choices(pen, layout, &rows, Some(choice));
        if !layout.low {
            pen.text(layout.lower.x.saturating_add(1), layout.lower.y, layout.lower.width, " marked ", pen.theme.key());
        }
    }

    /// Draws the marks of what is seen of a page.
    pub(super) fn draw_marks(&self, pen: &mut Pen<'_>, pane: &Pane, area: Rect) {
        if self.marks.is_empty() {
            return;
        }
        let document = pane.document();
        for y in 0..area.height {
            let spot = document.spot(document.line_at(pane.top(), usize::from(y)));
            let Some(Subject::Object(at)) = spot.and_then(|spot| document.subject(spot)) else { continue };
            if self.marks.iter().any(|(marked, _)| *marked == at) {
                pen.text(area.x.saturating_add(1), area.y.saturating_add(y), 1, MARK, pen.theme.accent());
            }
        }
    }
}
