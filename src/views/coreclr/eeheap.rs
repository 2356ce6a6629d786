//! `eeheap`: the segments of .NET's heap.

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Partial, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::Segment;
use crate::shape;
use crate::views::{Answered, Answers, Arg, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "eeheap",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Flag("gc", "only what the collector has"),
        Arg::Flag("loader", "only what the loader and the compiler have, block by block"),
        Arg::Value("heap", Kind::Count, "only segments of one heap of the collector, from 0"),
        Arg::Value("segment", Kind::Address, "only this segment, or the one that holds the address"),
    ],
    pane: None,
    doc: "Segments (since .NET 7 regions) of .NET's heap by generation: where objects begin and end, what is taken from the system; heaps of \
          its loaders and of compiled code",
    help: "Segments without objects are listed, too. A collector without regions has generations 0 to 2 in one segment: each has its part. \
           'gcheapstat' sums up generations, 'dumpheap -gen G' lists their objects. A loader keeps classes, stubs and the like; all that cannot be \
           unloaded has one, and each context that can be unloaded another. Its heaps' blocks are told as they were reserved, and how much of that \
           the dump holds.

$ dumpscope shop.core -c eeheap
Generation         Segment           Begin       Allocated  Bytes  Committed
gen 0       0x7f467b57f6d0  0x7f46fe800028  0x7f46fe863118   396K       516K
gen 1       0x7f467b57f580  0x7f46fe000028  0x7f46fe000028      0       196K
gen 2       0x7f467b57fcb8  0x7f4700c00028  0x7f4700c2db00   183K       196K
…
in all: 956 kB in segments, 1.4 MB taken from the system
Loaders and compiled code
        Loader  Heap               Blocks  Reserved  In dump
0x55953ed94e00  low frequency           2       76K      16K
0x55953ed94e00  fixup precodes          1       64K      32K
0x7f8793313ea0  high frequency         42      2.6M     2.5M
0x7f8793313ea0  low frequency          21      1.8M     1.7M
…
                compiled code           3      616K     164K
in all: 5.8 MB reserved, 5.0 MB in the dump",
    build,
    schema: shape!(EeHeap),
};

/// The segments of the heap.
#[derive(Serialize, JsonSchema)]
pub struct EeHeap {
    /// `workstation`, or `server` with several heaps; null where that cannot be read.
    pub collector: Option<&'static str>,
    /// How many heaps the collector has; 0 where only loaders were asked for.
    pub heaps: u64,
    /// Its segments, heap by heap, the youngest generation first.
    pub segments: Vec<SegmentRow>,
    /// Bytes of all of them from their first object to the end of the last.
    pub bytes: u64,
    /// Bytes that all of them have taken from the system.
    pub committed_bytes: u64,
    /// What loaders and the compiler have; null where only the collector was asked for.
    pub loader: Option<Loader>,
}

/// The heaps of loaders, and those of code that was compiled while the process ran.
#[derive(Serialize, JsonSchema)]
pub struct Loader {
    /// Each heap of each loader, then those of code together.
    pub heaps: Vec<LoaderRow>,
    /// Every block, ascending by address; empty where not asked for with `-loader`.
    pub blocks: Vec<BlockRow>,
    /// Bytes of all blocks, as they were reserved.
    pub bytes: u64,
    /// Bytes of them in the dump.
    pub dumped: u64,
}

/// A heap of a loader.
#[derive(Serialize, JsonSchema)]
pub struct LoaderRow {
    /// The loader allocator that has it; null for compiled code.
    pub allocator: Option<Addr>,
    /// Which of its heaps: `low frequency`, `high frequency`, `statics`, `stubs` …; `compiled code`.
    pub heap: &'static str,
    /// Its blocks.
    pub blocks: u64,
    /// Bytes that were reserved for them.
    pub bytes: u64,
    /// Bytes of them in the dump.
    pub dumped: u64,
}

/// A block of such a heap.
#[derive(Serialize, JsonSchema)]
pub struct BlockRow {
    /// The loader allocator that has it; null for compiled code.
    pub allocator: Option<Addr>,
    /// Which of its heaps.
    pub heap: &'static str,
    /// Its first address.
    pub begin: Addr,
    /// Bytes that were reserved for it.
    pub bytes: u64,
    /// Bytes of it in the dump.
    pub dumped: u64,
}

