//! Sections as text: aligned columns, names shortened for the eye, colour where asked for.
//!
//! Text goes out as it is made: an answer of millions of rows is never held as a whole.

mod table;
mod tree;

use std::borrow::Cow;
use std::io::Write;
use std::ops::Deref;
use std::sync::Arc;

use rayon::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::ascii::ascii;
use super::cell::{Cell, Row, Tone, Value};
use super::json::lost;
use super::names::ShortNames;
use super::sanitize::sanitize;
use super::section::{Body, Section};
use super::words::{Room, words};
use super::wrap;
use crate::error::Error;
use crate::job::Job;

/// How text is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With ANSI colours.
    pub color: bool,
    /// Columns of the terminal that it is printed on: tables are fitted into them, sentences wrapped. `None`: as wide as it is.
    pub width: Option<u16>,
    /// Drawn with ASCII characters alone.
    pub ascii: bool,
}

/// Bytes of text that are held before they go out.
const HELD: usize = 64 * 1024;
/// Parts of an answer that are printed at the same time.
const AT_ONCE: usize = 256;

/// Text on its way out.
struct Out<'a> {
    text: String,
    to: &'a mut dyn Write,
    job: &'a Job,
    style: Style,
}

impl Out<'_> {
    /// Lets the text go where there is much of it. Fails once the job is cancelled.
    fn spill(&mut self) -> Result<(), Error> {
        self.job.check()?;
        if self.text.len() > HELD { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.to.write_all(self.text.as_bytes()).map_err(lost)?;
        self.text.clear();
        Ok(())
    }
}

/// A cell's text: shared with other cells, or its own.
enum Text<'a> {
    Short(Arc<str>),
    Plain(Cow<'a, str>),
}

