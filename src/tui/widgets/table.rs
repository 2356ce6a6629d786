//! Rows under columns: natural widths, what becomes of them in a narrow place, one line drawn at a time.

use std::borrow::Cow;

use super::Strip;
use crate::report::pattern::Pattern;
use crate::report::section::{Align, Column, Row, Sort, Table};
use crate::report::words::{Room, words};
use crate::tui::ink::{Pen, width_of};
use crate::tui::marked::marked;

/// Rows measured for the columns' widths.
const SAMPLE: usize = 2_000;
/// Blank columns between two columns.
const GAP: u16 = 2;
/// A column of labels (`4719 worker-3`) is not squeezed below this while those with a weight can give.
const LABEL: u16 = 16;
/// A column of words is not squeezed below this, unless its content is narrower.
const LEAST: u16 = 10;
/// A column with a weight is not squeezed below this while a plain one could go instead.
const COMFORTABLE: u16 = 20;
/// The widest that a column asks for.
const MOST: u16 = 160;

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

/// The columns' widths in `width` columns of screen: as they ask where all fit. Else columns with a weight give way, down to
/// a comfortable width; then the last column goes, where it is a plain one; then all give way that may be cut, those with a
/// weight most; then plain columns go from the right. 0: not shown.
pub fn fit(columns: &[Column], natural: &[u16], width: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = natural.to_vec();
    squeeze(columns, &mut widths, width, |column| column.weight > 0, COMFORTABLE);
    let is_plain = |index: usize| columns.get(index).is_some_and(|column| column.weight == 0);
    let last = columns.len().saturating_sub(1);
    if total(&widths) > width && last > 1 && is_plain(last) {
        hide(columns, natural, &mut widths, last, width);
    }
    squeeze(columns, &mut widths, width, |_| true, LABEL);
    squeeze(columns, &mut widths, width, |column| column.weight > 0, LEAST);
    squeeze(columns, &mut widths, width, |_| true, LEAST);
    while total(&widths) > width {
        let shown = |index: &usize| widths.get(*index).is_some_and(|width| *width > 0);
        match (1..columns.len()).rev().find(|index| shown(index) && is_plain(*index)) {
            Some(index) => hide(columns, natural, &mut widths, index, width),
            None => break,
        }
    }
    while total(&widths) > width {
        let over = total(&widths).saturating_sub(width);
        let Some(last) = widths.iter_mut().rev().find(|width| **width > 0) else { break };
        *last = last.saturating_sub(over);
    }
    widths
}

/// Width of columns with the gaps between those that are shown.
pub fn total(widths: &[u16]) -> u16 {
    let shown = widths.iter().filter(|width| **width > 0);
    shown.fold(0u16, |sum, width| sum.saturating_add(*width).saturating_add(GAP)).saturating_sub(GAP)
}

/// Takes what is too much from columns that may be cut, one by one from the widest for its weight, none below `least`.
fn squeeze(columns: &[Column], widths: &mut [u16], width: u16, chosen: impl Fn(&Column) -> bool, least: u16) {
    for _ in 0..total(widths).saturating_sub(width) {
        let give = |index: &usize| -> Option<u32> {
            let column = columns.get(*index)?;
            let width = *widths.get(*index)?;
            let may = !column.rigid && chosen(column) && width > least;
            may.then(|| u32::from(width).saturating_mul(64) / u32::from(column.weight.max(1)))
        };
        let widest = (0..columns.len()).filter(|index| give(index).is_some()).max_by_key(give);
        match widest.and_then(|index| widths.get_mut(index)) {
            Some(width) => *width = width.saturating_sub(1),
            None => return,
        }
    }
}

/// Hides a column; what that frees goes back to the weighted ones.
fn hide(columns: &[Column], natural: &[u16], widths: &mut [u16], index: usize, width: u16) {
    if let Some(hidden) = widths.get_mut(index) {
        *hidden = 0;
    }
    for (index, _) in columns.iter().enumerate().filter(|(_, column)| column.weight > 0) {
        let spare = width.saturating_sub(total(widths));
        if let (Some(natural), Some(now)) = (natural.get(index), widths.get_mut(index)) {
            *now = now.saturating_add(spare.min(natural.saturating_sub(*now)));
        }
    }
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

    const COLUMNS: [Column; 4] =
        [Column::right("#"), Column::left("Thread"), Column::wide("Waits for", 1), Column::wide("In", 2)];

    #[test]
    fn columns_keep_their_natural_width_where_all_fit() {
        assert_eq!(fit(&COLUMNS, &[2, 10, 20, 30], 80), [2, 10, 20, 30]);
    }

    #[test]
    fn weighted_columns_give_way_first_and_by_their_weight() {
        let widths = fit(&COLUMNS, &[2, 10, 60, 60], 60);
        assert_eq!((widths[0], widths[1]), (2, 10));
        assert_eq!(total(&widths), 60);
        assert!(widths[3] > widths[2], "{widths:?}");
    }

    #[test]
    fn a_place_too_narrow_for_all_hides_plain_columns_from_the_right_and_keeps_the_weighted() {
        let widths = fit(&COLUMNS, &[2, 10, 60, 60], 30);
        assert_eq!(widths[1], 0, "{widths:?}");
        assert!(widths[2] > 0 && widths[3] > 0 && total(&widths) <= 30, "{widths:?}");
    }

    #[test]
    fn a_plain_last_column_goes_before_names_get_hard_to_read() {
        let columns =
            [Column::right("#"), Column::wide("Function", 3), Column::wide("Source", 1), Column::left("Module")];
        assert_eq!(fit(&columns, &[3, 30, 14, 10], 50)[3], 0);
        assert_eq!(fit(&columns, &[3, 30, 14, 10], 56), [3, 23, 14, 10]);
    }

    #[test]
    fn no_width_makes_a_table_wider_than_its_place() {
        for width in 0..200 {
            assert!(total(&fit(&COLUMNS, &[6, 40, 90, 160], width)) <= width, "{width}");
        }
    }

    #[test]
    fn a_click_finds_its_column() {
        assert_eq!(column_at(&[2, 0, 10], 2), Some(0));
        assert_eq!(column_at(&[2, 0, 10], 7), Some(2));
        assert_eq!(column_at(&[2, 0, 10], 60), None);
    }
}
