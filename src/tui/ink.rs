//! The only way into the screen's cells: sanitised, cut to its width, in ASCII where the terminal asks for it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;

use super::theme::Theme;
use crate::report::ascii::to_ascii;
use crate::report::cut::{Cut, cut};
use crate::report::sanitize::sanitize;

pub use crate::report::cut::width_of;

/// Longest grapheme drawn, in bytes: a letter with a few marks. A longer pile of marks is cut.
const MAX_GRAPHEME: usize = 32;

/// Draws text into a buffer.
pub struct Pen<'a> {
    /// The screen.
    pub buffer: &'a mut Buffer,
    /// Colours and symbols.
    pub theme: &'a Theme,
}

impl Pen<'_> {
    /// Draws text from `x` on, at most `width` columns; what does not fit is left out. Returns the column after it.
    pub fn text(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let end = x.saturating_add(width);
        let safe = sanitize(text);
        let mut at = x;
        for grapheme in safe.graphemes(true) {
            at = match self.grapheme(at, y, end, grapheme, style) {
                Some(next) => next,
                None => break,
            };
        }
        at
    }

    /// Draws text cut in its middle to `width`, the graphemes at `hits` (ascending) marked as matched. Returns the column
    /// after it.
    pub fn cut(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style, hits: &[u32]) -> u16 {
        let end = x.saturating_add(width);
        let safe = sanitize(text);
        let ellipsis = self.theme.symbols.ellipsis;
        let Cut { head, tail, end: last } = cut(&safe, usize::from(width), width_of(ellipsis));
        let mut at = x;
        for (index, grapheme) in safe.graphemes(true).enumerate() {
            if index == head && head < tail {
                at = self.grapheme(at, y, end, ellipsis, self.theme.quiet().patch(background_of(style))).unwrap_or(at);
            }
            if index >= head && !(tail..last).contains(&index) {
                continue;
            }
            let hit = u32::try_from(index).is_ok_and(|index| hits.binary_search(&index).is_ok());
            let style = if hit { self.theme.matched(style) } else { style };
            at = match self.grapheme(at, y, end, grapheme, style) {
                Some(next) => next,
                None => break,
            };
        }
        at
    }

    /// Draws a sentence, its end cut to `width`. Returns the column after it.
    pub fn clip(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        if width_of(&sanitize(text)) <= usize::from(width) {
            return self.text(x, y, width, text, style);
        }
        let ellipsis = self.theme.symbols.ellipsis;
        let room = width.saturating_sub(u16::try_from(width_of(ellipsis)).unwrap_or(0));
        let at = self.text(x, y, room, text, style);
        self.text(at, y, x.saturating_add(width).saturating_sub(at), ellipsis, style)
    }

    /// Gives an area a style and leaves its text.
    pub fn style(&mut self, area: Rect, style: Style) {
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// Empties an area.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// A horizontal rule over `width` columns.
    pub fn rule(&mut self, x: u16, y: u16, width: u16) {
        for at in x..x.saturating_add(width) {
            self.grapheme(at, y, at.saturating_add(1), self.theme.symbols.rule, self.theme.quiet());
        }
    }

    fn grapheme(&mut self, x: u16, y: u16, end: u16, grapheme: &str, style: Style) -> Option<u16> {
        let grapheme = if self.theme.ascii() { to_ascii(grapheme) } else { bounded(grapheme) };
        let mut at = x;
        // An ASCII stand-in may be longer than one cell; any other grapheme is one symbol.
        let parts: Vec<&str> =
            if self.theme.ascii() { grapheme.split("").filter(|s| !s.is_empty()).collect() } else { vec![grapheme] };
        for part in parts {
            let width = u16::try_from(width_of(part)).unwrap_or(u16::MAX);
            if width == 0 {
                continue;
            }
            let after = at.checked_add(width).filter(|after| *after <= end)?;
            for covered in at..after {
                if let Some(cell) = self.buffer.cell_mut((covered, y)) {
                    cell.reset();
                    // What a wide symbol covers stays blank, as the terminal's diff expects.
                    if covered == at {
                        cell.set_symbol(part).set_style(style);
                    } else {
                        cell.set_style(background_of(style));
                    }
                }
            }
            at = after;
        }
        Some(at)
    }
}

fn background_of(style: Style) -> Style {
    Style { fg: None, add_modifier: style.add_modifier & ratatui::style::Modifier::REVERSED, ..style }
}

fn bounded(grapheme: &str) -> &str {
    grapheme.get(..grapheme.floor_char_boundary(MAX_GRAPHEME)).unwrap_or(grapheme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::look::{Background, Depth, Look};

    fn drawn(text: &str, width: u16, ascii: bool) -> String {
        let theme = Theme::new(Look { depth: Depth::Mono, ascii, background: Background::Dark });
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        Pen { buffer: &mut buffer, theme: &theme }.cut(0, 0, width, text, Style::default(), &[]);
        let mut shown = String::new();
        while width_of(&shown) < usize::from(width) {
            let at = u16::try_from(width_of(&shown)).expect("a test's line is short");
            shown.push_str(buffer[(at, 0)].symbol());
        }
        shown.trim_end().to_owned()
    }

    #[test]
    fn a_name_is_cut_in_the_middle_and_keeps_its_last_part() {
        assert_eq!(drawn("std::_Rb_tree<int>::_M_insert", 22, false), "std::_Rb_t…::_M_insert");
        assert_eq!(drawn("/usr/lib/x86_64-linux-gnu/libc.so.6", 20, false), "/usr/lib/…/libc.so.6");
        assert_eq!(drawn("abcdefghij", 5, false), "ab…ij");
        assert_eq!(drawn("short", 5, false), "short");
    }

    #[test]
    fn nothing_is_drawn_past_the_width() {
        for width in 0..12 {
            let shown = drawn("漢字 std::漢字::名前", width, false);
            assert!(width_of(&shown) <= usize::from(width), "{width}: {shown}");
        }
    }

    #[test]
    fn no_control_or_bidi_character_reaches_a_cell() {
        assert_eq!(drawn("a\x1b]0;b\u{202e}c\u{9b}", 40, false), "a\\x1b]0;b\\u{202e}c\\x9b");
    }

    #[test]
    fn an_ascii_terminal_gets_ascii_only() {
        let shown = drawn("⏎ ▸ größe … 漢", 20, true);
        assert_eq!(shown, "Enter > gr??e ~ ?");
        assert!(shown.is_ascii());
    }

    #[test]
    fn a_pile_of_marks_stays_one_bounded_cell() {
        let zalgo = format!("a{}b", "\u{301}".repeat(5000));
        let theme = Theme::new(Look { depth: Depth::Mono, ascii: false, background: Background::Dark });
        let mut buffer = Buffer::empty(Rect::new(0, 0, 4, 1));
        Pen { buffer: &mut buffer, theme: &theme }.text(0, 0, 4, &zalgo, Style::default());
        assert!(buffer.content().iter().all(|cell| cell.symbol().len() <= MAX_GRAPHEME));
        assert_eq!(buffer[(1, 0)].symbol(), "b");
    }
}
