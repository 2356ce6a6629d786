//! One page: an answer and where the user stands in it. Cloned into the history, so going back restores everything.

mod moving;
mod search;
mod seek;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::arrange::{Arranging, Kept};
use super::document::{Arranged, Arrangement, Document, Natural, Spot, find, subject_of};
use super::event::{Failure, Question, Ticket};
use super::widgets::tree::Folds;
use super::widgets::{GUTTER, table};
use crate::job::Job;
use crate::model::Subject;
use crate::report::columns::total;
use crate::report::pattern::Pattern;
use crate::report::section::{Body, Row, Section, Sort, Table};

pub use search::Found;
pub use seek::Seek;

/// Up to this many rows are arranged at once, more on a worker: the echo of a key comes first.
const AT_ONCE: usize = 2_000;
/// Tables by which the width is measured that an answer asks for.
const MEASURED: usize = 8;

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
    /// Whether it is a pane itself, and not opened from one.
    pub is_root: bool,
    /// Where it stands, from its pane on, itself last: `Threads`, `worker-3 4719`, `frame 2`; empty for a pane itself.
    pub crumbs: Vec<String>,
    /// Columns of code that are left of the screen.
    pub left: u16,
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
    /// Whether there is more than the facts: an answer, that of an earlier question while another one is asked.
    answered: bool,
    section: Arc<Section>,
    arranged: Vec<Arranged>,
    arranging: Option<(Ticket, Job)>,
    /// The filter that was typed last: what is searched for.
    sought: String,
    /// The line where it was found last.
    found: Option<usize>,
    folds: Vec<Folds>,
    size: (u16, u16),
    document: Rc<Document>,
}

impl Pane {
    /// A page that answers a question, or shows facts alone, in a place of this size.
    pub fn new(title: impl Into<String>, question: Option<Question>, facts: Vec<Body>, size: (u16, u16)) -> Pane {
        let section = Arc::new(Section { bodies: facts.clone(), problems: Vec::new() });
        let mut pane = Pane {
            title: title.into(),
            is_root: false,
            crumbs: Vec::new(),
            left: 0,
            content: if question.is_some() { Content::Blank } else { Content::Ready },
            question,
            facts,
            seek: None,
            typed: String::new(),
            ranked: false,
            sort: None,
            spot: None,
            top: 0,
            answered: false,
            arranged: Vec::new(),
            arranging: None,
            sought: String::new(),
            found: None,
            folds: Vec::new(),
            size,
            document: Rc::new(Document::new(Arc::new(Section::default()), Arrangement::none())),
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
        self.answered = true;
        if self.facts.is_empty() {
            self.put(Arc::clone(answer));
        } else {
            let bodies = self.facts.iter().chain(&answer.bodies).cloned().collect();
            self.put(Arc::new(Section { bodies, problems: answer.problems.clone() }));
        }
    }

    /// Drops what was answered and what was known without asking: something else is open. What was selected is again,
    /// once there is an answer that has it.
    pub fn forget(&mut self) {
        if let Some((_, job)) = self.arranging.take() {
            job.cancel();
        }
        self.seek = self.seek.or_else(|| self.subject().map(Seek::Subject));
        self.content = Content::Blank;
        self.answered = false;
        self.facts.clear();
        self.folds.clear();
        self.arranged.clear();
        self.section = Arc::default();
        self.lay_out();
    }

    fn put(&mut self, section: Arc<Section>) {
        self.arranged = section.bodies.iter().map(Arranged::new).collect();
        self.folds.resize(section.bodies.len(), Folds::default());
        self.section = section;
        match self.seek.take() {
            Some(Seek::Subject(subject)) => self.select(subject),
            Some(Seek::Number(number)) => self.select_number(number),
            Some(Seek::FirstRow) => self.select_first_row(),
            Some(Seek::OwnFrame) => self.select_own_frame(),
            None => {}
        }
        // A filter over many rows is arranged again by whoever asks `arrange`; until then all rows are shown.
        self.lay_out();
        self.reveal();
    }

    /// Columns of screen in which no cell of its tables is cut; `None` without a table.
    pub fn natural_width(&self) -> Option<u16> {
        let tables = self.section.bodies.iter().zip(&self.arranged).filter_map(|both| match both {
            (Body::Table(table), Arranged::Table { natural, .. }) => Some((table, natural)),
            _ => None,
        });
        let width = |(table, natural): (&Table, &Natural)| {
            total(natural.get_or_init(|| table::natural(table))).saturating_add(GUTTER)
        };
        tables.take(MEASURED).map(width).max()
    }

    /// Lines of screen that its tables, fields, sentences and warnings take, whatever a filter hides.
    pub fn natural_height(&self) -> u16 {
        let tables = self.section.bodies.iter().map(|body| match body {
            Body::Table(table) => table.rows.len().saturating_add(1),
            Body::Tree(nodes) => nodes.len(),
            // A blank line sets them off.
            Body::Fields(fields) => fields.len().saturating_add(1),
            Body::Lines(rows) => rows.len(),
            Body::Heading(_) | Body::Chain(_) => 0,
        });
        let problems = self.section.problems.len().saturating_mul(2);
        u16::try_from(tables.sum::<usize>().saturating_add(problems)).unwrap_or(u16::MAX)
    }

    /// Whether an answer is shown, be it that of an earlier question.
    pub fn is_answered(&self) -> bool {
        self.answered
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

    /// Filters and sorts anew. Returns the work where it is too much for now, under a ticket; what it replaces is left.
    pub fn arrange(&mut self, ticket: Ticket) -> Option<Arranging> {
        if let Some((_, job)) = self.arranging.take() {
            job.cancel();
        }
        if !self.typed.is_empty() {
            self.sought.clone_from(&self.typed);
        }
        let job = Job::default();
        let arranging = Arranging {
            section: Arc::clone(&self.section),
            typed: self.typed.clone(),
            sort: self.sort,
            ranked: self.ranked,
            job: job.clone(),
        };
        if arranging.work() > AT_ONCE {
            self.arranging = Some((ticket, job));
            return Some(arranging);
        }
        // Nobody cancels what is done at once.
        if let Ok(kept) = arranging.run() {
            self.keep(&kept);
        }
        None
    }

    /// Takes what a worker left, if it is what is waited for.
    pub fn arranged(&mut self, ticket: Ticket, kept: &[Kept]) {
        if self.arranging.as_ref().is_some_and(|(waited, _)| *waited == ticket) {
            self.arranging = None;
            self.keep(kept);
        }
    }

    fn keep(&mut self, kept: &[Kept]) {
        for (arranged, kept) in self.arranged.iter_mut().zip(kept) {
            arranged.keep(kept.clone());
        }
        self.lay_out();
        self.reveal();
    }

    /// Whether rows are being arranged.
    pub fn is_arranging(&self) -> bool {
        self.arranging.is_some()
    }

    fn lay_out(&mut self) {
        self.found = None;
        let arrangement = Arrangement {
            width: self.size.0,
            filter: Pattern::parse(&self.typed),
            sort: self.sort,
            folds: &self.folds,
            left: self.left,
            bodies: &self.arranged,
        };
        self.document = Rc::new(Document::new(Arc::clone(&self.section), arrangement));
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
