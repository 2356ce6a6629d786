//! What objects keep alive, as far as a question asks for it: a column that is there before its numbers are.

use std::sync::Arc;

use crate::analysis::graph::{Dominators, Graph};
use crate::error::Error;
use crate::job::Job;
use crate::report::section::{Cell, Column, Value};
use crate::session::Heap;
use crate::views::Query;

/// What is known of it.
#[derive(Clone, Debug, Default)]
pub(in crate::views) enum Kept {
    /// Nobody asked.
    #[default]
    Absent,
    /// It was not computed yet.
    Awaited,
    /// The heap cannot tell, for this reason.
    Unknown(Arc<str>),
    /// All.
    Known(Arc<Dominators>),
}

impl Kept {
    /// Computed where `-retained` asks for it; with `-known` what is known by now.
    pub(in crate::views) fn of(heap: &Heap, query: &Query, job: &Job) -> Result<Kept, Error> {
        if query.flag("retained") {
            return heap.dominators(job).map(Kept::Known);
        }
        if !query.flag("known") {
            return Ok(Kept::Absent);
        }
        if let Some(known) = heap.dominators_if_known() {
            return Ok(Kept::Known(known));
        }
        let refused = Graph::refuse_without_references(heap.source.as_ref());
        Ok(refused.map_or_else(|why| Kept::Unknown(why.to_string().into()), |()| Kept::Awaited))
    }

    pub(in crate::views) fn dominators(&self) -> Option<&Dominators> {
        match self {
            Kept::Known(dominators) => Some(dominators),
            Kept::Absent | Kept::Awaited | Kept::Unknown(_) => None,
        }
    }

    /// Its column, where it was asked for.
    pub(super) fn column(&self) -> Option<Column> {
        (!matches!(self, Kept::Absent)).then(|| Column::right("Retained"))
    }

    /// The cell of a row that retains so much.
    pub(in crate::views) fn cell(&self, bytes: Option<u64>) -> Option<Cell> {
        match self {
            Kept::Absent => None,
            Kept::Awaited => Some(Cell::new(Value::Awaited)),
            Kept::Unknown(why) => Some(Cell::unknown(why)),
            Kept::Known(_) => Some(bytes.map_or(Cell::NONE, |bytes| Cell::new(Value::Bytes(bytes)))),
        }
    }
}
