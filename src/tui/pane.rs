//! One page: an answer and where the user stands in it. Cloned into the history, so going back restores everything.

use std::sync::Arc;

use super::document::{Arranged, Arrangement, Document, Spot, find, subject_of};
use super::event::{Failure, Question, Rows, Ticket};
use super::filter::{self, Filter, Sort};
use super::widgets::tree::{Folds, Shape, frames_of};
use super::widgets::{GUTTER, table};
use crate::job::Job;
use crate::model::{Subject, Tid};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};

/// Up to this many rows are arranged at once, more on a worker.
const AT_ONCE: usize = 5_000;

/// What there is to show.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing was asked yet.
    Blank,
    /// The question is being answered.
    Waiting(Ticket, Job),
    /// The answer.
    Ready,
    /// There is none.
    Failed(Failure),
}

/// What to select in an answer that is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The row about this.
    Subject(Subject),
    /// The row of a table whose first cell is this number.
    Number(u64),
    /// The innermost frame of the program's own code, else the innermost.
    OwnFrame,
}

/// A page.
#[derive(Clone)]
pub struct Pane {
    /// Its name in the line of panes.
    pub title: String,
    /// The question that it answers.
    pub question: Option<Question>,
    /// Facts known without asking, shown before the answer.
    facts: Vec<Body>,
    /// What there is to show.
    pub content: Content,
    /// The row to select once the answer is there.
    pub seek: Option<Seek>,
    /// The filter as typed.
    pub typed: String,
    /// The table that is sorted, and how.
    pub sort: Option<(usize, Sort)>,
    /// The selected place; kept while a filter hides it.
    spot: Option<Spot>,
    top: usize,
    section: Arc<Section>,
    arranged: Vec<Arranged>,
    arranging: Option<(Ticket, usize)>,
    folds: Vec<Folds>,
    size: (u16, u16),
    document: Arc<Document>,
}

impl Pane {
    /// A page that answers a question, or shows facts alone, in a place of this size.
    pub fn new(title: impl Into<String>, question: Option<Question>, facts: Vec<Body>, size: (u16, u16)) -> Pane {
        let section = Arc::new(Section { bodies: facts.clone(), problems: Vec::new() });
        let mut pane = Pane {
            title: title.into(),
            content: if question.is_some() { Content::Blank } else { Content::Ready },
            question,
            facts,
            seek: None,
            typed: String::new(),
            sort: None,
            spot: None,
            top: 0,
            arranged: Vec::new(),
            arranging: None,
            folds: Vec::new(),
            size,
            document: Arc::new(Document::new(Arc::new(Section::default()), Arrangement::none())),
            section: Arc::clone(&section),
        };
        pane.put(section);
        pane
    }

    /// The answer, whole.
    pub fn section(&self) -> &Arc<Section> {
        &self.section
    }

    /// The answer as laid out.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// The size of its place.
    pub fn size(&self) -> (u16, u16) {
        self.size
    }

    /// The first line shown.
    pub fn top(&self) -> usize {
        self.top
    }

    /// Takes the answer.
    pub fn answer(&mut self, answer: &Arc<Section>) {
        self.content = Content::Ready;
        if self.facts.is_empty() {
            self.put(Arc::clone(answer));
        } else {
            let bodies = self.facts.iter().chain(&answer.bodies).cloned().collect();
            self.put(Arc::new(Section { bodies, problems: answer.problems.clone() }));
        }
    }

    fn put(&mut self, section: Arc<Section>) {
        self.arranged = section.bodies.iter().map(Arranged::new).collect();
        self.folds.resize(section.bodies.len(), Folds::default());
        self.section = section;
        match self.seek.take() {
            Some(Seek::Subject(subject)) => self.select(subject),
            Some(Seek::Number(number)) => self.select_number(number),
            Some(Seek::OwnFrame) => self.select_own_frame(),
            None => {}
        }
        // A filter over many rows is arranged again by whoever asks `arrange`; until then all rows are shown.
        self.lay_out();
        self.reveal();
    }