impl<'a> Text<'a> {
    /// A cell's value on one line, safe for a terminal.
    fn of(cell: &'a Cell, names: &ShortNames) -> Text<'a> {
        let text = || words(&cell.value, Room::Printed);
        match &cell.value {
            Value::Function(name) => Text::Short(names.of(name, || text().into())),
            _ => Text::Plain(text()),
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

/// Prints a section, each line ended by a newline. Fails where `to` does, and once the job is cancelled.
pub fn print(section: &Section, style: Style, to: &mut dyn Write, job: &Job) -> Result<(), Error> {
    print_with(&ShortNames::default(), section, style, to, job)
}

/// Prints an answer that is drawn in parts, one after the other; made in parallel.
pub fn print_parts(
    parts: usize,
    part: impl Fn(usize) -> Section + Sync,
    style: Style,
    to: &mut dyn Write,
    job: &Job,
) -> Result<(), Error> {
    let names = ShortNames::default();
    if parts == 1 {
        return print_with(&names, &part(0), style, to, job);
    }
    for first in (0..parts).step_by(AT_ONCE) {
        let last = first.saturating_add(AT_ONCE).min(parts);
        let printed = (first..last).into_par_iter().map(|index| {
            let mut text = Vec::new();
            print_with(&names, &part(index), style, &mut text, job).map(|()| text)
        });
        for text in printed.collect::<Result<Vec<Vec<u8>>, Error>>()? {
            to.write_all(&text).map_err(lost)?;
        }
    }
    Ok(())
}

/// A section as one text.
pub fn to_string(section: &Section, style: Style) -> Result<String, Error> {
    let mut text = Vec::new();
    print(section, style, &mut text, &Job::default())?;
    String::from_utf8(text).map_err(|error| Error::Failed(format!("cannot print: {error}")))
}

fn print_with(names: &ShortNames, section: &Section, style: Style, to: &mut dyn Write, job: &Job) -> Result<(), Error> {
    let mut out = Out { text: String::new(), to, job, style };
    for body in &section.bodies {
        match body {
            Body::Heading(title) => {
                push(&mut out.text, &sanitize(title), Tone::Strong, style);
                out.text.push('\n');
            }
            Body::Lines(rows) => {
                for row in rows {
                    line(&mut out.text, ("", None), row, style);
                    out.spill()?;
                }
            }
            Body::Chain(chain) => {
                for drawn in chain.drawn(style.ascii) {
                    let style = if drawn.whole { Style { width: None, ..style } } else { style };
                    line(&mut out.text, (drawn.margin, Some(drawn.further)), &drawn.row, style);
                }
            }
            Body::Fields(fields) => {
                let widest = fields.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
                let further = " ".repeat(widest);
                for (label, row) in fields {
                    line(&mut out.text, (&format!("{label:widest$}  "), Some(&further)), row, style);
                }
            }
            Body::Table(rows) => table::print(&mut out, rows, names)?,
            Body::Tree(nodes) => tree::print(&mut out, nodes, names)?,
        }
        out.spill()?;
    }
    out.flush()
}

/// Appends a line of cells behind a margin; where it is wider than the style's width it goes on in further lines, behind the other.
fn line(out: &mut String, (before, further): (&str, Option<&str>), row: &Row, style: Style) {
    let mut pieces = vec![(before.to_owned(), Tone::Plain)];
    pieces.extend(wrap::pieces(row, Room::Line));
    pieces.retain(|(text, _)| !text.is_empty());
    let lines = match style.width {
        Some(width) => wrap::behind(&pieces, width, further),
        None => vec![pieces],
    };
    for pieces in lines {
        let start = out.len();
        pieces.iter().for_each(|(text, tone)| push(out, text, *tone, style));
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
    let text = if style.ascii { ascii(text) } else { Cow::Borrowed(text) };
    if !style.color || text.is_empty() || code.is_empty() {
        return out.push_str(&text);
    }
    out.push_str("\x1b[");
    out.push_str(code);
    out.push('m');
    out.push_str(&text);
    out.push_str("\x1b[0m");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::section::{Column, Node, Table};

    fn text(body: Body, style: Style) -> String {
        to_string(&Section { bodies: vec![body], ..Section::default() }, style).expect("a text takes everything")
    }

    #[test]
    fn columns_align_and_numbers_stand_right() {
        let rows = vec![
            Row::new(vec![Cell::text("a"), Cell::new(Value::Count(1_234_567))]),
            Row::new(vec![Cell::text("long name"), Cell::new(Value::Count(7))]),
        ];
        let columns = vec![Column::left("Name"), Column::right("Count")];
        assert_eq!(
            text(Body::Table(Table::new(columns, rows)), Style::default()),
            "Name           Count\na          1,234,567\nlong name          7\n"
        );
    }

    #[test]
    fn an_escape_in_a_name_is_printed_as_text() {
        let lines = Body::Lines(vec![Row::text("\x1b[31mred")]);
        assert_eq!(text(lines, Style { color: true, ..Style::default() }), "\\x1b[31mred\n");
    }

    #[test]
    fn on_a_terminal_a_table_and_a_sentence_keep_to_its_width() {
        let cells = |at: u64| vec![Cell::new(Value::Count(at)), Cell::text("a_name_that_is_long"), Cell::text("less")];
        let columns = vec![Column::right("#"), Column::left("Name").rank(1), Column::left("Note").rank(4)];
        let table = || Body::Table(Table::new(columns.clone(), vec![Row::new(cells(1)), Row::new(cells(2))]));
        let narrow = |width| Style { width: Some(width), ..Style::default() };
        assert_eq!(
            text(table(), narrow(40)),
            "#  Name                 Note\n1  a_name_that_is_long  less\n2  a_name_that_is_long  less\n"
        );
        assert_eq!(text(table(), narrow(16)), "#  Name\n1  a_name…s_long\n2  a_name…s_long\n");
        let ascii = Style { ascii: true, ..narrow(16) };
        assert_eq!(text(table(), ascii), "#  Name\n1  a_name~s_long\n2  a_name~s_long\n");
        let sentence = Body::Lines(vec![Row::text("! worker-3 waits for g_stock")]);
        assert_eq!(text(sentence, narrow(16)), "! worker-3 waits\n  for g_stock\n");
    }

    #[test]
    fn a_number_between_those_that_were_measured_is_never_cut() {
        // Columns are measured by the first 10,000 rows and the last 100.
        let number = |at: usize| if at == 15_000 { 1_234_567 } else { 1 };
        let rows = (0..20_000).map(|at| Row::new(vec![Cell::new(Value::Count(number(at))), Cell::text("a")])).collect();
        let table = Body::Table(Table::new(vec![Column::right("#"), Column::left("Name")], rows));
        let text = text(table, Style { width: Some(20), ..Style::default() });
        assert_eq!(text.lines().nth(15_001), Some("1,234,567  a"));
        assert_eq!(text.lines().nth(15_002), Some("1  a"));
    }

    #[test]
    fn branches_of_a_tree_are_joined_to_their_parent() {
        let node = |depth, count, name: &str| Node {
            depth,
            row: Row::new(vec![Cell::new(Value::Count(count)), Cell::text(name)]),
            folded: Vec::new(),
        };
        let tree = Body::Tree(vec![node(0, 3, "main"), node(1, 2, "a"), node(2, 2, "x"), node(1, 1, "b")]);
        assert_eq!(text(tree, Style::default()), "    3 main\n    2 ├ a\n    2 │ └ x\n    1 └ b\n");
    }

    #[test]
    fn a_table_of_any_length_goes_out_piece_by_piece() {
        /// Counts lines, and the longest piece.
        struct Counting(usize, usize);
        impl Write for Counting {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0 += bytes.iter().filter(|byte| **byte == b'\n').count();
                self.1 = self.1.max(bytes.len());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let rows = (0..50_000u64).map(|at| Row::new(vec![Cell::new(Value::Count(at))])).collect();
        let table = Body::Table(Table::new(vec![Column::right("#")], rows));
        let section = Section { bodies: vec![table], ..Section::default() };
        let mut out = Counting(0, 0);
        print(&section, Style::default(), &mut out, &Job::default()).expect("it takes everything");
        assert_eq!(out.0, 50_001);
        assert!(out.1 < 2 * HELD, "{}", out.1);
        let job = Job::default();
        job.cancel();
        assert!(matches!(print(&section, Style::default(), &mut out, &job), Err(Error::Cancelled)));
    }
}
