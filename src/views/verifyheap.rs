//! `verifyheap`: whether a heap's books agree with each other.

use schemars::JsonSchema;
use serde::Serialize;

use super::dumpheap::Total;
use super::{Answered, Answers, Draw, Needs, Query, View};
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "verifyheap",
    aliases: &[],
    needs: Needs::Heap,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "Whether the heap is damaged: every object walked, its books held against each other",
    help: "Reads the heap as its allocator or collector would. Of glibc's malloc each chunk must end where the next one \
           begins, each link of a free list must lead on or back, and the sums of an arena must be what it took from the \
           system. Of .NET's heap the class of each object must be one, its size within its segment, and all that it \
           refers to the start of an object; handles and cards are not checked. Of others what a walk of their blocks \
           needs is checked. Blocks that were written beyond their end, or after they were freed, are found where that \
           touched these books, and not else.

$ dumpscope demo -c verifyheap
heap     glibc malloc
checked  6,907 objects of 498 kB
found    nothing wrong",
    build,
    schema: shape!(Verified),
};

/// What was checked, and what is wrong.
#[derive(Serialize, JsonSchema)]
pub struct Verified {
    /// Whose heap it is.
    pub heap: String,
    /// The objects that were walked.
    pub checked: Total,
    /// `damaged`; `unsure` where nothing is wrong for certain, and not everything could be read or adds up; else
    /// `intact`.
    pub verdict: &'static str,
    /// What is wrong, does not add up, or could not be read.
    pub findings: Vec<Finding>,
}

/// Something that is wrong, does not add up, or could not be read.
#[derive(Serialize, JsonSchema)]
pub struct Finding {
    /// `heap-damaged`, of free lists `heap-list-damaged`; `heap-unbalanced` for sums that do not agree, `heap-unsure` for what may be as it must; or why
    /// it could not be checked: `heap-incomplete`, `heap-moving`, `heap-overcounted`, `heap-not-found`.
    pub code: &'static str,
    /// Where; null where it has no place.
    pub address: Option<Addr>,
    /// What, in a sentence.
    pub message: String,
}

/// The codes of what is wrong; all others are of what could not be read.
const DAMAGED: [&str; 2] = ["heap-damaged", "heap-list-damaged"];

/// What findings come to, in a word.
pub(in crate::views) fn verdict(findings: &[Finding]) -> &'static str {
    match findings.is_empty() {
        true => "intact",
        false if findings.iter().any(|finding| DAMAGED.contains(&finding.code)) => "damaged",
        false => "unsure",
    }
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let heap = session.heap(job)?;
    let checked = heap.histogram(job)?.total;
    let checked = Total::of(checked, heap.bound());
    let mut problems = heap.source.verify(job)?;
    Problem::join(&mut problems, heap.source.problems());
    let findings: Vec<Finding> = problems.into_iter().map(Finding::of).collect();
    let verdict = verdict(&findings);
    let data = Verified { heap: heap.source.name().to_owned(), checked, verdict, findings };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Finding {
    pub(in crate::views) fn of(problem: Problem) -> Finding {
        let address = match problem.about {
            Subject::Memory(at) | Subject::Object(at) | Subject::Module(at) => Some(at),
            _ => None,
        };
        Finding { code: problem.code, address, message: problem.to_string() }
    }

    pub(in crate::views) fn row(&self) -> Row {
        let tone = if DAMAGED.contains(&self.code) { Tone::Bad } else { Tone::Dim };
        let place = self.address.map_or(Cell::NONE, |address| Cell::new(Value::Addr(address)));
        let cells = vec![place, Cell::text(self.message.as_str()).tone(tone)];
        match self.address {
            Some(address) => Row::about(Subject::Memory(address), cells),
            None => Row::new(cells),
        }
    }
}

impl Draw for Verified {
    fn draw(&self) -> Section {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let objects = if self.checked.count == 1 { "object of" } else { "objects of" };
        let mut checked: Vec<Cell> = self.checked.bound_cell().into_iter().collect();
        checked.extend([
            Cell::new(Value::Count(self.checked.count)),
            dim(objects),
            Cell::new(Value::Bytes(self.checked.bytes)),
        ]);
        let damages = self.findings.iter().filter(|finding| DAMAGED.contains(&finding.code)).count();
        let unread = self.findings.len().saturating_sub(damages);
        let found = match (damages, unread) {
            (0, 0) => Cell::text("nothing wrong"),
            (0, _) => Cell::text("nothing that is wrong for certain"),
            (1, _) => Cell::text("1 place is damaged").tone(Tone::Bad),
            _ => Cell::text(format!("{} places are damaged", thousands(damages as u64))).tone(Tone::Bad),
        };
        let fields = vec![
            ("heap".to_owned(), Row::text(self.heap.as_str())),
            ("checked".to_owned(), Row::new(checked)),
            ("found".to_owned(), Row::new(vec![found])),
        ];
        let mut bodies = vec![Body::Fields(fields)];
        if !self.findings.is_empty() {
            let columns = vec![Column::rigid("Address"), Column::wide("What", 1)];
            bodies.push(Body::Table(Table::new(columns, self.findings.iter().map(Finding::row).collect())));
        }
        Section { bodies, ..Section::default() }
    }
}