/// A segment or region; of one that generations share, the part of one of them.
#[derive(Serialize, JsonSchema)]
pub struct SegmentRow {
    /// The heap that has it, from 0.
    pub heap: u64,
    /// `gen 0`, `gen 1`, `gen 2`, `large`, `pinned`, `frozen`; `gen 0 to 2` where they share it and cannot be told apart.
    pub generation: &'static str,
    /// Where the collector describes it.
    pub segment: Addr,
    /// The first object.
    pub begin: Addr,
    /// Behind the last.
    pub allocated: Addr,
    /// Behind what is taken from the system.
    pub committed: Addr,
    /// Behind the addresses that are kept for it.
    pub reserved: Addr,
    /// Bytes from the first object to the end of the last.
    pub bytes: u64,
    /// Bytes that it has taken from the system.
    pub committed_bytes: u64,
}

impl SegmentRow {
    pub(super) fn of(segment: &Segment) -> SegmentRow {
        SegmentRow {
            heap: segment.heap,
            generation: segment.generation.words(),
            segment: segment.at,
            begin: segment.start,
            allocated: segment.end,
            committed: segment.committed,
            reserved: segment.reserved,
            bytes: segment.bytes(),
            committed_bytes: segment.committed_bytes(),
        }
    }
}

/// What heaps of compiled code are told as.
const CODE: &str = "compiled code";

/// What loaders and the compiler have; `whole`: with every block.
fn loader(session: &Session, whole: bool, job: &Job) -> Result<Partial<Loader>, Error> {
    let (loaders, code) = with(session, job, |runtime| Ok((runtime.loader_blocks(job)?, runtime.code_heaps(job)?)))?;
    let memory = &session.process()?.target.memory;
    let row = |allocator: Option<Addr>, heap, range: std::ops::Range<Addr>| BlockRow {
        allocator,
        heap,
        begin: range.start,
        bytes: range.end.since(range.start).unwrap_or(0),
        dumped: memory.bytes_within(range.start, range.end),
    };
    let of_loaders = loaders.value.into_iter().map(|block| row(Some(block.allocator), block.heap, block.range));
    let mut blocks: Vec<BlockRow> =
        of_loaders.chain(code.value.into_iter().map(|range| row(None, CODE, range))).collect();
    let mut heaps: Vec<LoaderRow> = Vec::new();
    let mut places: FxHashMap<(Option<Addr>, &str), usize> = FxHashMap::default();
    for block in &blocks {
        let place = *places.entry((block.allocator, block.heap)).or_insert_with(|| {
            let (allocator, heap) = (block.allocator, block.heap);
            heaps.push(LoaderRow { allocator, heap, blocks: 0, bytes: 0, dumped: 0 });
            heaps.len().saturating_sub(1)
        });
        let Some(row) = heaps.get_mut(place) else { continue };
        row.blocks = row.blocks.saturating_add(1);
        row.bytes = row.bytes.saturating_add(block.bytes);
        row.dumped = row.dumped.saturating_add(block.dumped);
    }
    heaps.sort_by_key(|row| (row.allocator.is_none(), row.allocator, std::cmp::Reverse(row.bytes)));
    let sum = |of: fn(&LoaderRow) -> u64| heaps.iter().map(of).fold(0, u64::saturating_add);
    let (bytes, dumped) = (sum(|row| row.bytes), sum(|row| row.dumped));
    if whole {
        blocks.sort_by_key(|block| block.begin);
    } else {
        blocks.clear();
    }
    let problems = loaders.problems.into_iter().chain(code.problems).collect();
    Ok(Partial { value: Loader { heaps, blocks, bytes, dumped }, problems })
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    if query.flag("loader") {
        return of_loader(session, query, job);
    }
    let (Partial { value: (heaps, all), problems }, is_server) =
        with(session, job, |runtime| Ok((runtime.heap_segments(job)?, runtime.clr().is_server().ok())))?;
    let (heap, at) = (query.number("heap"), query.address("segment"));
    if let Some(heap) = heap.filter(|heap| *heap >= heaps) {
        return Err(Error::Failed(format!("there is no heap {heap}: the collector has {heaps}, counted from 0")));
    }
    let is_wanted = |segment: &&Segment| {
        heap.is_none_or(|heap| segment.heap == heap)
            && at.is_none_or(|at| segment.at == at || (segment.base <= at && at < segment.reserved))
    };
    let segments: Vec<SegmentRow> = all.iter().filter(is_wanted).map(SegmentRow::of).collect();
    if let Some(at) = at.filter(|_| segments.is_empty()) {
        return Err(Error::Failed(format!("no segment is at {at}; 'eeheap' lists them")));
    }
    let sum = |of: fn(&SegmentRow) -> u64| segments.iter().map(of).fold(0, u64::saturating_add);
    let only_collector = query.flag("gc") || heap.is_some() || at.is_some();
    let (loader, of_loader) = match only_collector {
        true => (None, Vec::new()),
        false => {
            let Partial { value, problems } = loader(session, false, job)?;
            (Some(value), problems)
        }
    };
    let problems = problems.into_iter().chain(of_loader).collect();
    let data = EeHeap {
        loader,
        collector: is_server.map(name_of),
        heaps,
        bytes: sum(|segment| segment.bytes),
        committed_bytes: sum(|segment| segment.committed_bytes),
        segments,
    };
    Ok(Box::new(Answered { data, problems }))
}

