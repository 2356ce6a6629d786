//! `eeheap`: the segments of .NET's heap.

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
        Arg::Implied("gc", "what the collector has is what is told"),
        Arg::Value("heap", Kind::Count, "only segments of one heap of the collector, from 0"),
        Arg::Value("segment", Kind::Address, "only this segment, or the one that holds the address"),
        Arg::Refused(
            "loader",
            "what .NET's loader has allocated is described nowhere in the dump; 'maddress' lists every mapping",
        ),
    ],
    pane: None,
    doc: "Segments (since .NET 7 regions) of .NET's heap by generation: where objects begin and end, what is taken from the system",
    help: "Segments without objects are listed, too. A collector without regions has generations 0 to 2 in one segment: each has its part. \
           'gcheapstat' sums up generations, 'dumpheap -gen G' lists their objects.

$ dumpscope shop.core -c eeheap
Generation         Segment           Begin       Allocated  Bytes  Committed
gen 0       0x7f467b57f6d0  0x7f46fe800028  0x7f46fe863118   396K       516K
gen 1       0x7f467b57f580  0x7f46fe000028  0x7f46fe000028      0       196K
gen 2       0x7f467b57fcb8  0x7f4700c00028  0x7f4700c2db00   183K       196K
…
in all: 956 kB in segments, 1.4 MB taken from the system",
    build,
    schema: shape!(EeHeap),
};

/// The segments of the heap.
#[derive(Serialize, JsonSchema)]
pub struct EeHeap {
    /// `workstation`, or `server` with several heaps; null where that cannot be read.
    pub collector: Option<&'static str>,
    /// How many heaps the collector has.
    pub heaps: u64,
    /// Its segments, heap by heap, the youngest generation first.
    pub segments: Vec<SegmentRow>,
    /// Bytes of all of them from their first object to the end of the last.
    pub bytes: u64,
    /// Bytes that all of them have taken from the system.
    pub committed_bytes: u64,
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

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
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
    let data = EeHeap {
        collector: is_server.map(|is_server| if is_server { "server" } else { "workstation" }),
        heaps,
        bytes: sum(|segment| segment.bytes),
        committed_bytes: sum(|segment| segment.committed_bytes),
        segments,
    };
    Ok(Box::new(Answered { data, problems }))
}

impl Draw for EeHeap {
    fn draw(&self) -> Section {
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
        Section { bodies: vec![Body::Table(table), Body::Lines(vec![Row::new(total)])], ..Section::default() }
    }
}
