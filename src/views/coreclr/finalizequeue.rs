//! `finalizequeue`: objects of .NET with finalizers, by generation, and those that wait for theirs to run.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::Serialize;

use super::by_type::{self, TypeCount, by_type, type_cell};
use super::listnearobj::NearRow;
use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Known, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::report::words::thousands;
use crate::session::Session;
use crate::session::coreclr::{FinalizeQueue, NearObject};
use crate::shape;
use crate::views::{Alias, Answered, Answers, Arg, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "finalizequeue",
    aliases: &[Alias::of("fq")],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Flag("stat", "only how many there are of each type"),
        Arg::Flag("summary", "the same as -stat"),
        Arg::Flag("allReady", "only those whose finalizers wait to run, and those that nothing reaches: theirs will wait after a collection"),
        Arg::Value("mt", Kind::Address, "only the type of this id, a method table"),
        Arg::Flag("short", "only their addresses"),
        Arg::Value("n", Kind::Count, "so many at most; 1,000 where it is not given"),
        Arg::Refused("detail", "which SyncBlocks wait to be given back is not read; COM exists on Windows alone"),
        Arg::Apart("short", &["stat", "summary"]),
    ],
    pane: None,
    doc: "Objects of .NET with finalizers, by generation, and those that are ready: nothing else refers to them, and their finalizers wait to run",
    help: "An object whose finalizer runs at the moment is in no list any more: 'stack' of the finalizer's thread shows it.

$ dumpscope shop.core -c 'finalizequeue -stat'
Heap  gen 0  gen 1  gen 2  large  pinned  Ready
   0     19      0    117      0       0      7
Objects  Bytes  Type                                                          Id
     34   2.4K  System.Threading.Thread                                       0x7f8714bcfbe8
     22   1.4K  System.Diagnostics.Tracing.EventSource+OverrideEventProvider  0x7f8714c7b358
…
in all: 143 objects, 10 kB",
    build,
    schema: shape!(Finalizers),
};

/// Most that are told where no number is asked for.
const TOLD: usize = 1000;

/// Objects with finalizers.
#[derive(Serialize, JsonSchema)]
pub struct Finalizers {
    /// Of each heap of the collector how many it has.
    pub heaps: Vec<QueueRow>,
    /// Those that were asked for: ready ones first, the youngest generation next; empty with `-stat`.
    pub objects: Vec<FinalizableRow>,
    /// The same by type, those with the most bytes first.
    pub types: Vec<TypeCount>,
    /// How many there are of those that were asked for.
    pub count: usize,
    /// What they take themselves, in bytes.
    pub bytes: u64,
    #[serde(skip)]
    drawn: Drawn,
}

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drawn {
    All,
    Types,
    Addresses,
}

/// How many a heap has.
#[derive(Serialize, JsonSchema)]
pub struct QueueRow {
    /// The heap, from 0.
    pub heap: u64,
    /// Of generations 0, 1, 2, of large and of pinned objects.
    pub generations: [usize; 5],
    /// Those that are ready: their finalizers wait to run.
    pub ready: usize,
    /// Those of them whose finalizers run last, since others may need them: critical ones.
    pub critical: usize,
}

/// An object with a finalizer.
#[derive(Serialize, JsonSchema)]
pub struct FinalizableRow {
    /// The object.
    #[serde(flatten)]
    pub object: NearRow,
    /// `ready`; else the generation in whose list it is: `gen 0`, `gen 1`, `gen 2`, `large`, `pinned`.
    pub state: &'static str,
    /// Whether something reaches it; null where that was not asked for.
    pub reached: Option<bool>,
}

