//! Sentences made of cells, broken into lines of a width.

use unicode_segmentation::UnicodeSegmentation;

use super::cell::{Row, Tone};
use super::cut::width_of;
use crate::report::words::{self, Room};

/// Text with the meaning of its colour.
pub type Piece = (String, Tone);

/// A row's cells, a space between, empty ones left out.
pub fn pieces(row: &Row, room: Room) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(row.cells.len());
    for cell in &row.cells {
        let text = words::words(&cell.value, room).into_owned();
        if text.is_empty() {
            continue;
        }
        if !pieces.is_empty() && !text.starts_with([':', ',', ';']) {
            pieces.push((" ".to_owned(), Tone::Plain));
        }
        pieces.push((text, cell.tone));
    }
    pieces
}

/// Breaks at spaces so that no line is wider than `width` (at least 1); a longer word is broken where it must. Lines after
/// the first are indented as the first is, and two columns more.
pub fn wrap(pieces: &[Piece], width: u16) -> Vec<Vec<Piece>> {
    behind(pieces, width, None)
}

/// The same, with what stands before each line but the first, where that is not blanks: the bar of a drawing.
pub fn behind(pieces: &[Piece], width: u16, margin: Option<&str>) -> Vec<Vec<Piece>> {
    let width = usize::from(width.max(1));
    let whole: usize = pieces.iter().map(|(text, _)| width_of(text)).sum();
    if whole <= width {
        return vec![pieces.to_vec()];
    }
    let lead = pieces.first().map_or(0, |(text, _)| text.len().saturating_sub(text.trim_start().len()));
    let hang = lead.saturating_add(2).min(width.saturating_sub(2)).min(width / 2);
    let margin = match margin.filter(|margin| width_of(margin) <= width / 2) {
        Some(margin) => (format!("{margin}  "), Tone::Dim),
        None => (" ".repeat(hang), Tone::Plain),
    };
    let hang = width_of(&margin.0);
    let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut used = 0usize;
    for (text, tone) in pieces {
        for word in words(text) {
            let wide = width_of(word.trim_end());
            if used.saturating_add(wide) > width && used > hang {
                lines.push(vec![margin.clone()]);
                used = hang;
                if word.trim().is_empty() {
                    continue;
                }
            }
            if used.saturating_add(width_of(word)) <= width {
                used = used.saturating_add(width_of(word));
                push(&mut lines, word, *tone);
                continue;
            }
            for grapheme in word.graphemes(true) {
                let columns = width_of(grapheme);
                if used.saturating_add(columns) > width {
                    if grapheme == " " {
                        continue;
                    }
                    lines.push(vec![margin.clone()]);
                    used = hang;
                }
                used = used.saturating_add(columns);
                push(&mut lines, grapheme, *tone);
            }
        }
    }
    lines
}

fn push(lines: &mut [Vec<Piece>], more: &str, tone: Tone) {
    let Some(line) = lines.last_mut() else { return };
    match line.last_mut() {
        Some((text, last)) if *last == tone => text.push_str(more),
        _ => line.push((more.to_owned(), tone)),
    }
}

/// Words with the spaces behind them; leading spaces are a word of their own.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, width: u16) -> Vec<String> {
        let lines = wrap(&[(text.to_owned(), Tone::Plain)], width);
        lines
            .iter()
            .map(|line| line.iter().map(|(text, _)| text.as_str()).collect::<String>().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn a_sentence_breaks_at_spaces_and_hangs() {
        assert_eq!(wrapped("deadlock: one waits for two", 14), ["deadlock: one", "  waits for", "  two"]);
        assert_eq!(wrapped("  ! a b c d e", 8), ["  ! a b", "    c d", "    e"]);
    }

    #[test]
    fn a_long_word_is_broken_where_it_must() {
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "  ef", "  gh", "  ij"]);
    }

    #[test]
    fn a_line_of_a_drawing_goes_on_behind_its_bar() {
        let pieces = [("  │      ".to_owned(), Tone::Dim), ("taken in place orders.cpp:77".to_owned(), Tone::Plain)];
        let lines: Vec<String> = behind(&pieces, 26, Some("  │      "))
            .iter()
            .map(|line| line.iter().map(|(text, _)| text.as_str()).collect())
            .collect();
        assert_eq!(lines, ["  │      taken in place ", "  │        orders.cpp:77"]);
    }

    #[test]
    fn a_line_that_fits_stays_as_it_is() {
        assert_eq!(wrapped("   a   b", 8), ["   a   b"]);
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        for width in 1..20 {
            for line in wrapped("worker-3 漢字漢字 waits for std::mutex::lock() here", width) {
                assert!(width_of(&line) <= usize::from(width.max(2)), "{width}: {line}");
            }
        }
    }
}
