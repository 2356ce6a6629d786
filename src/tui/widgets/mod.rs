//! What a section's bodies look like on the screen. Each draws only the lines that are visible.

pub mod table;
pub mod text;
pub mod tree;

use ratatui::layout::Rect;
use ratatui::style::Style;

use super::ink::Pen;
use crate::report::section::Tone;

/// Columns left of every line: the selected one has the marker there.
pub const GUTTER: u16 = 2;

/// One line of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Strip {
    /// First column.
    pub x: u16,
    /// Row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Whether it belongs to what is selected.
    pub selected: bool,
    /// Whether the marker stands before it.
    pub marked: bool,
}

impl Strip {
    /// The style of a tone on this line.
    pub fn tone(&self, pen: &Pen<'_>, tone: Tone) -> Style {
        if self.selected { pen.theme.selected_tone(tone) } else { pen.theme.tone(tone) }
    }

    /// Column after the last.
    pub fn end(&self) -> u16 {
        self.x.saturating_add(self.width)
    }

    /// Draws the gutter; the marker and the background where the line is selected. Returns what is left of the line.
    pub fn gutter(self, pen: &mut Pen<'_>) -> Strip {
        if self.selected {
            let style = pen.theme.selected();
            pen.style(Rect::new(self.x, self.y, self.width, 1), style);
            if self.marked {
                pen.text(self.x, self.y, GUTTER, pen.theme.symbols.marker, style);
            }
        }
        let gutter = GUTTER.min(self.width);
        Strip { x: self.x.saturating_add(gutter), width: self.width.saturating_sub(gutter), ..self }
    }
}
