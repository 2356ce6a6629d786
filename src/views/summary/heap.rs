//! The summary of a heap dump: what it is, and which types take the most.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::FindingRow;
use crate::job::Job;
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::{HeapDump, Session};
use crate::views::dumpheap::Types;
use crate::views::{Answered, Answers, Draw};

/// Types that are shown, and told.
const SHOWN: usize = 10;

/// What was dumped, and what takes the most of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct HeapSummary {
    /// Always null: a heap dump is of no process.
    pub process: Option<()>,
    /// Conclusions; none are drawn from heap dumps so far.
    pub findings: Vec<FindingRow>,
    /// The objects, and the types that take the most.
    pub heap: Types,
    /// How many types have objects.
    pub types: usize,
    /// What was dumped.
    pub dump: HeapDumpRow,
}

/// The dump.
#[derive(Serialize, JsonSchema)]
pub(super) struct HeapDumpRow {
    /// What it is, in words.
    pub format: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whether nothing that the dump announces is missing from it.
    pub complete: bool,
}

pub(super) fn build(session: &Session, dump: &HeapDump, job: &Job) -> Answers {
    let heap = session.heap(job)?;
    let histogram = heap.histogram(job)?;
    let mut largest = Types::of(heap.source.as_ref(), &histogram, heap.bound());
    let types = largest.types.len();
    largest.types.truncate(SHOWN);
    let problems = session.problems();
    let complete = !problems.iter().any(|problem| super::INCOMPLETE.contains(&problem.code));
    let dump = HeapDumpRow { format: dump.format.to_owned(), bytes: dump.file_size, complete };
    let data = HeapSummary { process: None, findings: Vec::new(), heap: largest, types, dump };
    Ok(Box::new(Answered { data, problems: Vec::new() }))
}

impl Draw for HeapSummary {
    fn draw(&self) -> Section {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let complete = if self.dump.complete { dim("complete") } else { Cell::text("incomplete").tone(Tone::Guess) };
        let bytes = |bytes| Cell::new(Value::Bytes(bytes));
        let dump = vec![Cell::text(self.dump.format.as_str()), bytes(self.dump.bytes), complete];
        let mut heap = vec![Cell::text(format!("{}:", self.heap.heap)).tone(Tone::Strong)];
        heap.extend(self.heap.total.bound_cell());
        heap.extend([
            Cell::new(Value::Count(self.heap.total.count)),
            dim("objects of"),
            Cell::new(Value::Count(u64::try_from(self.types).unwrap_or(u64::MAX))),
            dim("types,"),
            bytes(self.heap.total.bytes),
        ]);
        let fields = vec![("heap".to_owned(), Row::new(heap)), ("dump".to_owned(), Row::new(dump))];
        let mut bodies = vec![Body::Fields(fields), Body::Heading("Largest types".to_owned())];
        // The total stands above already.
        bodies.extend(self.heap.draw().bodies.into_iter().take(1));
        let left = self.types.saturating_sub(self.heap.types.len());
        if left > 0 {
            let text: Arc<str> = format!("… and {left} more; 'dumpheap -stat' lists all").into();
            bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
        }
        Section { bodies, ..Section::default() }
    }
}
