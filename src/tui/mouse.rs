//! What the mouse does: a click on a pane, a key of the footer, a row, a heading; the wheel.

use crossterm::event::{MouseButton, MouseEventKind};

use super::app::{App, Overlay};
use super::event::Effect;
use super::keymap::Action;
use crate::report::section::Tone;

impl App {
    /// Takes the mouse, or leaves it to the terminal.
    pub(super) fn toggle_mouse(&mut self) {
        self.mouse = !self.mouse;
        self.effects.push(Effect::Mouse(self.mouse));
        let said =
            if self.mouse { "mouse on: click, wheel; m turns it off" } else { "mouse off: the terminal selects text" };
        self.say(said, Tone::Plain);
    }

    /// The mouse did something.
    pub(super) fn mouse(&mut self, kind: MouseEventKind, x: u16, y: u16) {
        match kind {
            MouseEventKind::ScrollDown => self.wheel(true, x, y),
            MouseEventKind::ScrollUp => self.wheel(false, x, y),
            MouseEventKind::Down(MouseButton::Left) => self.click(x, y),
            _ => {}
        }
    }

    fn wheel(&mut self, down: bool, x: u16, y: u16) {
        const LINES: usize = 3;
        if let Overlay::Help(top) = &mut self.overlay {
            *top = if down { top.saturating_add(LINES) } else { top.saturating_sub(LINES) };
            return;
        }
        match self.layout().and_then(|layout| layout.detail) {
            Some(area) if area.contains((x, y).into()) => self.scroll_detail(down, LINES),
            _ => self.travel(|pane| pane.wheel(down, LINES)),
        }
    }

    /// A click at a place of the screen. On the selected row it opens.
    fn click(&mut self, x: u16, y: u16) {
        let Some(layout) = self.layout() else { return };
        let hit = |at: u16, width: u16| (at..at.saturating_add(width)).contains(&x);
        if y == layout.footer.y {
            let pressed = self.footer_buttons().into_iter().find(|button| hit(button.x, button.width));
            if let Some(action) = pressed.map(|button| button.is.action).filter(|action| *action != Action::Pane) {
                self.act(action);
            }
            return;
        }
        if !matches!(self.overlay, Overlay::None | Overlay::Filter) {
            self.overlay = Overlay::None;
            return;
        }
        if let Some(shelf) = self.shelf_at(layout, x, y) {
            self.show_shelf(shelf);
        } else if y == layout.tabs.y {
            if let Some(button) = self.tab_buttons().into_iter().find(|button| hit(button.x, button.width)) {
                self.visit(button.is);
            }
        } else if layout.body.contains((x, y).into()) {
            let row = y.saturating_sub(layout.body.y);
            let line = self.pane.document().line_at(self.pane.top(), usize::from(row));
            if let Some((body, column)) = self.pane.document().column_at(line, x.saturating_sub(layout.body.x)) {
                self.sort_column(body, column);
            } else if self.pane.line() == Some(line) {
                self.open();
            } else {
                self.travel(|pane| {
                    pane.click(row);
                });
            }
        }
    }
}
