//! Segments and regions, by generation, and where threads are about to allocate.

use rustc_hash::FxHashSet;

use super::variables::{
    ALLOC_ALLOCATED, ALLOCATION_START, EPHEMERAL_SEGMENT, GENERATION_OFFSETS, GENERATION_TABLE, HEAP_ALLOC_ALLOCATED,
    HEAP_EPHEMERAL_SEGMENT, HEAP_GENERATION_TABLE, INVALID_COUNT, START_SEGMENT, Variables,
};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::threads::ManagedThreads;

/// Most segments.
const MAX_SEGMENTS: usize = 1 << 20;
/// Most bytes of one object's alignment: a segment's first object stands so far behind its start.
const OFFSET_OF_FIRST: u64 = 8;

/// Where objects are.
#[derive(Clone, Debug, Default)]
pub(in crate::runtimes::coreclr) struct Segments {
    /// Ascending, none overlaps another.
    pub(in crate::runtimes::coreclr) all: Vec<Segment>,
    /// Where a thread or a generation allocates next, and the end of what it has for that; ascending.
    pub(in crate::runtimes::coreclr) contexts: Vec<(Addr, Addr)>,
    /// Whether the collector was moving objects.
    pub(in crate::runtimes::coreclr) is_moving: bool,
    /// Heaps that the collector has, one for each processor where it is a server's.
    pub(in crate::runtimes::coreclr) heaps: u64,
}

/// A segment or region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Segment {
    /// Its `heap_segment`.
    pub(in crate::runtimes::coreclr) address: Addr,
    /// The first object.
    pub(in crate::runtimes::coreclr) start: Addr,
    /// Behind the last.
    pub(in crate::runtimes::coreclr) end: Addr,
    /// Behind what is reserved for it.
    pub(in crate::runtimes::coreclr) reserved: Addr,
    /// Whose it is.
    pub(in crate::runtimes::coreclr) generation: Generation,
    /// The heap that has it, from 0.
    pub(in crate::runtimes::coreclr) heap: u64,
}

/// What is in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::runtimes::coreclr) enum Generation {
    /// Objects that survived so many collections: 0 to 2.
    Of(u8),
    /// Generations 0 to 2 together, where they share segments.
    Ephemeral,
    /// Objects of 85,000 bytes and more.
    Large,
    /// Objects that may not be moved.
    Pinned,
    /// Objects that are never collected: texts of programs.
    Frozen,
}

impl Generation {
    /// In words, as SOS has them.
    pub(in crate::runtimes::coreclr) fn words(self) -> &'static str {
        match self {
            Generation::Of(0) => "gen 0",
            Generation::Of(1) => "gen 1",
            Generation::Of(_) => "gen 2",
            Generation::Ephemeral => "gen 0 to 2",
            Generation::Large => "large",
            Generation::Pinned => "pinned",
            Generation::Frozen => "frozen",
        }
    }
}

/// One heap of the collector: where its generations are, and which segment it allocates in.
struct Heap {
    table: Addr,
    ephemeral: Addr,
    allocated: Addr,
}

impl Segments {
    /// Reads them.
    pub(in crate::runtimes::coreclr) fn read(clr: &Clr, threads: &ManagedThreads) -> Known<Segments> {
        let variables = Variables::of(clr)?;
        let memory = clr.memory();
        let mut found = Segments {
            is_moving: variables.variable(INVALID_COUNT).is_ok_and(|at| memory.u32(at).is_ok_and(|count| count != 0)),
            ..Segments::default()
        };
        let mut seen = FxHashSet::default();
        let heaps = heaps(&variables)?;
        found.heaps = heaps.len() as u64;
        // Without regions the first three generations have the same segments.
        let is_shared = variables.offset(GENERATION_OFFSETS, ALLOCATION_START)?.is_some();
        for (number, heap) in (0..).zip(&heaps) {
            for generation in 0..5u8 {
                found.add_generation(&variables, heap, number, generation, is_shared, &mut seen)?;
            }
        }
        found.contexts.extend(threads.threads.iter().filter_map(|thread| context_of_thread(clr, thread.address).ok()));
        // Behind one that is full there is no object either: room for the smallest is kept behind its end.
        found.contexts.retain(|(next, end)| next.0 != 0 && end >= next);
        found.contexts.sort_unstable();
        found.all.sort_unstable_by_key(|segment| segment.start);
        found.all.dedup_by(|later, first| later.start < first.end);
        Ok(found)
    }

