//! Rows under columns: natural widths, what becomes of them in a narrow place, one line drawn at a time.

use std::borrow::Cow;

use super::Strip;
use crate::report::columns::{GAP, MOST};
use crate::report::pattern::Pattern;
use crate::report::section::{Align, Column, Row, Sort, Table};
use crate::report::words::{Room, words};
use crate::tui::ink::{Pen, width_of};
use crate::tui::marked::marked;

/// Rows measured for the columns' widths.
const SAMPLE: usize = 2_000;
/// Each column's width as its heading and content ask for it, from the first rows.
pub fn natural(table: &Table) -> Vec<u16> {
    let first: Vec<Cow<'_, Row>> = table.rows.iter().take(SAMPLE).collect();
    let of_column = |(index, column): (usize, &Column)| {
        let width = |row: &Row| row.cells.get(index).map_or(0, |cell| width_of(&words(&cell.value, Room::Column)));
        let widest = first.iter().map(|row| width(row)).max().unwrap_or(0);
        // Two columns beside the heading stay free for the mark of a sort.
        let heading = width_of(column.title);
        u16::try_from(widest.max(heading)).unwrap_or(MOST).min(MOST)
    };
    table.columns.iter().enumerate().map(of_column).collect()
}

/// Draws the heading.
pub fn heading(pen: &mut Pen<'_>, strip: Strip, columns: &[Column], widths: &[u16], sort: Option<Sort>) {
    let strip = strip.gutter(pen);
    let mut x = strip.x;
    for (index, (column, width)) in columns.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let mark = sort.filter(|sort| sort.column == index).map(|sort| {
            let [ascending, descending] = pen.theme.symbols.sorted;
            if sort.descending { descending } else { ascending }
        });
        let style = match mark {
            Some(_) => pen.theme.accent(),
            None => pen.theme.quiet(),
        };
        let title = match mark {
            Some(mark) => format!("{}{mark}", column.title),
            None => column.title.to_owned(),
        };
        let wide = u16::try_from(width_of(&title)).unwrap_or(u16::MAX);
        // The mark may stand in the gap behind a narrow heading.
        let room = (*width).max(wide.min(width.saturating_add(1))).min(strip.end().saturating_sub(x));
        let indent = if column.align == Align::Right { width.saturating_sub(wide) } else { 0 };
        pen.text(x.saturating_add(indent), strip.y, room.saturating_sub(indent), &title, style);
        x = x.saturating_add(*width).saturating_add(GAP);
    }
}

/// Draws a row.
pub fn row(pen: &mut Pen<'_>, strip: Strip, columns: &[Column], widths: &[u16], row: &Row, filter: Option<&Pattern>) {
    let strip = strip.gutter(pen);
    let words = marked(std::iter::once(row), filter);
    let mut x = strip.x;
    for ((column, width), word) in
        columns.iter().zip(widths).zip(words.iter().flatten()).filter(|((_, width), _)| **width > 0)
    {
        let room = (*width).min(strip.end().saturating_sub(x));
        let wide = u16::try_from(width_of(&word.text)).unwrap_or(u16::MAX);
        let indent = if column.align == Align::Right { room.saturating_sub(wide) } else { 0 };
        let style = strip.tone(pen, word.tone);
        pen.cut(x.saturating_add(indent), strip.y, room.saturating_sub(indent), &word.text, style, &word.hits);
        x = x.saturating_add(*width).saturating_add(GAP);
    }
}

/// The column that stands at a column of the screen, counted from the table's first.
pub fn column_at(widths: &[u16], at: u16) -> Option<usize> {
    let mut x = super::GUTTER;
    widths.iter().position(|width| {
        let here = *width > 0 && (x..x.saturating_add(*width).saturating_add(GAP)).contains(&at);
        if *width > 0 {
            x = x.saturating_add(*width).saturating_add(GAP);
        }
        here
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_finds_its_column() {
        assert_eq!(column_at(&[2, 0, 10], 2), Some(0));
        assert_eq!(column_at(&[2, 0, 10], 7), Some(2));
        assert_eq!(column_at(&[2, 0, 10], 60), None);
    }
}