    /// Selects the row about a subject, if there is one: in its tables and trees first.
    pub fn select(&mut self, subject: Subject) {
        if self.subject() == Some(subject) {
            return;
        }
        let about = |row: &Row| is_about(row, subject);
        self.stand_at(find(&self.section, true, about).or_else(|| find(&self.section, false, about)));
    }

    /// Selects the row of a table or a tree that is about a thread, if there is one.
    pub fn select_thread(&mut self, tid: Tid) {
        self.stand_at(find(&self.section, true, |row| is_about(row, Subject::Thread(tid))));
    }

    fn stand_at(&mut self, spot: Option<Spot>) {
        if spot.is_some() {
            self.spot = spot;
            self.reveal();
        }
    }

    /// Selects the row whose first cell is a number, in the middle of the screen.
    fn select_number(&mut self, number: u64) {
        let tables = self.section.bodies.iter().enumerate().filter_map(|(body, content)| match content {
            Body::Table(table) => Some((body, table)),
            _ => None,
        });
        let numbered = |row: &Row| row.cells.first().is_some_and(|cell| cell.value == Value::Count(number));
        for (body, table) in tables {
            if let Some(item) = table.rows.iter().position(numbered) {
                self.spot = u32::try_from(item).ok().map(|item| Spot { body, item, frame: 0 });
                self.top = item.saturating_sub(self.height() / 2);
            }
        }
    }

    fn select_own_frame(&mut self) {
        let is_frame = |row: &Row| matches!(row.subject, Some(Subject::Frame(..)));
        let is_own = |row: &Row| {
            let own = |cell: &Cell| matches!(cell.value, Value::Function(_)) && cell.tone != Tone::Dim;
            is_frame(row) && row.cells.iter().any(own)
        };
        self.spot = find(&self.section, true, is_own).or_else(|| find(&self.section, true, is_frame)).or(self.spot);
        self.top = 0;
    }

    /// Columns of screen in which no cell of its tables is cut; `None` without a table.
    pub fn natural_width(&self) -> Option<u16> {
        let widths = self.arranged.iter().filter_map(|arranged| match arranged {
            Arranged::Table { natural, .. } => Some(table::total(natural).saturating_add(GUTTER)),
            _ => None,
        });
        widths.max()
    }

    /// Lines of screen that its tables and warnings take, whatever a filter hides.
    pub fn natural_height(&self) -> u16 {
        let tables = self.section.bodies.iter().map(|body| match body {
            Body::Table(table) => table.rows.len().saturating_add(1),
            _ => 0,
        });
        let problems = self.section.problems.len().saturating_mul(2);
        u16::try_from(tables.sum::<usize>().saturating_add(problems)).unwrap_or(u16::MAX)
    }

    /// Whether facts stand before the answer.
    pub fn has_facts(&self) -> bool {
        !self.facts.is_empty()
    }

    /// Lays the answer out for a place of this size.
    pub fn resize(&mut self, width: u16, height: u16) {
        if self.size != (width, height) {
            let relaid = self.size.0 != width;
            self.size = (width, height);
            if relaid {
                self.lay_out();
            }
            self.reveal();
        }
    }

    /// Filters and sorts anew. Returns the work where it is too much for now, under a ticket.
    pub fn arrange(&mut self, ticket: Ticket) -> Option<Rows> {
        let filter = Filter::parse(&self.typed);
        let mut work = None;
        self.arranging = None;
        for (index, body) in self.section.bodies.iter().enumerate() {
            let Body::Table(table) = body else { continue };
            let sort = self.sort.filter(|(body, _)| *body == index).map(|(_, sort)| sort);
            let Some(Arranged::Table { order, .. }) = self.arranged.get_mut(index) else { continue };
            if filter.is_none() && sort.is_none() {
                *order = None;
            } else if table.rows.len() <= AT_ONCE {
                *order = Some(Arc::new(filter::arrange(&table.rows, filter.as_ref(), sort)));
            } else if work.is_none() {
                self.arranging = Some((ticket, index));
                work = Some(Rows { rows: Arc::clone(&table.rows), typed: self.typed.clone(), sort });
            }
        }
        self.lay_out();
        self.reveal();
        work
    }

