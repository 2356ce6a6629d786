//! Objects of a heap one by one.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

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
    #[schemars(with = "Vec<ObjectRow>")]
    objects: Arc<Listed>,
    /// All of them together.
    pub total: Total,
    /// Whether addresses alone are drawn.
    #[serde(skip)]
    short: bool,
}

/// An object.
#[derive(Serialize, JsonSchema)]
struct ObjectRow {
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

/// What is kept of an object: there may be millions.
#[derive(Debug)]
struct Brief {
    address: Addr,
    bytes: u64,
    /// [`UNTOLD`] where it was not asked for.
    retained: u64,
    of_type: u32,
}

/// In place of retained bytes.
const UNTOLD: u64 = u64::MAX;

impl Brief {
    fn retained(&self) -> Option<u64> {
        Some(self.retained).filter(|retained| *retained != UNTOLD)
    }

    /// Those that are listed first: that keep the most alive, or take the most.
    fn order(&self) -> (Reverse<u64>, Addr) {
        (Reverse(self.retained().unwrap_or(self.bytes)), self.address)
    }
}

/// The objects, which become rows when they are shown or written.
#[derive(Debug)]
struct Listed {
    /// Of each type its name and identity.
    names: Vec<(Arc<str>, Addr)>,
    objects: Vec<Brief>,
    kept: Kept,
}

impl Listed {
    fn of_type(&self, object: &Brief) -> Option<&(Arc<str>, Addr)> {
        self.names.get(object.of_type as usize)
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.objects.iter().map(|object| {
            let of_type = self.of_type(object);
            ObjectRow {
                address: object.address,
                name: of_type.map(|(name, _)| Arc::clone(name)),
                id: of_type.map(|(_, id)| *id),
                bytes: object.bytes,
                retained: object.retained(),
            }
        }))
    }
}

/// Objects while they are listed.
pub(super) struct List {
    /// Of each type its name and identity.
    names: Vec<(Arc<str>, Addr)>,
    objects: Vec<Brief>,
    total: Amount,
    /// Whether those stand first that keep the most alive, or take the most.
    by_size: bool,
    /// So many are listed at most.
    most: usize,
    short: bool,
}

impl List {
    pub(super) fn of(source: &dyn HeapSource, query: &Query) -> List {
        let names = source.types().iter().map(|of_type| (of_type.name.as_str().into(), of_type.id)).collect();
        let most = query.number("n").and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        let by_size = query.flag("retained") || query.flag("known");
        let short = query.flag("short");
        List { names, objects: Vec::new(), total: Amount::default(), by_size, most, short }
    }

    pub(super) fn add(&mut self, object: HeapObject, retained: Option<u64>) {
        self.total.add(Amount { count: 1, bytes: object.bytes });
        // As many again are kept before the smaller half is dropped.
        if self.objects.len() >= self.most.saturating_mul(if self.by_size { 2 } else { 1 }) {
            if !self.by_size || self.most == 0 {
                return;
            }
            self.objects.select_nth_unstable_by_key(self.most.saturating_sub(1), Brief::order);
            self.objects.truncate(self.most);
        }
        self.objects.push(Brief {
            address: object.address,
            bytes: object.bytes,
            retained: retained.unwrap_or(UNTOLD),
            of_type: u32::try_from(object.of_type).unwrap_or(u32::MAX),
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

    /// `kept`: what was asked for of what they keep alive.
    pub(super) fn finished(mut self, bound: Bound, kept: Kept, job: &Job) -> Objects {
        if self.by_size {
            job.phase("sorting", 0);
            self.objects.sort_unstable_by_key(Brief::order);
        }
        self.objects.truncate(self.most);
        let objects = Listed { names: self.names, objects: self.objects, kept };
        Objects { objects: Arc::new(objects), total: Total::of(self.total, bound), short: self.short }
    }
}

impl Draw for Objects {
    fn draw(&self) -> Section {
        if self.short {
            // One below the other, for what reads them.
            let address = |object: &Brief| {
                Row::about(Subject::Object(object.address), vec![Cell::new(Value::Object(object.address))])
            };
            let rows = self.objects.objects.iter().map(address).collect();
            return Section { bodies: vec![Body::Lines(rows)], ..Section::default() };
        }
        let mut columns = vec![Column::rigid("Address"), Column::right("Bytes").rank(3)];
        columns.extend(self.objects.kept.column());
        columns.push(Column::wide("Type", 1).rank(1));
        let rows: Arc<dyn Rows> = Arc::<Listed>::clone(&self.objects);
        let mut lines = Vec::new();
        let left = self.total.count.saturating_sub(rows.len() as u64);
        if left > 0 {
            let text = format!("… and {} more; -n N lists more of them", thousands(left));
            lines.push(Row::new(vec![Cell::text(text).tone(Tone::Dim)]));
        }
        lines.push(self.total.row(""));
        Section { bodies: vec![Body::Table(Table { columns, rows }), Body::Lines(lines)], ..Section::default() }
    }
}

impl Rows for Listed {
    fn len(&self) -> usize {
        self.objects.len()
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        let object = self.objects.get(index)?;
        let name = match self.of_type(object) {
            Some((name, _)) => Cell::text(Arc::clone(name)),
            None => Cell::unknown("the heap tells no such type"),
        };
        let address = Cell::new(Value::Addr(object.address)).tone(Tone::Link);
        let mut cells = vec![address, Cell::new(Value::Bytes(object.bytes))];
        cells.extend(self.kept.cell(object.retained()));
        cells.push(name);
        Some(Cow::Owned(Row::about(Subject::Object(object.address), cells)))
    }
}
