//! The shape of an answer before any printer: typed cells in lines, fields, tables and trees.
//!
//! Cells hold values, not formatted text: printers align numbers, shorten function names, choose colours. Text from the
//! dump passes [`super::sanitize`] inside the printers, so a section may hold it raw.

use std::sync::Arc;

use crate::model::Problem;

pub use super::cell::{Cell, Row, Tone, Value};
pub use super::chain::{Chain, Link};
use super::rows::Listed;
pub use super::rows::{Order, Rows, Sort};

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
    /// Free lines of cells: sentences.
    Lines(Vec<Row>),
    /// Who waits for whom: printers draw it.
    Chain(Chain),
    /// Label and value, one a line.
    Fields(Vec<(String, Row)>),
    /// Rows under columns.
    Table(Table),
    /// Rows that hang under rows.
    Tree(Vec<Node>),
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
    /// Share of what its rank has to give where room is short; 0 counts as 1.
    pub weight: u16,
    /// Whether its cells mean nothing when cut (numbers, bytes in hexadecimal): it is left out rather.
    pub rigid: bool,
    /// Who gives way first where room is short: 1 carries the meaning and is cut last, 2 tells which row it is, 3 and 4 help and are
    /// left out rather than that the others are cut below what is enough for them.
    pub rank: u8,
    /// Columns of screen below which it is not cut while another can give.
    pub min: u16,
    /// Columns of screen that are enough for most of what it tells: what is beyond is cut before a column that helps is left out.
    pub enough: u16,
}

/// A column of words is not cut below this, unless its content is narrower.
const LEAST: u16 = 10;

impl Column {
    const fn new(title: &'static str, align: Align, weight: u16, rigid: bool) -> Column {
        Column { title, align, weight, rigid, rank: 2, min: LEAST, enough: LEAST }
    }

    /// A column of words, as wide as its content.
    pub const fn left(title: &'static str) -> Column {
        Column::new(title, Align::Left, 0, false)
    }

    /// A column of words that are shown whole or not at all.
    pub const fn rigid(title: &'static str) -> Column {
        Column::new(title, Align::Left, 0, true)
    }

    /// A column of words that is cut in the middle, and gives more the wider it is for its weight.
    pub const fn wide(title: &'static str, weight: u16) -> Column {
        Column::new(title, Align::Left, weight, false)
    }

    /// A column of numbers.
    pub const fn right(title: &'static str) -> Column {
        Column::new(title, Align::Right, 0, true)
    }

    /// The same with another rank.
    pub const fn rank(self, rank: u8) -> Column {
        Column { rank, enough: if rank == 1 { u16::MAX } else { self.enough }, ..self }
    }

    /// The same that may be cut to this width before a column that helps is left out; what carries the meaning may not, else.
    pub const fn enough(self, enough: u16) -> Column {
        Column { enough, ..self }
    }

    /// The same with another least width.
    pub const fn min(self, min: u16) -> Column {
        Column { min, enough: if self.rank == 1 { self.enough } else { min }, ..self }
    }
}

/// Rows under columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// Columns, left to right.
    pub columns: Vec<Column>,
    /// Rows in the answer's own order: held, or made when they are asked for.
    pub rows: Arc<dyn Rows>,
}

impl Table {
    /// A table whose rows are held.
    pub fn new(columns: Vec<Column>, rows: Vec<Row>) -> Table {
        Table { columns, rows: Arc::new(Listed::new(rows)) }
    }
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