    /// Takes an order that a worker made, if it is the one waited for.
    pub fn arranged(&mut self, ticket: Ticket, made: Vec<u32>) {
        let Some((_, body)) = self.arranging.filter(|(waited, _)| *waited == ticket) else { return };
        self.arranging = None;
        if let Some(Arranged::Table { order, .. }) = self.arranged.get_mut(body) {
            *order = Some(Arc::new(made));
        }
        self.lay_out();
        self.reveal();
    }

    /// Whether rows are being arranged.
    pub fn is_arranging(&self) -> bool {
        self.arranging.is_some()
    }

    fn lay_out(&mut self) {
        let arrangement = Arrangement {
            width: self.size.0,
            filter: Filter::parse(&self.typed),
            sort: self.sort,
            folds: &self.folds,
            bodies: &self.arranged,
        };
        self.document = Arc::new(Document::new(Arc::clone(&self.section), arrangement));
    }

    fn height(&self) -> usize {
        usize::from(self.size.1).max(1)
    }

    /// The selected line; while the selected place is hidden, the first that can be.
    pub fn line(&self) -> Option<usize> {
        let line = self.spot.and_then(|spot| self.document.line_of(spot));
        line.or_else(|| self.document.selectable(0, true, usize::MAX))
    }

    /// The selected place that is visible.
    pub fn spot(&self) -> Option<Spot> {
        self.document.spot(self.line()?)
    }

    /// The selected row.
    pub fn row(&self) -> Option<&Row> {
        self.document.row(self.spot()?)
    }

    /// What the selected row opens.
    pub fn subject(&self) -> Option<Subject> {
        subject_of(&self.section, self.spot()?)
    }

    /// Brings the selected line into view.
    fn reveal(&mut self) {
        let height = self.height();
        let last_top = self.document.len().saturating_sub(height.min(self.document.len()));
        self.top = match self.line() {
            // What stands above the first selectable line belongs to it when both fit.
            Some(line) if self.document.selectable(0, true, usize::MAX) == Some(line) && line < height => 0,
            Some(line) => self.document.scroll(self.top, line, height),
            None => self.top.min(last_top),
        };
    }

    /// Selects a line by its place on the screen. Says whether there was one to select.
    pub fn click(&mut self, y: u16) -> bool {
        let line = self.document.line_at(self.top, usize::from(y));
        self.stand(line)
    }

    fn stand(&mut self, line: usize) -> bool {
        match self.document.spot(line) {
            Some(spot) => {
                self.spot = Some(spot);
                self.reveal();
                true
            }
            None => false,
        }
    }

    /// Moves to the next line that can be selected, down or up; scrolls where none is near.
    pub fn step(&mut self, down: bool) {
        let height = self.height();
        let from = self.line();
        let next = match (from, down) {
            (Some(line), true) => self.document.selectable(line.saturating_add(1), true, height),
            (Some(line), false) => line.checked_sub(1).and_then(|line| self.document.selectable(line, false, height)),
            (None, _) => None,
        };
        match next {
            Some(line) => {
                self.stand(line);
            }
            None => self.scroll(down, 1),
        }
    }

    /// Moves by lines, down or up, and selects the nearest that can be.
    pub fn leap(&mut self, down: bool, lines: usize) {
        let Some(from) = self.line() else { return self.scroll(down, lines) };
        let target = if down {
            from.saturating_add(lines).min(self.document.len().saturating_sub(1))
        } else {
            from.saturating_sub(lines)
        };
        let near = self.document.selectable(target, down, lines);
        match near.or_else(|| self.document.selectable(target, !down, lines)) {
            Some(line) if (line > from) == down && line != from => {
                self.top = if down { self.top.saturating_add(lines) } else { self.top.saturating_sub(lines) };
                self.stand(line);
            }
            _ => self.scroll(down, lines),
        }
    }

    /// Half a screen, or a whole one less a line.
    pub fn page(&mut self, down: bool, whole: bool) {
        let height = self.height();
        self.leap(down, if whole { height.saturating_sub(1).max(1) } else { (height / 2).max(1) });
    }

