//! Rows under columns: natural widths, what becomes of them in a narrow place, one line drawn at a time.

use std::borrow::Cow;

use super::Strip;
use crate::report::columns::{GAP, MOST};
use crate::report::pattern::Pattern;
use crate::report::section::{Align, Column, Row, Sort, Table};
use crate::report::words::{Room, words};
use crate::tui::ink::{Pen, width_of};
use crate::tui::marked::marked;

/// Rows measured for the columns' widths, besides the last.
const SAMPLE: usize = 2_000;

/// Each column's width as its heading and content ask for it, from the first rows and the last.
pub fn natural(table: &Table) -> Vec<u16> {
    let sample: Vec<Cow<'_, Row>> = table.rows.sample(SAMPLE).collect();
    let of_column = |(index, column): (usize, &Column)| {
        let width = |row: &Row| row.cells.get(index).map_or(0, |cell| width_of(&words(&cell.value, Room::Column)));
        let widest = sample.iter().map(|row| width(row)).max().unwrap_or(0);
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

/// Draws a row. A cell that means nothing when cut pushes what follows it; where the line has no room for it, there is
/// none of it.
pub fn row(pen: &mut Pen<'_>, strip: Strip, columns: &[Column], widths: &[u16], row: &Row, filter: Option<&Pattern>) {
    let strip = strip.gutter(pen);
    let words = marked(std::iter::once(row), filter);
    let mut x = strip.x;
    let cells = columns.iter().zip(widths).zip(row.cells.iter().zip(words.iter().flatten()));
    for ((column, width), (cell, word)) in cells.filter(|((_, width), _)| **width > 0) {
        let is_whole = column.rigid && cell.value.is_whole();
        let left = strip.end().saturating_sub(x);
        let wide = u16::try_from(width_of(&word.text)).unwrap_or(u16::MAX);
        let room = if is_whole { (*width).max(wide) } else { *width }.min(left);
        let indent = if column.align == Align::Right { room.saturating_sub(wide) } else { 0 };
        let style = strip.tone(pen, word.tone);
        if is_whole && wide > room {
            pen.text(x, strip.y, room, pen.theme.symbols.ellipsis, style);
        } else {
            pen.cut(x.saturating_add(indent), strip.y, room.saturating_sub(indent), &word.text, style, &word.hits);
        }
        x = x.saturating_add(room.max(*width)).saturating_add(GAP);
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
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    use super::*;
    use crate::report::section::{Cell, Value};
    use crate::tui::look::{Background, Depth, Look};
    use crate::tui::theme::Theme;

    fn drawn(columns: &[Column], widths: &[u16], row: &Row, width: u16) -> String {
        let theme = Theme::new(Look { depth: Depth::Mono, ascii: false, background: Background::Dark });
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, 1));
        let strip = Strip { x: 0, y: 0, width, selected: false, marked: false };
        super::row(&mut Pen { buffer: &mut buffer, theme: &theme }, strip, columns, widths, row, None);
        let text: String = buffer.content().iter().map(|cell| cell.symbol()).collect();
        text.trim_end().to_owned()
    }

    #[test]
    fn a_number_wider_than_its_column_pushes_what_follows_and_is_never_cut() {
        let columns = [Column::right("#"), Column::left("Name"), Column::right("Bytes")];
        let cells = vec![Cell::new(Value::Count(36_197)), Cell::text("main"), Cell::new(Value::Count(7))];
        let row = Row::new(cells);
        assert_eq!(drawn(&columns, &[2, 4, 1], &row, 40), "  36,197  main  7");
        assert_eq!(drawn(&columns, &[2, 4, 1], &row, 16), "  36,197  main");
        assert_eq!(drawn(&columns, &[2, 4, 1], &row, 7), "  …", "there is no room for it");
    }

    #[test]
    fn numbers_grow_and_the_last_are_measured_too() {
        let rows = (0..200_000u64).map(|at| Row::new(vec![Cell::new(Value::Count(at))])).collect();
        assert_eq!(natural(&Table::new(vec![Column::right("#")], rows)), [7], "199,999");
    }

    #[test]
    fn a_click_finds_its_column() {
        assert_eq!(column_at(&[2, 0, 10], 2), Some(0));
        assert_eq!(column_at(&[2, 0, 10], 7), Some(2));
        assert_eq!(column_at(&[2, 0, 10], 60), None);
    }
}