/// What loaders have alone: no segment is looked at.
fn of_loader(session: &Session, query: &Query, job: &Job) -> Answers {
    if query.flag("gc") || query.number("heap").is_some() || query.address("segment").is_some() {
        return Err(Error::Failed("-loader is of loaders, the other flags of the collector: one at a time".to_owned()));
    }
    let Partial { value, problems } = loader(session, true, job)?;
    let collector = with(session, job, |runtime| Ok(runtime.clr().is_server().ok()))?;
    let data = EeHeap {
        collector: collector.map(name_of),
        heaps: 0,
        segments: Vec::new(),
        bytes: 0,
        committed_bytes: 0,
        loader: Some(value),
    };
    Ok(Box::new(Answered { data, problems }))
}

fn name_of(is_server: bool) -> &'static str {
    if is_server { "server" } else { "workstation" }
}

impl Loader {
    fn bodies(&self) -> Vec<Body> {
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let bytes = |bytes| Cell::new(Value::Bytes(bytes));
        let of = |allocator: Option<Addr>| allocator.map_or(Cell::NONE, |at| Cell::new(Value::Addr(at)));
        let columns = |second| {
            let columns = [Column::right("Loader").rank(4), Column::left("Heap"), Column::right(second)];
            columns.into_iter().chain(["Reserved", "In dump"].map(Column::right)).collect()
        };
        let heap = |row: &LoaderRow| {
            let name = Cell::text(row.heap).tone(Tone::Strong);
            Row::new(vec![
                of(row.allocator),
                name,
                Cell::new(Value::Count(row.blocks)),
                bytes(row.bytes),
                bytes(row.dumped),
            ])
        };
        let block = |row: &BlockRow| {
            let cells = vec![
                of(row.allocator),
                Cell::text(row.heap).tone(Tone::Strong),
                Cell::new(Value::Addr(row.begin)),
                bytes(row.bytes),
                bytes(row.dumped),
            ];
            Row::about(Subject::Memory(row.begin), cells)
        };
        let total = vec![dim("in all:"), bytes(self.bytes), dim("reserved,"), bytes(self.dumped), dim("in the dump")];
        let mut bodies = vec![
            Body::Heading("Loaders and compiled code".to_owned()),
            Body::Table(Table::new(columns("Blocks"), self.heaps.iter().map(heap).collect())),
            Body::Lines(vec![Row::new(total)]),
        ];
        if !self.blocks.is_empty() {
            bodies.push(Body::Heading("Blocks".to_owned()));
            bodies.push(Body::Table(Table::new(columns("Begin"), self.blocks.iter().map(block).collect())));
        }
        bodies
    }
}

impl Draw for EeHeap {
    fn draw(&self) -> Section {
        let loader = self.loader.iter().flat_map(Loader::bodies);
        if self.heaps == 0 {
            return Section { bodies: loader.collect(), ..Section::default() };
        }
        let many = self.heaps > 1;
        let mut columns: Vec<Column> = many.then(|| Column::right("Heap")).into_iter().collect();
        columns.extend([
            Column::left("Generation"),
            Column::right("Segment").rank(4),
            Column::right("Begin"),
            Column::right("Allocated").rank(3),
            Column::right("Bytes"),
            Column::right("Committed"),
        ]);
        let row = |segment: &SegmentRow| {
            let mut cells: Vec<Cell> = many.then(|| Cell::new(Value::Count(segment.heap))).into_iter().collect();
            cells.extend([
                Cell::text(segment.generation).tone(Tone::Strong),
                Cell::new(Value::Addr(segment.segment)).tone(Tone::Dim),
                Cell::new(Value::Addr(segment.begin)),
                Cell::new(Value::Addr(segment.allocated)),
                Cell::new(Value::Bytes(segment.bytes)),
                Cell::new(Value::Bytes(segment.committed_bytes)),
            ]);
            Row::about(Subject::Memory(segment.begin), cells)
        };
        let dim = |text: &str| Cell::text(text).tone(Tone::Dim);
        let total = vec![
            dim("in all:"),
            Cell::new(Value::Bytes(self.bytes)),
            dim("in segments,"),
            Cell::new(Value::Bytes(self.committed_bytes)),
            dim("taken from the system"),
        ];
        let table = Table::new(columns, self.segments.iter().map(row).collect());
        let segments = [Body::Table(table), Body::Lines(vec![Row::new(total)])];
        Section { bodies: segments.into_iter().chain(loader).collect(), ..Section::default() }
    }
}
