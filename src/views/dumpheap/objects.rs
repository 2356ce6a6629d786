//! Objects of a heap one by one.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::Total;
use super::kept::Kept;
use crate::analysis::histogram::{Amount, Selection};
use crate::error::Error;
use crate::heap::{Bound, HeapObject, HeapSource};
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::rows::Rows;
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::views::{Draw, Query};

/// Objects one by one.
#[derive(Serialize, JsonSchema)]
pub(super) struct Objects {
    /// In the order of the heap; with `-live` and `-dead` by address, with `-retained` those that retain the most
    /// first, with `-known` the largest where that is not known.
    pub objects: Arc<Vec<ObjectRow>>,
    /// All of them together.
    pub total: Total,
    #[serde(skip)]
    pub(super) kept: Kept,
}

/// An object.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ObjectRow {
    /// Where it is.
    pub address: Addr,
    /// Its type's full name; null where it has none of those that the heap tells.
    #[serde(rename = "type")]
    pub name: Option<Arc<str>>,
    /// Its type's identity.
    pub id: Option<Addr>,
    /// What it takes itself, in bytes.
    pub bytes: u64,
    /// What would be free without it, in bytes, itself among it; absent where it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<u64>,
}

/// Objects while they are listed.
pub(super) struct List {
    /// Of each type its name and identity.
    names: Vec<(Arc<str>, Addr)>,
    objects: Vec<ObjectRow>,
    total: Amount,
    /// Whether those stand first that keep the most alive, or take the most.
    by_size: bool,
    /// So many are listed at most.
    most: usize,
}

impl List {
    pub(super) fn of(source: &dyn HeapSource, query: &Query) -> List {
        let names = source.types().iter().map(|of_type| (of_type.name.as_str().into(), of_type.id)).collect();
        let most = query.number("n").and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let by_size = query.flag("retained") || query.flag("known");
        List { names, objects: Vec::new(), total: Amount::default(), by_size, most }
    }

    /// Those that are listed first.
    fn order(object: &ObjectRow) -> (Reverse<u64>, Addr) {
        (Reverse(object.retained.unwrap_or(object.bytes)), object.address)
    }

    pub(super) fn add(&mut self, object: HeapObject, retained: Option<u64>) {
        let of_type = self.names.get(object.of_type);
        self.total.add(Amount { count: 1, bytes: object.bytes });
        // As many again are kept before the smaller half is dropped.
        if self.objects.len() >= self.most.saturating_mul(if self.by_size { 2 } else { 1 }) {
            if !self.by_size || self.most == 0 {
                return;
            }
            self.objects.select_nth_unstable_by_key(self.most.saturating_sub(1), List::order);
            self.objects.truncate(self.most);
        }
        self.objects.push(ObjectRow {
            address: object.address,
            name: of_type.map(|(name, _)| Arc::clone(name)),
            id: of_type.map(|(_, id)| *id),
            bytes: object.bytes,
            retained,
        });
    }

    /// Adds what is selected of a heap, in its order.
    pub(super) fn add_all(&mut self, source: &dyn HeapSource, selection: &Selection, job: &Job) -> Result<(), Error> {
        job.phase("listing objects", 0);
        let mut meter = job.meter();
        for part in 0..source.parts() {
            job.check()?;
            source.objects(part, &mut meter, &mut |object| {
                if selection.has(&object) {
                    self.add(object, None);
                }
                Ok(())
            })?;
        }
        // What a source has left out since the job was cancelled is no part of it.
        job.check()
    }

    pub(super) fn finished(mut self, bound: Bound) -> Objects {
        if self.by_size {
            self.objects.sort_by_key(List::order);
        }
        self.objects.truncate(self.most);
        Objects { objects: Arc::new(self.objects), total: Total::of(self.total, bound), kept: Kept::Absent }
    }
}

impl Draw for Objects {
    fn draw(&self) -> Section {
        let mut columns = vec![Column::rigid("Address"), Column::right("Bytes").rank(3)];
        columns.extend(self.kept.column());
        columns.push(Column::wide("Type", 1).rank(1));
        let table = Table { columns, rows: Arc::new(Listing(Arc::clone(&self.objects), self.kept.clone())) };
        let mut lines = Vec::new();
        let left = self.total.count.saturating_sub(self.objects.len() as u64);
        if left > 0 {
            let text = format!("… and {} more; -n N lists more of them", thousands(left));
            lines.push(Row::new(vec![Cell::text(text).tone(Tone::Dim)]));
        }
        lines.push(self.total.row(""));
        Section { bodies: vec![Body::Table(table), Body::Lines(lines)], ..Section::default() }
    }
}

/// The objects as rows, which are made when they are shown: there may be millions.
#[derive(Debug)]
struct Listing(Arc<Vec<ObjectRow>>, Kept);

impl Rows for Listing {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        let ObjectRow { address, name, bytes, retained, .. } = self.0.get(index)?;
        let name = match name {
            Some(name) => Cell::text(Arc::clone(name)),
            None => Cell::unknown("the heap tells no such type"),
        };
        let mut cells = vec![Cell::new(Value::Addr(*address)).tone(Tone::Link), Cell::new(Value::Bytes(*bytes))];
        cells.extend(self.1.cell(*retained));
        cells.push(name);
        Some(Cow::Owned(Row::about(Subject::Object(*address), cells)))
    }
}
