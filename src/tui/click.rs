//! What a click means: a pane, a key of the footer, a row, a heading.

use super::app::{App, Overlay};
use super::keymap::Action;

impl App {
    /// A click at a place of the screen. On the selected row it opens.
    pub(super) fn click(&mut self, x: u16, y: u16) {
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
        if y == layout.tabs.y {
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
