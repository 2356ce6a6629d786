//! A section laid out for a width: which line of the screen is which part of the answer.
//!
//! Lines of tables are not made before they are drawn, so a document over millions of rows costs its order alone.

mod paint;
mod spot;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use super::arrange::{Kept, is_title};
use super::widgets::text::{self, TextLine};
use super::widgets::tree::{Folds, Shape, TreeLine};
use super::widgets::{GUTTER, table};
use crate::model::Subject;
use crate::report::columns::fit;
use crate::report::pattern::Pattern;
use crate::report::section::{Body, Row, Section, Sort, Table, Value};

pub use spot::{Spot, find, row_of, subject_of};

/// How one body is arranged; kept between layouts of different widths.
#[derive(Clone, Debug)]
pub enum Arranged {
    /// Wrapped text: the lines that are left.
    Text(Kept),
    /// A table.
    Table {
        /// Each column's natural width, measured when the table is first seen.
        natural: Natural,
        /// The rows that are left.
        kept: Kept,
    },
    /// A tree: its shape, and the nodes that are left.
    Tree(Arc<Shape>, Kept),
}

/// The natural widths of a table's columns, measured when they are first asked for.
pub type Natural = Rc<OnceCell<Vec<u16>>>;

impl Arranged {
    /// The arrangement of a body that nothing filters or sorts.
    pub fn new(body: &Body) -> Arranged {
        match body {
            Body::Table(_) => Arranged::Table { natural: Natural::default(), kept: None },
            Body::Tree(nodes) => Arranged::Tree(Arc::new(Shape::new(nodes)), None),
            Body::Heading(_) | Body::Lines(_) | Body::Fields(_) | Body::Chain(_) => Arranged::Text(None),
        }
    }

    /// The same with what is left of the body.
    pub fn keep(&mut self, left: Kept) {
        match self {
            Arranged::Text(kept) | Arranged::Tree(_, kept) | Arranged::Table { kept, .. } => *kept = left,
        }
    }
}

enum Lines {
    Text(Vec<TextLine>),
    Table { room: u16, natural: Natural, widths: OnceCell<Vec<u16>>, order: Kept, rows: usize },
    Tree { shape: Arc<Shape>, lines: Vec<TreeLine> },
}

impl Lines {
    fn len(&self) -> usize {
        match self {
            Lines::Text(lines) => lines.len(),
            Lines::Table { rows, .. } => rows.saturating_add(1),
            Lines::Tree { lines, .. } => lines.len(),
        }
    }

    /// The widths of a table's columns in its place.
    fn widths(&self, table: &Table) -> &[u16] {
        match self {
            Lines::Table { room, natural, widths, .. } => widths.get_or_init(|| {
                let natural = natural.get_or_init(|| table::natural(table));
                fit(&table.columns, natural, *room)
            }),
            Lines::Text(_) | Lines::Tree { .. } => &[],
        }
    }
}

struct Placed {
    /// First line.
    first: usize,
    /// How many.
    len: usize,
    body: usize,
    lines: Lines,
}

/// A section laid out.
pub struct Document {
    section: Arc<Section>,
    placed: Vec<Placed>,
    len: usize,
    filter: Option<Pattern>,
    sort: Option<(usize, Sort)>,
    folds: Vec<Folds>,
    /// Columns of code that are left of the screen.
    left: u16,
}

/// What decides a layout, apart from the section.
pub struct Arrangement<'a> {
    /// Columns of screen.
    pub width: u16,
    /// The filter, parsed.
    pub filter: Option<Pattern>,
    /// The table that is sorted, and how.
    pub sort: Option<(usize, Sort)>,
    /// Folds of each body.
    pub folds: &'a [Folds],
    /// Columns of code that are left of the screen.
    pub left: u16,
    /// Arrangement of each body.
    pub bodies: &'a [Arranged],
}

impl Arrangement<'_> {
    /// That of an empty section.
    pub fn none() -> Arrangement<'static> {
        Arrangement { width: 0, filter: None, sort: None, folds: &[], left: 0, bodies: &[] }
    }
}

