//! `gcheapstat`: how much each generation of .NET's heap has, and how much of it is free.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::analysis::share::tenths;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Job;
use crate::model::{Addr, Partial, Problem};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::coreclr::{Generation, Segment};
use crate::session::{Heap, Session};
use crate::shape;
use crate::views::{Alias, Answered, Answers, Arg, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "gcheapstat",
    aliases: &[Alias::of("heapstat")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Flag("unreachable", "also how much is in objects that nothing reaches: it can be collected"),
        Arg::Flag("inclUnrooted", "the same"),
        Arg::Flag("iu", "the same"),
    ],
    pane: None,
    doc: "Of each generation of .NET's heap how much is in its segments, how much of that is free, what it took from the system",
    help: "What is free lies between objects, and is used once a collection has given it to where objects are made; what was taken from the \
           system and is not in segments yet is none of it. With several heaps the sums of all of them follow.

$ dumpscope shop.core -c gcheapstat
Generation  Bytes  Free  Free %  Committed
gen 0        396K  300K  75.6 %       516K
gen 1           0     0               196K
gen 2        183K     0   0.0 %       196K
…
in all: 956 kB in segments, 307 kB of them free, 1.4 MB taken from the system",
    build,
    schema: shape!(GcHeapStat),
};

/// What generations have.
#[derive(Serialize, JsonSchema)]
pub struct GcHeapStat {
    /// Each of each heap, heap by heap, the youngest first.
    pub generations: Vec<GenerationRow>,
    /// Each of all heaps together.
    pub total: Vec<GenerationRow>,
    /// Whether that is all: false where a part of the heap could not be read; the warnings tell.
    pub complete: bool,
}

/// A generation.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct GenerationRow {
    /// The heap that has it, from 0; null for all together.
    pub heap: Option<u64>,
    /// `gen 0`, `gen 1`, `gen 2`, `large`, `pinned`, `frozen`; `gen 0 to 2` where they share a segment and cannot be told apart.
    pub generation: &'static str,
    /// Bytes in its segments, from the first object of each to the end of the last.
    pub bytes: u64,
    /// Bytes of them that fill gaps between objects.
    pub free: u64,
    /// Bytes that it has taken from the system.
    pub committed_bytes: u64,
    /// Bytes of objects that nothing reaches; null where that was not asked for.
    pub unreachable: Option<u64>,
}

impl GenerationRow {
    fn add(&mut self, other: &GenerationRow) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.free = self.free.saturating_add(other.free);
        self.committed_bytes = self.committed_bytes.saturating_add(other.committed_bytes);
        if let Some(more) = other.unreachable {
            self.unreachable = Some(self.unreachable.unwrap_or(0).saturating_add(more));
        }
    }
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let Partial { value: (_, segments), mut problems } = with(session, job, |runtime| runtime.heap_segments(job))?;
    let heap = session.heap(job)?;
    let asks_reached = ["unreachable", "inclUnrooted", "iu"].iter().any(|name| query.flag(name));
    let unreachable = if asks_reached { Some(unreachable(&heap, &segments, job)?) } else { None };
    Problem::join(&mut problems, if asks_reached { heap.doubts() } else { heap.source.problems() });
    let free: BTreeMap<Addr, Free> =
        heap.source.stretches().into_iter().map(|stretch| (stretch.range.start, stretch.free)).collect();
    let mut rows: BTreeMap<(u64, Generation), GenerationRow> = BTreeMap::new();
    let mut total: BTreeMap<Generation, GenerationRow> = BTreeMap::new();
    for (index, segment) in segments.iter().enumerate() {
        let name = segment.generation.words();
        let own = GenerationRow {
            heap: Some(segment.heap),
            generation: name,
            bytes: segment.bytes(),
            // One without objects begins where another may.
            free: free.get(&segment.start).filter(|_| segment.bytes() > 0).map_or(0, |free| free.bytes),
            committed_bytes: segment.committed_bytes(),
            unreachable: unreachable.as_ref().map(|all| all.get(index).copied().unwrap_or(0)),
        };
        let empty = |heap| GenerationRow { heap, generation: name, ..GenerationRow::default() };
        let key = (segment.heap, segment.generation);
        rows.entry(key).or_insert_with(|| empty(Some(segment.heap))).add(&own);
        total.entry(segment.generation).or_insert_with(|| empty(None)).add(&own);
    }
    let data = GcHeapStat {
        generations: rows.into_values().collect(),
        total: total.into_values().collect(),
        complete: problems.is_empty(),
    };
    Ok(Box::new(Answered { data, problems }))
}

