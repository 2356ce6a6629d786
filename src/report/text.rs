//! Sections as text: aligned columns, names shortened for the eye, colour where asked for.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use rayon::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::names::ShortNames;
use super::sanitize::sanitize;
use super::section::{Align, Body, Cell, Column, Node, Row, Section, Table, Tone, Value};
use crate::model::Tid;

/// How text is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
}

/// Widest column of a table; longer values run over and push what follows.
const MAX_COLUMN: usize = 72;
/// Thread ids shown of a group.
const MAX_TIDS: usize = 6;

/// A cell's text: shared with other cells, or its own.
enum Text<'a> {
    Short(Arc<str>),
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// A cell's value on one line, safe for a terminal.
    fn of(cell: &'a Cell, names: &ShortNames) -> Text<'a> {
        match &cell.value {
            Value::Function(name) => Text::Short(names.of(name, || cell_text(cell).into())),
            _ => Text::Plain(cell_text(cell)),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Short(text) => text,
            Text::Plain(text) => text,
        }
    }
}

/// The section as text, each line ended by a newline.
pub fn print(section: &Section, style: Style) -> String {
    print_with(&ShortNames::default(), section, style)
}

/// The text of an answer that is drawn in parts: one after the other, printed in parallel.
pub fn print_parts(parts: usize, part: impl Fn(usize) -> Section + Sync, style: Style) -> String {
    let names = ShortNames::default();
    (0..parts).into_par_iter().map(|index| print_with(&names, &part(index), style)).collect()
}

fn print_with(names: &ShortNames, section: &Section, style: Style) -> String {
    let mut out = String::new();
    for body in &section.bodies {
        match body {
            Body::Heading(title) => {
                push(&mut out, &sanitize(title), Tone::Strong, style);
                out.push('\n');
            }
            Body::Lines(rows) => rows.iter().for_each(|row| line(&mut out, "", row, style)),
            Body::Fields(fields) => {
                let widest = fields.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
                for (label, row) in fields {
                    line(&mut out, &format!("{label:widest$}  "), row, style);
                }
            }
            Body::Table(rows) => table(&mut out, rows, names, style),
            Body::Tree(nodes) => tree(&mut out, nodes, names, style),
        }
    }
    out
}

/// A cell's value as text on one line, safe for a terminal.
pub fn cell_text(cell: &Cell) -> Cow<'_, str> {
    match &cell.value {
        Value::None => Cow::Borrowed(""),
        Value::Text(text) | Value::Path(text) => sanitize(text),
        Value::Addr(addr) => Cow::Owned(addr.to_string()),
        Value::Count(count) => Cow::Owned(thousands(*count)),
        Value::Bytes(bytes) => Cow::Owned(thousands(*bytes)),
        Value::Seconds(seconds) => Cow::Owned(span(*seconds)),
        Value::Tid(tid) => Cow::Owned(tid.to_string()),
        Value::Tids(tids) => Cow::Owned(thread_ids(tids, MAX_TIDS)),
        Value::Function(name) => Cow::Owned(function_name(name)),
        Value::Source(file, line) => {
            let leaf = file.rsplit('/').next().unwrap_or(file);
            match line {
                Some(line) => Cow::Owned(format!("{}:{line}", sanitize(leaf))),
                None => sanitize(leaf),
            }
        }
        Value::Unknown(reason) => Cow::Owned(format!("? ({})", sanitize(reason))),
    }
}

/// A function's full name shortened for display.
pub fn function_name(full: &str) -> String {
    sanitize(&symbols::short_name(full)).into_owned()
}

/// `4712 4713 4714 … 19 threads`: the first `most` ids, and how many there are where that is not all.
pub fn thread_ids(tids: &[Tid], most: usize) -> String {
    let mut words: Vec<String> = tids.iter().take(most).map(Tid::to_string).collect();
    if tids.len() > most {
        words.push(format!("… {} threads", tids.len()));
    }
    words.join(" ")
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A length of time in its two largest units: `3d 4h`, `5m 12s`, `7s`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

fn line(out: &mut String, before: &str, row: &Row, style: Style) {
    let start = out.len();
    out.push_str(before);
    let mut first = true;
    for cell in &row.cells {
        let text = cell_text(cell);
        if text.is_empty() {
            continue;
        }
        if !first && !text.starts_with([':', ',', ';']) {
            out.push(' ');
        }
        first = false;
        push(out, &text, cell.tone, style);
    }
    end_line(out, start);
}

fn table(out: &mut String, table: &Table, names: &ShortNames, style: Style) {
    if table.rows.is_empty() {
        return;
    }
    let texts: Vec<Vec<(Text<'_>, usize)>> = table
        .rows
        .iter()
        .map(|row| {
            let texts = row.cells.iter().map(|cell| Text::of(cell, names));
            texts
                .map(|text| {
                    let width = width(&text);
                    (text, width)
                })
                .collect()
        })
        .collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = texts.iter().filter_map(|row| row.get(at)).map(|(_, width)| (*width).min(MAX_COLUMN));
            cells.max().unwrap_or(0).max(column.title.width())
        })
        .collect();
    let start = out.len();
    for (column, width) in table.columns.iter().zip(&widths) {
        pad(out, (column.title, column.title.width()), *width, column, Tone::Dim, style);
    }
    end_line(out, start);
    for (row, cells) in table.rows.iter().zip(&texts) {
        let start = out.len();
        for (((column, width), cell), (text, shown)) in table.columns.iter().zip(&widths).zip(&row.cells).zip(cells) {
            pad(out, (text, *shown), *width, column, cell.tone, style);
        }
        end_line(out, start);
    }
}