impl Document {
    /// Lays a section out.
    pub fn new(section: Arc<Section>, arrangement: Arrangement<'_>) -> Document {
        let Arrangement { width, filter, sort, folds, left, bodies } = arrangement;
        let room = width.saturating_sub(GUTTER);
        let mut document = Document { section, placed: Vec::new(), len: 0, filter, sort, folds: folds.to_vec(), left };
        let section = Arc::clone(&document.section);
        let none = Folds::default();
        let filters = document.filter.is_some();
        for (index, (body, arranged)) in section.bodies.iter().zip(bodies).enumerate() {
            let lines = match (body, arranged) {
                (Body::Heading(title), Arranged::Text(None)) => Lines::Text(text::heading(title)),
                (Body::Lines(rows), Arranged::Text(kept)) => Lines::Text(text::lines(rows, room, kept)),
                (Body::Fields(fields), Arranged::Text(kept)) => Lines::Text(text::fields(fields, room, kept)),
                (Body::Chain(chain), Arranged::Text(kept)) => Lines::Text(text::chain(chain, room, kept)),
                (Body::Table(rows), Arranged::Table { natural, kept }) => {
                    let count = kept.as_ref().map_or(rows.rows.len(), |kept| kept.len());
                    if count == 0 {
                        continue;
                    }
                    let (natural, order) = (Rc::clone(natural), kept.clone());
                    Lines::Table { room, natural, widths: OnceCell::new(), order, rows: count }
                }
                (Body::Tree(nodes), Arranged::Tree(shape, kept)) => {
                    let folds = document.folds.get(index).unwrap_or(&none);
                    let kept = kept.as_deref().map(Vec::as_slice);
                    Lines::Tree { shape: Arc::clone(shape), lines: shape.visible(nodes, folds, kept) }
                }
                (Body::Heading(_) | Body::Lines(_) | Body::Fields(_) | Body::Chain(_), _) => Lines::Text(Vec::new()),
                // An arrangement of another section: shown empty rather than wrong.
                (Body::Table(_) | Body::Tree(_), _) => Lines::Text(Vec::new()),
            };
            // What a filter takes away leaves no blank line.
            if !filters || lines.len() > 0 {
                document.place(index, body, lines);
            }
        }
        if filters {
            return document;
        }
        for (index, problem) in (0u32..).zip(&section.problems) {
            if index == 0 && document.len > 0 {
                document.len = document.len.saturating_add(1);
            }
            let lines = text::problem(index, &problem.message, problem.remedy.as_deref(), room);
            document.push(usize::MAX, Lines::Text(lines));
        }
        document
    }

    fn place(&mut self, index: usize, body: &Body, lines: Lines) {
        let before = index.checked_sub(1).and_then(|before| self.section.bodies.get(before));
        let empty_first =
            matches!(&lines, Lines::Text(lines) if lines.first().is_some_and(|line| line.pieces.is_empty()));
        let apart = match (before, body) {
            (None, _) => false,
            (_, Body::Heading(_)) => true,
            (Some(Body::Table(_) | Body::Tree(_) | Body::Fields(_)), _) => !empty_first,
            (Some(_), Body::Fields(_)) => !empty_first,
            (Some(Body::Chain(_)), Body::Lines(_)) => false,
            _ => false,
        };
        if apart && self.len > 0 {
            self.len = self.len.saturating_add(1);
        }
        self.push(index, lines);
    }

    fn push(&mut self, body: usize, lines: Lines) {
        let len = lines.len();
        self.placed.push(Placed { first: self.len, len, body, lines });
        self.len = self.len.saturating_add(len);
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part that holds a line, and the line's place in it. `None` for a blank line between parts.
    fn at(&self, line: usize) -> Option<(&Placed, usize)> {
        let after = self.placed.partition_point(|placed| placed.first <= line);
        let placed = self.placed.get(after.checked_sub(1)?)?;
        let inside = line.checked_sub(placed.first)?;
        (inside < placed.len).then_some((placed, inside))
    }

    /// What a line is, where it can be selected.
    pub fn spot(&self, line: usize) -> Option<Spot> {
        let (placed, inside) = self.at(line)?;
        let (item, frame) = match &placed.lines {
            Lines::Text(lines) => lines.get(inside).filter(|line| line.opens).map(|line| (line.item, 0))?,
            Lines::Table { order, .. } => (nth(order.as_deref().map(Vec::as_slice), inside.checked_sub(1)?)?, 0),
            Lines::Tree { lines, .. } => lines.get(inside).map(|line| (line.node, line.frame))?,
        };
        Some(Spot { body: placed.body, item, frame })
    }

    /// The line of a spot. `None` while a filter or a fold hides it.
    pub fn line_of(&self, spot: Spot) -> Option<usize> {
        let placed = self.placed.iter().find(|placed| placed.body == spot.body)?;
        let inside = match &placed.lines {
            Lines::Text(lines) => lines.iter().position(|line| line.opens && line.item == spot.item)?,
            Lines::Table { order: None, rows, .. } => {
                (spot.item as usize).checked_add(1).filter(|line| line <= rows)?
            }
            Lines::Table { order: Some(order), .. } => {
                order.iter().position(|item| *item == spot.item)?.saturating_add(1)
            }
            Lines::Tree { lines, .. } => lines
                .iter()
                .position(|line| (line.node, line.frame) == (spot.item, spot.frame))
                .or_else(|| lines.iter().position(|line| line.node == spot.item))?,
        };
        placed.first.checked_add(inside)
    }

    /// The first line from `from` on that can be selected, or from there back with `forward` false.
    pub fn selectable(&self, from: usize, forward: bool, within: usize) -> Option<usize> {
        let can = |line: &usize| self.spot(*line).is_some();
        if forward {
            (from..self.len.min(from.saturating_add(within))).find(can)
        } else {
            let last = from.checked_add(1)?.min(self.len);
            (last.saturating_sub(within)..last).rev().find(can)
        }
    }

    /// The row of a spot, and what it opens.
    pub fn row(&self, spot: Spot) -> Option<Cow<'_, Row>> {
        row_of(&self.section, spot)
    }