/// Of each segment the bytes of its objects that nothing reaches.
fn unreachable(heap: &Heap, segments: &[Segment], job: &Job) -> Result<Vec<u64>, Error> {
    let (objects, reachable) = (heap.objects(job)?, heap.reachable(job)?);
    let mut places: Vec<(Range<Addr>, usize)> =
        segments.iter().enumerate().map(|(index, segment)| (segment.start..segment.end, index)).collect();
    places.retain(|(range, _)| !range.is_empty());
    places.sort_unstable_by_key(|(range, _)| range.start);
    let mut bytes = vec![0u64; segments.len()];
    let mut meter = job.meter();
    for id in 0..objects.len() {
        meter.add(1)?;
        let Some(object) = objects.get(id).filter(|_| !reachable.set.has(id)) else { continue };
        let after = places.partition_point(|(range, _)| range.start <= object.address);
        let place = after.checked_sub(1).and_then(|place| places.get(place));
        if let Some(sum) = place.and_then(|(_, index)| bytes.get_mut(*index)) {
            *sum = sum.saturating_add(object.bytes);
        }
    }
    Ok(bytes)
}

impl Draw for GcHeapStat {
    fn draw(&self) -> Section {
        let many = self.generations.iter().any(|row| row.heap != Some(0));
        let asked = self.total.iter().any(|row| row.unreachable.is_some());
        let mut columns: Vec<Column> = many.then(|| Column::right("Heap")).into_iter().collect();
        columns.extend([
            Column::left("Generation"),
            Column::right("Bytes"),
            Column::right("Free"),
            Column::right("Free %").rank(3),
            Column::right("Committed"),
        ]);
        columns.extend(asked.then(|| Column::right("Unreachable")));
        let row = |row: &GenerationRow| {
            let heap = || row.heap.map_or(Cell::text("all"), |heap| Cell::new(Value::Count(heap)));
            let share = || Cell::new(Value::Percent(tenths(row.free, row.bytes)));
            let mut cells: Vec<Cell> = many.then(heap).into_iter().collect();
            cells.extend([
                Cell::text(row.generation).tone(Tone::Strong),
                Cell::new(Value::Bytes(row.bytes)),
                Cell::new(Value::Bytes(row.free)),
                if row.bytes > 0 { share() } else { Cell::NONE },
                Cell::new(Value::Bytes(row.committed_bytes)),
            ]);
            let unreachable = row.unreachable.map_or(Cell::NONE, |bytes| Cell::new(Value::Bytes(bytes)));
            cells.extend(asked.then_some(unreachable));
            Row::new(cells)
        };
        let totals = self.total.iter().filter(|_| many);
        let rows = self.generations.iter().chain(totals).map(row).collect();
        let sum = |of: fn(&GenerationRow) -> u64| self.total.iter().map(of).fold(0, u64::saturating_add);
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let mut line = vec![
            dim("in all:"),
            Cell::new(Value::Bytes(sum(|row| row.bytes))),
            dim("in segments,"),
            Cell::new(Value::Bytes(sum(|row| row.free))),
            dim("of them free,"),
            Cell::new(Value::Bytes(sum(|row| row.committed_bytes))),
            dim("taken from the system"),
        ];
        if asked {
            line.extend([dim(", unreachable"), Cell::new(Value::Bytes(sum(|row| row.unreachable.unwrap_or(0))))]);
        }
        Section {
            bodies: vec![Body::Table(Table::new(columns, rows)), Body::Lines(vec![Row::new(line)])],
            ..Section::default()
        }
    }
}
