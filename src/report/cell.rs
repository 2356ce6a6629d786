//! Typed cells and the rows they make: values, not formatted text. Printers align numbers, shorten names, choose colours.
//!
//! Text from the dump stands here raw: it passes [`super::sanitize`] inside the printers.

use std::sync::Arc;

use crate::model::{Addr, Subject, Tid};

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
    /// A number of bytes; printers round it (`730M`) but in a detail, where it is exact.
    Bytes(u64),
    /// A length of time, seconds.
    Seconds(u64),
    /// A short length of time, milliseconds.
    Millis(u64),
    /// A share, in tenths of a percent.
    Percent(u32),
    /// A share, in tenths of a percent, on the screen with a bar before it.
    Bar(u32),
    /// Yes or no.
    Bool(bool),
    /// Bytes in hexadecimal, in their order in memory; `None` for one that is not readable.
    Hex(Arc<[Option<u8>]>),
    /// A thread id.
    Tid(Tid),
    /// Thread ids; printers show as many as there is room for, and how many there are.
    Tids(Arc<[Tid]>),
    /// A function's full name; printers shorten it for display, cut in the middle.
    Function(Arc<str>),
    /// A type's full name; printers shorten the arguments of a template.
    Type(Arc<str>),
    /// An object of the heap, by its address.
    Object(Addr),
    /// A source position; printers show the file's last component.
    Source(Arc<str>, Option<u32>),
    /// A source position near the true one, which is not known: printers mark it.
    Near(Arc<str>, Option<u32>),
    /// A path; printers may cut its directories.
    Path(Arc<str>),
    /// Not known, because.
    Unknown(Arc<str>),
    /// Not known yet: it is computed meanwhile, or will be where somebody asks for it.
    Awaited,
}

impl Value {
    /// Whether it is another value once a part of it is left out: a number, an address, bytes.
    pub fn is_whole(&self) -> bool {
        match self {
            Value::Addr(_)
            | Value::Count(_)
            | Value::Bytes(_)
            | Value::Seconds(_)
            | Value::Millis(_)
            | Value::Percent(_)
            | Value::Hex(_)
            | Value::Tid(_)
            | Value::Object(_) => true,
            Value::None
            | Value::Text(_)
            | Value::Bar(_)
            | Value::Bool(_)
            | Value::Tids(_)
            | Value::Function(_)
            | Value::Type(_)
            | Value::Source(..)
            | Value::Near(..)
            | Value::Path(_)
            | Value::Unknown(_)
            | Value::Awaited => false,
        }
    }
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