    fn add_generation(
        &mut self,
        variables: &Variables<'_>,
        heap: &Heap,
        number: u64,
        generation: u8,
        is_shared: bool,
        seen: &mut FxHashSet<Addr>,
    ) -> Known<()> {
        let clr = variables.clr;
        let at = plus(heap.table, variables.generation_size.saturating_mul(generation.into()))?;
        // A generation begins with where it allocates.
        let context = (clr.ptr(at, "GCAllocContext", "Pointer")?, clr.ptr(at, "GCAllocContext", "Limit")?);
        self.contexts.push(context);
        let kind = match generation {
            3 => Generation::Large,
            4 => Generation::Pinned,
            _ if is_shared => Generation::Ephemeral,
            young => Generation::Of(young),
        };
        let start = variables.known_offset(GENERATION_OFFSETS, START_SEGMENT)?;
        let mut next = clr.memory().ptr(plus(at, start)?)?;
        while next.0 != 0 && seen.insert(next) && self.all.len() < MAX_SEGMENTS {
            let (segment, following) = segment(clr, next, heap, kind, number)?;
            self.all.extend(segment);
            next = following;
        }
        Ok(())
    }

    /// Bytes of all objects.
    pub(in crate::runtimes::coreclr) fn bytes(&self) -> u64 {
        self.all.iter().filter_map(|segment| segment.end.since(segment.start)).fold(0, u64::saturating_add)
    }

    /// Bytes of objects that the dump does not hold; `None` where it holds all.
    pub(in crate::runtimes::coreclr) fn left_out(&self, clr: &Clr) -> Option<u64> {
        let left_out = |segment: &Segment| {
            let all = segment.end.since(segment.start).unwrap_or(0);
            all.saturating_sub(clr.memory().bytes_within(segment.start, segment.end))
        };
        Some(self.all.iter().map(left_out).sum()).filter(|bytes| *bytes > 0)
    }

    /// The segment that holds an address.
    pub(in crate::runtimes::coreclr) fn holding(&self, at: Addr) -> Option<&Segment> {
        let after = self.all.partition_point(|segment| segment.start <= at);
        self.all.get(after.checked_sub(1)?).filter(|segment| at < segment.end)
    }
}

/// A segment, `None` where it holds nothing, and the next one.
fn segment(clr: &Clr, at: Addr, heap: &Heap, kind: Generation, number: u64) -> Known<(Option<Segment>, Addr)> {
    // Source: dotnet/runtime src/coreclr/gc/gcinterface.dac.h, dac_heap_segment: allocated, committed, reserved, used, mem, flags, next; gcpriv.h,
    // heap_segment_flags_readonly.
    const READ_ONLY: u64 = 1;
    let word = |index: u64| Ok::<Addr, Gap>(clr.memory().ptr(plus(at, index.saturating_mul(8))?)?);
    let (mut end, reserved, start, flags, next) = (word(0)?, word(2)?, word(4)?, word(5)?.0, word(6)?);
    if at == heap.ephemeral && heap.allocated.0 != 0 {
        end = heap.allocated;
    }
    let generation = if flags & READ_ONLY != 0 { Generation::Frozen } else { kind };
    if start > end || start.0 < OFFSET_OF_FIRST {
        return Err(Gap::Corrupt(format!("the heap's segment at {at} ends before it begins")));
    }
    let segment = Segment { address: at, start, end, reserved, generation, heap: number };
    Ok((Some(segment).filter(|segment| segment.start < segment.end), next))
}

/// The heaps of the collector.
fn heaps(variables: &Variables<'_>) -> Known<Vec<Heap>> {
    let memory = variables.clr.memory();
    let Some(heaps) = variables.server_heaps()? else {
        return Ok(vec![Heap {
            table: variables.variable(GENERATION_TABLE)?,
            ephemeral: variables.pointer(EPHEMERAL_SEGMENT)?,
            allocated: variables.pointer(ALLOC_ALLOCATED)?,
        }]);
    };
    let heap = |heap: Addr| {
        Ok(Heap {
            table: variables.field(heap, HEAP_GENERATION_TABLE)?,
            ephemeral: memory.ptr(variables.field(heap, HEAP_EPHEMERAL_SEGMENT)?)?,
            allocated: memory.ptr(variables.field(heap, HEAP_ALLOC_ALLOCATED)?)?,
        })
    };
    heaps.into_iter().map(heap).collect()
}

/// Where a thread allocates next, and the end of what it has for that.
fn context_of_thread(clr: &Clr, thread: Addr) -> Known<(Addr, Addr)> {
    let context = match clr.at(thread, "Thread", "AllocContext") {
        Ok(context) => context,
        Err(_) => {
            let locals = clr.ptr(thread, "Thread", "RuntimeThreadLocals")?;
            let context = clr.at(locals, "RuntimeThreadLocals", "AllocContext")?;
            // One more shell since .NET 10.
            clr.at(context, "EEAllocContext", "GCAllocationContext").unwrap_or(context)
        }
    };
    Ok((clr.ptr(context, "GCAllocContext", "Pointer")?, clr.ptr(context, "GCAllocContext", "Limit")?))
}
