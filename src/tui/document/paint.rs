//! A document's lines drawn and copied.

use ratatui::layout::Rect;
use unicode_segmentation::UnicodeSegmentation;

use super::{Document, Lines, nth};
use crate::report::section::{Body, Row, Value};
use crate::report::words::{self, Room};
use crate::tui::ink::{Pen, width_of};
use crate::tui::source::CODE;
use crate::tui::widgets::tree::{self, Folds};
use crate::tui::widgets::{Strip, table, text};

impl Document {
    /// Draws the lines from `top` on.
    pub fn draw(&self, pen: &mut Pen<'_>, area: Rect, top: usize, selected: Option<usize>) {
        let sentence = selected.and_then(|line| self.sentence(line));
        for y in 0..area.height {
            let line = self.line_at(top, usize::from(y));
            let marked = selected == Some(line);
            // A sentence is selected with all the lines it wraps into.
            let same = sentence.is_some() && self.sentence(line) == sentence;
            let (x, y) = (area.x, area.y.saturating_add(y));
            let strip = Strip { x, y, width: area.width, selected: marked || same, marked };
            self.draw_line(pen, strip, line);
        }
    }

    /// The body and row of a line of text.
    fn sentence(&self, line: usize) -> Option<(usize, u32)> {
        let (placed, inside) = self.at(line)?;
        match &placed.lines {
            Lines::Text(lines) => lines.get(inside).map(|line| (placed.body, line.item)),
            Lines::Table { .. } | Lines::Tree { .. } => None,
        }
    }

    fn draw_line(&self, pen: &mut Pen<'_>, strip: Strip, line: usize) -> Option<()> {
        let (placed, inside) = self.at(line)?;
        let filter = self.filter.as_ref();
        match (&placed.lines, self.section.bodies.get(placed.body)) {
            (Lines::Text(lines), _) => text::draw(pen, strip, lines.get(inside)?),
            (lines @ Lines::Table { order, .. }, Some(Body::Table(table))) => match inside.checked_sub(1) {
                None => {
                    let sort = self.sort.filter(|(body, _)| *body == placed.body).map(|(_, sort)| sort);
                    table::heading(pen, strip, &table.columns, lines.widths(table), sort);
                }
                Some(row) => {
                    let item = nth(order.as_deref().map(Vec::as_slice), row)?;
                    let (row, widths) = (table.rows.get(item as usize)?, lines.widths(table));
                    match table.columns.iter().position(|column| column.title == CODE) {
                        Some(column) if filter.is_none() => {
                            let room = widths.get(column).copied().unwrap_or(0);
                            let row = windowed(row.into_owned(), column, self.left, room, pen.theme.symbols.ellipsis);
                            table::row(pen, strip, &table.columns, widths, &row, filter);
                        }
                        _ => table::row(pen, strip, &table.columns, widths, &row, filter),
                    }
                }
            },
            (Lines::Tree { shape, lines }, Some(Body::Tree(nodes))) => {
                let line = *lines.get(inside)?;
                let none = Folds::default();
                let folds = self.folds.get(placed.body).unwrap_or(&none);
                tree::draw(pen, strip, shape, folds, nodes.get(line.node as usize)?, line, filter);
            }
            _ => {}
        }
        Some(())
    }

    /// What a search looks at in a line: its words as they are shown.
    pub fn searched(&self, line: usize) -> String {
        let Some((placed, inside)) = self.at(line) else { return String::new() };
        let mut text = String::new();
        match (&placed.lines, self.section.bodies.get(placed.body)) {
            (Lines::Table { order, .. }, Some(Body::Table(table))) => {
                let item = inside.checked_sub(1).and_then(|row| nth(order.as_deref().map(Vec::as_slice), row));
                item.into_iter().for_each(|item| table.rows.text(item as usize, &mut text));
                text
            }
            _ => self.copied(line),
        }
    }

    /// A line as it is copied; empty for a blank one.
    pub fn copied(&self, line: usize) -> String {
        let Some((placed, inside)) = self.at(line) else { return String::new() };
        match (&placed.lines, self.section.bodies.get(placed.body)) {
            (Lines::Text(lines), _) => {
                let pieces = lines.get(inside).map(|line| line.pieces.as_slice()).unwrap_or_default();
                pieces.iter().map(|(text, _)| text.as_str()).collect()
            }
            (Lines::Table { order, .. }, Some(Body::Table(table))) => match inside.checked_sub(1) {
                None => table.columns.iter().map(|column| column.title).collect::<Vec<_>>().join("  "),
                Some(row) => {
                    let row =
                        nth(order.as_deref().map(Vec::as_slice), row).and_then(|item| table.rows.get(item as usize));
                    row.map(|row| words::line(&row, Room::Copy)).unwrap_or_default()
                }
            },
            (Lines::Tree { lines, .. }, Some(Body::Tree(nodes))) => {
                let none = Folds::default();
                let folds = self.folds.get(placed.body).unwrap_or(&none);
                let line = lines.get(inside);
                let node = line.and_then(|line| nodes.get(line.node as usize));
                line.zip(node).map(|(line, node)| tree::copied(node, *line, folds)).unwrap_or_default()
            }
            _ => String::new(),
        }
    }
}

/// A row whose line of code begins `left` columns further on and is cut at its end: the middle of code tells too much to be
/// left out.
fn windowed(mut row: Row, column: usize, left: u16, room: u16, ellipsis: &str) -> Row {
    let Some(cell) = row.cells.get_mut(column) else { return row };
    let text = words::words(&cell.value, Room::Column).into_owned();
    let mut before = 0usize;
    let mut shown: String = text
        .graphemes(true)
        .skip_while(|grapheme| {
            before = before.saturating_add(width_of(grapheme));
            before <= usize::from(left)
        })
        .collect();
    let room = usize::from(room);
    if width_of(&shown) > room {
        let mut used = width_of(ellipsis);
        let fits = |grapheme: &&str| {
            used = used.saturating_add(width_of(grapheme));
            used <= room
        };
        shown = shown.graphemes(true).take_while(fits).collect::<String>() + ellipsis;
    }
    cell.value = Value::Text(shown.into());
    row
}