const GENERATIONS: [&str; 5] = ["gen 0", "gen 1", "gen 2", "large", "pinned"];
const READY: &str = "ready";

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let queues = with(session, job, |runtime| {
        runtime.finalize_queues().map_err(|gap| Error::Failed(format!("the collector's list of finalizers: {gap}")))
    })?;
    let mut wanted: Vec<(Addr, &'static str)> = Vec::new();
    for queue in &queues {
        wanted.extend(queue.critical.iter().chain(&queue.others).map(|object| (*object, READY)));
    }
    for (index, word) in GENERATIONS.iter().enumerate() {
        let of = |queue: &FinalizeQueue| queue.generations.get(index).cloned().unwrap_or_default();
        wanted.extend(queues.iter().flat_map(of).map(|object| (object, *word)));
    }
    let mut problems = Vec::new();
    let mut reached = None;
    if query.flag("allReady") {
        let heap = session.heap(job)?;
        let (objects, reachable) = (heap.objects(job)?, heap.reachable(job)?);
        problems = heap.doubts();
        let is_reached = |at: Addr| objects.at(at).is_none_or(|id| reachable.set.has(id));
        let kept: FxHashSet<Addr> = wanted.iter().map(|(at, _)| *at).filter(|at| is_reached(*at)).collect();
        wanted.retain(|(at, state)| *state == READY || !kept.contains(at));
        reached = Some(kept);
    }
    let addresses: Vec<Addr> = wanted.iter().map(|(at, _)| *at).collect();
    let told = with(session, job, |runtime| runtime.objects_at(&addresses, job))?;
    let gaps: BTreeSet<String> =
        told.iter().filter_map(|object| object.as_ref().err().map(ToString::to_string)).collect();
    if let Some(first) = gaps.first() {
        let count = told.iter().filter(|object| object.is_err()).count();
        let message = format!("{count} objects with finalizers cannot be read: {first}");
        problems.push(Problem::new("objects-unread", Subject::Capture, message));
    }
    let table = query.address("mt");
    let known = |(object, (_, state)): (Known<NearObject>, (Addr, &'static str))| Some((object.ok()?, state));
    let objects: Vec<(NearObject, &'static str)> = told
        .into_iter()
        .zip(wanted)
        .filter_map(known)
        .filter(|(object, _)| table.is_none_or(|table| object.table == table))
        .collect();
    let stat = query.flag("stat") || query.flag("summary");
    let most = query.number("n").map_or(TOLD, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let row = |(object, state): &(NearObject, &'static str)| FinalizableRow {
        object: NearRow::of(object),
        state,
        reached: reached.as_ref().map(|reached| reached.contains(&object.address)),
    };
    let drawn = match () {
        () if stat => Drawn::Types,
        () if query.flag("short") => Drawn::Addresses,
        () => Drawn::All,
    };
    let data = Finalizers {
        heaps: queues.iter().map(QueueRow::of).collect(),
        objects: objects.iter().take(if stat { 0 } else { most }).map(row).collect(),
        types: by_type(objects.iter().map(|(object, _)| object)),
        count: objects.len(),
        bytes: objects.iter().map(|(object, _)| object.bytes).fold(0, u64::saturating_add),
        drawn,
    };
    Ok(Box::new(Answered { data, problems }))
}

impl QueueRow {
    fn of(queue: &FinalizeQueue) -> QueueRow {
        QueueRow {
            heap: queue.heap,
            generations: queue.generations.each_ref().map(Vec::len),
            ready: queue.critical.len().saturating_add(queue.others.len()),
            critical: queue.critical.len(),
        }
    }

    fn row(&self) -> Row {
        let count = |count: usize| Cell::new(Value::Count(count as u64));
        let mut cells = vec![Cell::new(Value::Count(self.heap))];
        cells.extend(self.generations.map(count));
        cells.push(count(self.ready).tone(if self.ready > 0 { Tone::Strong } else { Tone::Plain }));
        Row::new(cells)
    }
}

impl Finalizers {
    fn objects(&self) -> Body {
        let columns = vec![
            Column::right("Address"),
            Column::left("State"),
            Column::right("Bytes").rank(3),
            Column::wide("Type", 1).rank(1),
        ];
        let row = |row: &FinalizableRow| {
            let state = if row.reached == Some(false) && row.state != READY { "unreachable" } else { row.state };
            let cells = vec![
                Cell::new(Value::Object(row.object.address)).tone(Tone::Link),
                Cell::text(state),
                Cell::new(Value::Bytes(row.object.bytes)),
                type_cell(row.object.type_name.as_ref()),
            ];
            Row::about(Subject::Object(row.object.address), cells)
        };
        Body::Table(Table::new(columns, self.objects.iter().map(row).collect()))
    }
}

impl Draw for Finalizers {
    fn draw(&self) -> Section {
        if self.drawn == Drawn::Addresses {
            let row = |row: &FinalizableRow| {
                Row::about(Subject::Object(row.object.address), vec![Cell::new(Value::Object(row.object.address))])
            };
            return Section { bodies: vec![Body::Lines(self.objects.iter().map(row).collect())], ..Section::default() };
        }
        let mut columns = vec![Column::right("Heap")];
        columns.extend(GENERATIONS.map(Column::right));
        columns.push(Column::right("Ready"));
        let queues = Table::new(columns, self.heaps.iter().map(QueueRow::row).collect());
        let mut bodies = vec![Body::Table(queues)];
        if !self.objects.is_empty() {
            bodies.push(self.objects());
        }
        let left = self.count.saturating_sub(self.objects.len());
        if left > 0 && self.drawn == Drawn::All {
            let text = format!("… and {} more; -n N lists more of them", thousands(left as u64));
            bodies.push(Body::Lines(vec![Row::new(vec![Cell::text(text).tone(Tone::Dim)])]));
        }
        if !self.types.is_empty() {
            bodies.push(by_type::table(&self.types));
        }
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let objects = if self.count == 1 { "object," } else { "objects," };
        let total = vec![
            dim("in all:"),
            Cell::new(Value::Count(self.count as u64)),
            dim(objects),
            Cell::new(Value::Bytes(self.bytes)),
        ];
        bodies.push(Body::Lines(vec![Row::new(total)]));
        Section { bodies, ..Section::default() }
    }
}