/// Columns that a sanitised text takes.
fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Trailing blanks are cut from the line that began at `start`.
fn end_line(out: &mut String, start: usize) {
    while out.len() > start && out.ends_with(' ') {
        out.pop();
    }
    out.push('\n');
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

/// Width at which a path of the tree goes on on the next line.
const WRAP: usize = 110;

/// What stands before the second line of a node: the bars of its ancestors and its own.
fn margin(bars: &[bool], follows: bool, depth: usize) -> String {
    let own = if depth > 0 { Some(&follows) } else { None };
    let bar = |open: &bool| if *open { "│ " } else { "  " };
    " ".repeat(6) + &bars.iter().skip(1).chain(own).map(bar).collect::<String>()
}

fn tree(out: &mut String, nodes: &[Node], names: &ShortNames, style: Style) {
    // For each node: does a sibling follow? Read from the end, per depth.
    let mut follows = vec![false; nodes.len()];
    let mut open: Vec<bool> = Vec::new();
    for (node, follow) in nodes.iter().zip(follows.iter_mut()).rev() {
        let depth = usize::try_from(node.depth).unwrap_or(usize::MAX).min(nodes.len());
        open.resize(depth.saturating_add(1), false);
        if let Some(seen) = open.get_mut(depth) {
            *follow = std::mem::replace(seen, true);
        }
    }
    let mut bars: Vec<bool> = Vec::new();
    for (node, follow) in nodes.iter().zip(&follows) {
        let depth = usize::try_from(node.depth).unwrap_or(usize::MAX).min(nodes.len());
        bars.resize(depth, false);
        let mut cells = node.row.cells.iter();
        let count = cells.next().map(cell_text).unwrap_or_default();
        let start = out.len();
        push(out, &format!("{count:>5} "), Tone::Strong, style);
        for bar in bars.iter().skip(1) {
            out.push_str(if *bar { "│ " } else { "  " });
        }
        if depth > 0 {
            out.push_str(if *follow { "├ " } else { "└ " });
        }
        let rest = Row::new(cells.cloned().collect());
        let margin = margin(&bars, *follow, depth);
        let mut column = margin.width();
        for (at, part) in std::iter::once(&rest).chain(&node.folded).enumerate() {
            let texts: Vec<Text<'_>> = part.cells.iter().map(|cell| Text::of(cell, names)).collect();
            let width = texts.iter().map(|text| text.width().saturating_add(1)).sum::<usize>();
            if at > 0 {
                let is_tids = matches!(part.cells.as_slice(), [Cell { value: Value::Tids(_), .. }]);
                let fits = column.saturating_add(width).saturating_add(2) <= WRAP;
                let joint = match (fits, is_tids) {
                    (true, true) => "  ",
                    (true, false) => " ▸ ",
                    (false, true) => "    ",
                    (false, false) => "  ▸ ",
                };
                if !fits {
                    end_line(out, out.len());
                    out.push_str(&margin);
                    column = margin.width();
                }
                out.push_str(joint);
                column = column.saturating_add(3);
            }
            column = column.saturating_add(width);
            for (at, (cell, text)) in part.cells.iter().zip(&texts).enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                push(out, text, cell.tone, style);
            }
        }
        end_line(out, start);
        bars.push(*follow);
    }
}

/// Appends a text in its tone's colour.
// Source: ECMA-48 SGR: 1 bold, 2 faint, 31 red, 33 yellow, 36 cyan, 0 reset.
fn push(out: &mut String, text: &str, tone: Tone, style: Style) {
    let code = match tone {
        Tone::Bad => "31;1",
        Tone::Guess => "33",
        Tone::Link => "36",
        Tone::Dim => "2",
        Tone::Strong => "1",
        Tone::Plain => "",
    };
    if !style.color || text.is_empty() || code.is_empty() {
        return out.push_str(text);
    }
    out.push_str("\x1b[");
    out.push_str(code);
    out.push('m');
    out.push_str(text);
    out.push_str("\x1b[0m");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn columns_align_and_numbers_stand_right() {
        let rows = vec![
            Row::new(vec![Cell::text("a"), Cell::new(Value::Count(1_234_567))]),
            Row::new(vec![Cell::text("long name"), Cell::new(Value::Count(7))]),
        ];
        let columns = vec![Column::left("Name"), Column::right("Count")];
        let section =
            Section { bodies: vec![Body::Table(Table { columns, rows: Arc::new(rows) })], ..Section::default() };
        assert_eq!(
            print(&section, Style::default()),
            "Name           Count\na          1,234,567\nlong name          7\n"
        );
    }

    #[test]
    fn a_length_of_time_has_two_units() {
        let texts = [0, 59, 60, 3_599, 3_600, 86_399, 90_000].map(span);
        assert_eq!(texts, ["0s", "59s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 01h"]);
    }

    #[test]
    fn an_escape_in_a_name_is_printed_as_text() {
        let section = Section { bodies: vec![Body::Lines(vec![Row::text("\x1b[31mred")])], ..Section::default() };
        assert_eq!(print(&section, Style { color: true }), "\\x1b[31mred\n");
    }

    #[test]
    fn branches_of_a_tree_are_joined_to_their_parent() {
        let node = |depth, count, name: &str| Node {
            depth,
            row: Row::new(vec![Cell::new(Value::Count(count)), Cell::text(name)]),
            folded: Vec::new(),
        };
        let section = Section {
            bodies: vec![Body::Tree(vec![node(0, 3, "main"), node(1, 2, "a"), node(2, 2, "x"), node(1, 1, "b")])],
            ..Section::default()
        };
        assert_eq!(print(&section, Style::default()), "    3 main\n    2 ├ a\n    2 │ └ x\n    1 └ b\n");
    }
}
