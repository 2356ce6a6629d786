//! Rows under columns as text.

use std::borrow::Cow;

use rayon::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::{Out, Style, Text, end_line, push, width};
use crate::error::Error;
use crate::report::cell::{Cell, Row, Tone};
use crate::report::columns::fit;
use crate::report::cut::shortened;
use crate::report::names::ShortNames;
use crate::report::section::{Align, Column, Table};

/// Widest column of a table; longer values run over and push what follows.
const MAX_COLUMN: usize = 72;
/// Rows that the widths of columns are measured by, besides the last.
const MEASURED: usize = 10_000;
/// Rows that are made at the same time.
const PIECE: usize = 1_024;

/// Prints the heading and the rows; nothing for a table without rows.
pub(super) fn print(out: &mut Out<'_>, table: &Table, names: &ShortNames) -> Result<(), Error> {
    let rows = table.rows.as_ref();
    if rows.is_empty() {
        return Ok(());
    }
    let sample: Vec<Cow<'_, Row>> = rows.sample(MEASURED).collect();
    let texts: Vec<Vec<Shown<'_>>> = sample.iter().map(|row| shown(row, names)).collect();
    let of_column = |(at, column): (usize, &Column)| {
        let cells = texts.iter().filter_map(|row| row.get(at)).map(|cell| cell.width.min(MAX_COLUMN));
        let asked = cells.max().unwrap_or(0).max(column.title.width());
        u16::try_from(asked).unwrap_or(u16::MAX)
    };
    let natural: Vec<u16> = table.columns.iter().enumerate().map(of_column).collect();
    let fitted = out.style.width.map(|width| fit(&table.columns, &natural, width));
    let widths: Vec<usize> = fitted.unwrap_or(natural).into_iter().map(usize::from).collect();
    let style = out.style;
    let start = out.text.len();
    for (column, wide) in table.columns.iter().zip(&widths).filter(|(_, wide)| **wide > 0) {
        pad(&mut out.text, (column.title, column.title.width()), *wide, column, Tone::Dim, style);
    }
    end_line(&mut out.text, start);
    for (row, texts) in sample.iter().zip(&texts).take(MEASURED) {
        line(&mut out.text, &table.columns, &widths, &row.cells, texts, style);
        out.spill()?;
    }
    let mut at = rows.len().min(MEASURED);
    while at < rows.len() {
        let last = at.saturating_add(PIECE).min(rows.len());
        let made: Vec<String> = (at..last)
            .into_par_iter()
            .filter_map(|index| {
                let row = rows.get(index)?;
                let mut text = String::new();
                line(&mut text, &table.columns, &widths, &row.cells, &shown(&row, names), style);
                Some(text)
            })
            .collect();
        for text in made {
            out.text.push_str(&text);
            out.spill()?;
        }
        at = last;
    }
    Ok(())
}

/// A cell's text and the columns that it takes.
struct Shown<'a> {
    text: Text<'a>,
    width: usize,
}

fn shown<'a>(row: &'a Row, names: &ShortNames) -> Vec<Shown<'a>> {
    let texts = row.cells.iter().map(|cell| Text::of(cell, names));
    texts.map(|text| Shown { width: width(&text), text }).collect()
}

fn line(out: &mut String, columns: &[Column], widths: &[usize], cells: &[Cell], texts: &[Shown<'_>], style: Style) {
    let start = out.len();
    let ellipsis = if style.ascii { "~" } else { "…" };
    let shown = columns.iter().zip(widths).zip(cells).zip(texts).filter(|(((_, wide), _), _)| **wide > 0);
    for (((column, wide), cell), shown) in shown {
        // In a pipe what is longer than a column runs over, and everywhere what means nothing when cut.
        let is_whole = column.rigid && cell.value.is_whole();
        if style.width.is_some() && shown.width > *wide && !is_whole {
            let text = shortened(&shown.text, *wide, ellipsis);
            pad(out, (&text, width(&text)), *wide, column, cell.tone, style);
        } else {
            pad(out, (&shown.text, shown.width), *wide, column, cell.tone, style);
        }
    }
    end_line(out, start);
}

/// Appends a text of known display width, filled up to `width`.
fn pad(out: &mut String, (text, shown): (&str, usize), width: usize, column: &Column, tone: Tone, style: Style) {
    let blanks = width.saturating_sub(shown);
    if column.align == Align::Right {
        out.extend(std::iter::repeat_n(' ', blanks));
    }
    push(out, text, tone, style);
    if column.align == Align::Left {
        out.extend(std::iter::repeat_n(' ', blanks));
    }
    out.push_str("  ");
}
