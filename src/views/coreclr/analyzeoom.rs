//! `analyzeoom`: the last allocation that .NET's collector could not serve.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::Partial;
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::FailedAllocation;
use crate::shape;
use crate::views::{Alias, Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "analyzeoom",
    aliases: &[Alias::of("ao")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "The last allocation that .NET's collector could not serve, and why",
    help: "The collector keeps one for each of its heaps. An OutOfMemoryException that the program made itself, or one for an array \
           longer than any may be, is none of them.

$ dumpscope shop.core -c analyzeoom
Asked for    34 MB
Reason       the system gave no memory for it
Collections  3 before it",
    build,
    schema: shape!(Failed),
};

/// Allocations that failed.
#[derive(Serialize, JsonSchema)]
pub struct Failed {
    /// The last of each heap.
    pub failed: Vec<FailedRow>,
    /// Whether that is all: false where the books of a heap could not be read; the warnings tell.
    #[serde(skip)]
    is_whole: bool,
}

/// An allocation that failed.
#[derive(Serialize, JsonSchema)]
pub struct FailedRow {
    /// Which heap of the collector, from 0.
    pub heap: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Why it failed, in words.
    pub reason: &'static str,
    /// What the collector could not get from the system; null where it did not come to that.
    pub from_system: Option<&'static str>,
    /// Bytes that it asked the system for.
    pub system_bytes: u64,
    /// The number of the collection before it.
    pub collection: u64,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let Partial { value: failed, problems } = with(session, job, |runtime| {
        runtime.failed_allocations().map_err(|gap| Error::Failed(format!("what .NET's collector keeps: {gap}")))
    })?;
    let row = |failed: FailedAllocation| FailedRow {
        heap: failed.heap,
        bytes: failed.bytes,
        reason: failed.reason,
        from_system: failed.from_system,
        system_bytes: failed.system_bytes,
        collection: failed.collection,
    };
    let failed = failed.into_iter().map(row).collect();
    Ok(Box::new(Answered { data: Failed { failed, is_whole: problems.is_empty() }, problems }))
}

impl Draw for Failed {
    fn draw(&self) -> Section {
        if self.failed.is_empty() {
            let said = match self.is_whole {
                true => "No allocation on the managed heap has failed.",
                false => "No allocation is known to have failed.",
            };
            let said = Row::text(said);
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let many = self.failed.len() > 1;
        Section { bodies: self.failed.iter().map(|row| fields(row, many)).collect(), ..Section::default() }
    }
}

fn fields(failed: &FailedRow, many: bool) -> Body {
    let mut fields = Vec::new();
    if many {
        fields.push(("Heap".to_owned(), Row::new(vec![Cell::new(Value::Count(failed.heap))])));
    }
    let asked = vec![Cell::new(Value::Bytes(failed.bytes)).tone(Tone::Strong)];
    fields.push(("Asked for".to_owned(), Row::new(asked)));
    fields.push(("Reason".to_owned(), Row::text(failed.reason)));
    if let Some(from_system) = failed.from_system {
        let cells = vec![Cell::text(from_system), Cell::new(Value::Bytes(failed.system_bytes))];
        fields.push(("Not given".to_owned(), Row::new(cells)));
    }
    let before = vec![Cell::new(Value::Count(failed.collection)), Cell::text("before it").tone(Tone::Dim)];
    fields.push(("Collections".to_owned(), Row::new(before)));
    Body::Fields(fields)
}