    /// What a spot opens.
    pub fn subject(&self, spot: Spot) -> Option<Subject> {
        subject_of(&self.section, spot)
    }

    /// The table that a spot is in, or the first.
    pub fn table(&self, spot: Option<Spot>) -> Option<(usize, &Table)> {
        let table = |index: usize| match self.section.bodies.get(index) {
            Some(Body::Table(table)) => Some((index, table)),
            _ => None,
        };
        spot.and_then(|spot| table(spot.body)).or_else(|| (0..self.section.bodies.len()).find_map(table))
    }

    /// Whether a spot (or, without one, any part) is in a tree.
    pub fn in_tree(&self, spot: Option<Spot>) -> bool {
        match spot.and_then(|spot| self.section.bodies.get(spot.body)) {
            Some(body) => matches!(body, Body::Tree(_)),
            None => self.section.bodies.iter().any(|body| matches!(body, Body::Tree(_))),
        }
    }

    /// The shape of the tree that is this body.
    pub fn shape(&self, body: usize) -> Option<&Arc<Shape>> {
        match &self.placed.iter().find(|placed| placed.body == body)?.lines {
            Lines::Tree { shape, .. } => Some(shape),
            _ => None,
        }
    }

    /// Rows and nodes that are shown.
    pub fn rows(&self) -> usize {
        let shown = self.placed.iter().map(|placed| match &placed.lines {
            Lines::Table { rows, .. } => *rows,
            Lines::Tree { lines, .. } => lines.iter().filter(|line| line.frame == 0).count(),
            Lines::Text(_) => 0,
        });
        shown.fold(0, usize::saturating_add)
    }

    /// Rows, nodes, sentences, fields and drawings that are shown, of how many. Titles are none of them.
    pub fn counts(&self) -> (usize, usize) {
        let bodies = &self.section.bodies;
        let said = |placed: &Placed| match (&placed.lines, bodies.get(placed.body)) {
            (Lines::Text(_), Some(Body::Chain(_))) => 1,
            (Lines::Text(lines), Some(Body::Lines(_) | Body::Fields(_))) if !is_title(bodies, placed.body) => {
                let mut items: Vec<u32> =
                    lines.iter().filter(|line| !line.pieces.is_empty()).map(|line| line.item).collect();
                items.dedup();
                items.len()
            }
            _ => 0,
        };
        let shown = self.placed.iter().map(said);
        let all = bodies.iter().enumerate().map(|(index, body)| match body {
            Body::Table(table) => table.rows.len(),
            Body::Tree(nodes) => nodes.len(),
            Body::Lines(_) if is_title(bodies, index) => 0,
            Body::Lines(rows) => rows.iter().filter(|row| !is_blank(row)).count(),
            Body::Fields(fields) => fields.len(),
            Body::Chain(_) => 1,
            Body::Heading(_) => 0,
        });
        (shown.fold(self.rows(), usize::saturating_add), all.fold(0, usize::saturating_add))
    }

    /// The column of the table at a line that stands at a column of the screen (counted from the document's first).
    pub fn column_at(&self, line: usize, x: u16) -> Option<(usize, usize)> {
        let (placed, inside) = self.at(line)?;
        match (&placed.lines, self.section.bodies.get(placed.body)) {
            (lines @ Lines::Table { .. }, Some(Body::Table(table))) if inside == 0 => {
                Some((placed.body, table::column_at(lines.widths(table), x)?))
            }
            _ => None,
        }
    }

    /// The heading that stays on top while the rows of its table are scrolled under it: its line.
    fn heading_over(&self, top: usize) -> Option<usize> {
        let (placed, inside) = self.at(top)?;
        (inside > 0 && matches!(placed.lines, Lines::Table { .. })).then_some(placed.first)
    }

    /// The first line to show so that `line` is visible in `height` lines, moving as little as may be from `top`.
    pub fn scroll(&self, top: usize, line: usize, height: usize) -> usize {
        let mut top = top.min(self.len.saturating_sub(height.min(self.len)));
        if line >= top.saturating_add(height) {
            top = line.saturating_add(1).saturating_sub(height);
        }
        if line < top {
            top = line;
        }
        // A heading that stays on top covers the first line.
        if line == top && self.heading_over(top).is_some() {
            top = top.saturating_sub(1);
        }
        top
    }

    /// The line that is drawn at row `y` of a view that starts at `top`.
    pub fn line_at(&self, top: usize, y: usize) -> usize {
        match self.heading_over(top) {
            Some(heading) if y == 0 => heading,
            _ => top.saturating_add(y),
        }
    }
}

/// Whether a line only sets others apart.
fn is_blank(row: &Row) -> bool {
    row.cells.iter().all(|cell| match &cell.value {
        Value::None => true,
        Value::Text(text) => text.is_empty(),
        _ => false,
    })
}

fn nth(order: Option<&[u32]>, index: usize) -> Option<u32> {
    match order {
        Some(order) => order.get(index).copied(),
        None => u32::try_from(index).ok(),
    }
}