    /// To the first or the last line that can be selected.
    pub fn edge(&mut self, bottom: bool) {
        let len = self.document.len();
        let line = if bottom {
            self.document.selectable(len.saturating_sub(1), false, usize::MAX)
        } else {
            self.document.selectable(0, true, usize::MAX)
        };
        self.top = if bottom { len.saturating_sub(self.height()) } else { 0 };
        if let Some(line) = line {
            self.spot = self.document.spot(line);
        }
    }

    /// Scrolls without selecting.
    pub fn scroll(&mut self, down: bool, lines: usize) {
        let last_top = self.document.len().saturating_sub(self.height());
        self.top = if down { self.top.saturating_add(lines).min(last_top) } else { self.top.saturating_sub(lines) };
    }

    /// Scrolls; the selection comes along where it would leave the screen.
    pub fn wheel(&mut self, down: bool, lines: usize) {
        self.scroll(down, lines);
        let height = self.height();
        // A heading that stays on top covers the first line.
        let first = (0..height).map(|y| self.document.line_at(self.top, y)).find(|line| *line >= self.top);
        let first = first.unwrap_or(self.top);
        let last = self.top.saturating_add(height).saturating_sub(1);
        let near = match self.line() {
            Some(line) if line < first => self.document.selectable(first, true, height),
            Some(line) if line > last => self.document.selectable(last, false, height),
            _ => None,
        };
        if let Some(spot) = near.and_then(|line| self.document.spot(line)) {
            self.spot = Some(spot);
        }
    }

    /// Unfolds the selected node: its folded frames, then its children; goes to its first child where all is open.
    /// Folds in the reverse order; goes to the parent where all is folded.
    pub fn fold(&mut self, fold: bool) {
        let Some(spot) = self.spot() else { return };
        let Some(Body::Tree(nodes)) = self.section.bodies.get(spot.body) else { return };
        let Some(shape) = self.document.shape(spot.body).map(Arc::clone) else { return };
        let Some(folds) = self.folds.get_mut(spot.body) else { return };
        let node = Spot { frame: 0, ..spot };
        let has_chain = nodes.get(spot.item as usize).is_some_and(|node| frames_of(node) > 0);
        let has_children = shape.descendants(spot.item) > 0;
        let parent = shape.parent(spot.item).map_or(node, |parent| Spot { item: parent, ..node });
        let child = Spot { item: spot.item.saturating_add(1), ..node };
        let changed = if fold {
            folds.chains.remove(&spot.item) || has_children && folds.closed.insert(spot.item)
        } else {
            folds.closed.remove(&spot.item) || has_chain && folds.chains.insert(spot.item)
        };
        let to = match (changed, fold) {
            (true, _) => node,
            (false, true) => parent,
            (false, false) if has_children => child,
            (false, false) => node,
        };
        self.spot = Some(to);
        self.lay_out();
        self.reveal();
    }

    /// Folds or unfolds everything.
    pub fn fold_all(&mut self, fold: bool) {
        let spot = self.spot();
        for (body, folds) in self.section.bodies.iter().zip(&mut self.folds) {
            let Body::Tree(nodes) = body else { continue };
            *folds = Folds::default();
            let shape = Shape::new(nodes);
            for (index, node) in (0u32..).zip(nodes) {
                if fold && shape.descendants(index) > 0 {
                    folds.closed.insert(index);
                }
                if !fold && frames_of(node) > 0 {
                    folds.chains.insert(index);
                }
            }
            // The selection moves to the root that now stands for it.
            if let Some(selected) = spot.filter(|_| fold) {
                let mut root = selected.item;
                while let Some(parent) = shape.parent(root) {
                    root = parent;
                }
                self.spot = Some(Spot { item: root, frame: 0, ..selected });
            }
        }
        self.lay_out();
        self.reveal();
    }
}

/// Whether a row is about a subject. A frame is also about its thread, a list of thread ids about each.
fn is_about(row: &Row, subject: Subject) -> bool {
    let lists = |tid: &Tid| row.cells.iter().any(|cell| matches!(&cell.value, Value::Tids(tids) if tids.contains(tid)));
    match (row.subject, subject) {
        (_, Subject::Thread(tid)) if lists(&tid) => true,
        (Some(Subject::Frame(tid, _)), Subject::Thread(wanted)) => tid == wanted,
        (own, wanted) => own == Some(wanted),
    }
}
