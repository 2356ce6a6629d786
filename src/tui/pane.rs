//! One page: an answer and where the user stands in it. Cloned into the history, so going back restores everything.

mod moving;
mod seek;

use std::borrow::Cow;
use std::sync::Arc;

use super::document::{Arranged, Arrangement, Document, Spot, find, subject_of};
use super::event::{Failure, Question, Rows, Ticket};
use super::widgets::tree::Folds;
use super::widgets::{GUTTER, table};
use crate::job::Job;
use crate::model::Subject;
use crate::report::pattern::Pattern;
use crate::report::rows;
use crate::report::section::{Body, Row, Section, Sort};

pub use seek::Seek;

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
    /// Whether a filter puts the best match first: of a list to choose from, not of one that has an order of its own.
    pub ranked: bool,
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
            ranked: false,
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
        let filter = Pattern::parse(&self.typed);
        let mut work = None;
        self.arranging = None;
        for (index, body) in self.section.bodies.iter().enumerate() {
            let Body::Table(table) = body else { continue };
            let sort = self.sort.filter(|(body, _)| *body == index).map(|(_, sort)| sort);
            let Some(Arranged::Table { order, .. }) = self.arranged.get_mut(index) else { continue };
            if filter.is_none() && sort.is_none() {
                *order = None;
            } else if table.rows.len() <= AT_ONCE {
                let job = Job::default();
                let arranged = rows::arrange(&*table.rows, filter.as_ref(), sort, self.ranked, &job);
                *order = arranged.ok().flatten().map(Arc::new);
            } else if work.is_none() {
                self.arranging = Some((ticket, index));
                work =
                    Some(Rows { rows: Arc::clone(&table.rows), typed: self.typed.clone(), sort, ranked: self.ranked });
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
            filter: Pattern::parse(&self.typed),
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
    pub fn row(&self) -> Option<Cow<'_, Row>> {
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
}
