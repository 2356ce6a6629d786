//! The shape of an answer before any printer: typed cells in lines, fields, tables and trees.
//!
//! Cells hold values, not formatted text: printers align numbers, shorten function names, choose colours. Text from the
//! dump passes [`super::sanitize`] inside the printers, so a section may hold it raw.

use std::sync::Arc;

use crate::model::{Addr, Problem, Subject, Tid};

/// An answer, ready to be printed.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its parts, in order.
    pub bodies: Vec<Body>,
    /// What is missing from it.
    pub problems: Vec<Problem>,
}

/// One part of a section.
#[derive(Clone, Debug)]
pub enum Body {
    /// A heading between parts.
    Heading(String),
    /// Free lines of cells: sentences, drawings.
    Lines(Vec<Row>),
    /// Label and value, one a line.
    Fields(Vec<(String, Row)>),
    /// Rows under columns.
    Table(Table),
    /// Rows that hang under rows.
    Tree(Vec<Node>),
}

/// What a cell's colour means. Never the only bearer of the meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// What is wrong (red).
    Bad,
    /// A guess or a warning (yellow).
    Guess,
    /// What one can open (cyan).
    Link,
    /// What is not ours to mend: library frames, addresses (dim).
    Dim,
    /// What the eye should find first (bold).
    Strong,
}

/// A value in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing there (and that is known).
    None,
    /// Text, possibly from the dump: printers sanitise it.
    Text(Arc<str>),
    /// An address.
    Addr(Addr),
    /// A number of items.
    Count(u64),
    /// A number of bytes.
    Bytes(u64),
    /// A length of time, seconds.
    Seconds(u64),
    /// A thread id.
    Tid(Tid),
    /// Thread ids; printers show as many as there is room for, and how many there are.
    Tids(Arc<[Tid]>),
    /// A function's full name; printers shorten it for display, cut in the middle.
    Function(Arc<str>),
    /// A source position; printers show the file's last component.
    Source(Arc<str>, Option<u32>),
    /// A path; printers may cut its directories.
    Path(Arc<str>),
    /// Not known, because.
    Unknown(Arc<str>),
}

/// A value and what its colour means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The value.
    pub value: Value,
    /// Its meaning.
    pub tone: Tone,
}

impl Cell {
    /// Nothing.
    pub const NONE: Cell = Cell { value: Value::None, tone: Tone::Plain };

    /// A plain cell.
    pub fn new(value: Value) -> Cell {
        Cell { value, tone: Tone::Plain }
    }

    /// Plain text.
    pub fn text(text: impl Into<Arc<str>>) -> Cell {
        Cell::new(Value::Text(text.into()))
    }

    /// The same value in another tone.
    pub fn tone(mut self, tone: Tone) -> Cell {
        self.tone = tone;
        self
    }

    /// Text where there is some, else nothing.
    pub fn text_or_none(text: Option<impl Into<Arc<str>>>) -> Cell {
        text.map_or(Cell::NONE, Cell::text)
    }

    /// An unknown value with its reason.
    pub fn unknown(reason: impl std::fmt::Display) -> Cell {
        Cell { value: Value::Unknown(reason.to_string().into()), tone: Tone::Guess }
    }
}

/// A line of a table, a tree or a text, and what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// In a table parallel to its columns; in a line printed one after the other, a space between.
    pub cells: Vec<Cell>,
    /// What Enter opens.
    pub subject: Option<Subject>,
}

impl Row {
    /// A row about nothing in particular.
    pub fn new(cells: Vec<Cell>) -> Row {
        Row { cells, subject: None }
    }

    /// A row that Enter opens.
    pub fn about(subject: Subject, cells: Vec<Cell>) -> Row {
        Row { cells, subject: Some(subject) }
    }

    /// A line of plain text.
    pub fn text(text: impl Into<Arc<str>>) -> Row {
        Row::new(vec![Cell::text(text)])
    }
}

/// How a column is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// A column: its title is the JSON key's word; units stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// Alignment of cells and heading.
    pub align: Align,
    /// Share of spare width; 0 keeps to its content.
    pub weight: u16,
    /// Whether its cells mean nothing when cut (bytes in hexadecimal): it is left out rather.
    pub rigid: bool,
}

impl Column {
    /// A column of words, as wide as its content.
    pub const fn left(title: &'static str) -> Column {
        Column { title, align: Align::Left, weight: 0, rigid: false }
    }

    /// A column of words that are shown whole or not at all.
    pub const fn rigid(title: &'static str) -> Column {
        Column { title, align: Align::Left, weight: 0, rigid: true }
    }

    /// A column of words that takes a share of the spare width and is cut in the middle first.
    pub const fn wide(title: &'static str, weight: u16) -> Column {
        Column { title, align: Align::Left, weight, rigid: false }
    }

    /// A column of numbers.
    pub const fn right(title: &'static str) -> Column {
        Column { title, align: Align::Right, weight: 0, rigid: true }
    }
}

/// Rows under columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Columns, left to right.
    pub columns: Vec<Column>,
    /// Rows in the answer's own order.
    pub rows: Arc<Vec<Row>>,
}

/// A node of a tree, in preorder.
#[derive(Clone, Debug)]
pub struct Node {
    /// Depth, 0 for a root. A node's children follow it directly, one deeper.
    pub depth: u32,
    /// Its content.
    pub row: Row,
    /// Frames folded into this line, shown behind it (`◂ caller ◂ caller`): printers may unfold them.
    pub folded: Vec<Row>,
}
