//! Segments and regions, by generation, and where threads are about to allocate.

use rustc_hash::FxHashSet;

use super::variables::{
    ALLOC_ALLOCATED, ALLOCATION_START, EPHEMERAL_SEGMENT, GENERATION_OFFSETS, GENERATION_TABLE, HEAP_ALLOC_ALLOCATED,
    HEAP_EPHEMERAL_SEGMENT, HEAP_GENERATION_TABLE, INVALID_COUNT, START_SEGMENT, Variables,
};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// Most segments.
const MAX_SEGMENTS: usize = 1 << 20;
/// Most bytes of one object's alignment: a segment's first object stands so far behind its start.
const OFFSET_OF_FIRST: u64 = 8;

/// Where objects are.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Segments {
    /// Ascending, none overlaps another.
    pub(in crate::runtimes::coreclr) all: Vec<Segment>,
    /// Where a thread or a generation allocates next, and the end of what it has for that; ascending.
    pub(in crate::runtimes::coreclr) contexts: Vec<(Addr, Addr)>,
    /// Whether the collector was moving objects.
    pub(in crate::runtimes::coreclr) is_moving: Known<bool>,
    /// Heaps that the collector has, one for each processor where it is a server's.
    pub(in crate::runtimes::coreclr) heaps: u64,
    /// Parts of it that could not be read, in words, and why.
    pub(in crate::runtimes::coreclr) unread: Vec<(String, Gap)>,
}

/// A segment or region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Segment {
    /// The first object.
    pub(in crate::runtimes::coreclr) start: Addr,
    /// Behind the last.
    pub(in crate::runtimes::coreclr) end: Addr,
    /// Behind what it has taken from the system.
    pub(in crate::runtimes::coreclr) committed: Addr,
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
    /// Reads them. `threads`: the structures of threads, each of which may have a place where it allocates.
    pub(in crate::runtimes::coreclr) fn read(clr: &Clr, threads: impl Iterator<Item = Addr>) -> Known<Segments> {
        let variables = Variables::of(clr)?;
        let invalid = || Ok::<bool, Gap>(clr.memory().u32(variables.variable(INVALID_COUNT)?)? != 0);
        let heaps = heaps(&variables)?;
        let mut found = Segments {
            all: Vec::new(),
            contexts: Vec::new(),
            is_moving: invalid(),
            heaps: heaps.len() as u64,
            unread: Vec::new(),
        };
        let mut seen = FxHashSet::default();
        // Without regions the first three generations have the same segments.
        let is_shared = variables.offset(GENERATION_OFFSETS, ALLOCATION_START)?.is_some();
        for (number, heap) in (0..).zip(heaps) {
            match heap {
                Ok(heap) => {
                    for generation in 0..5u8 {
                        found.add_generation(&variables, &heap, number, generation, is_shared, &mut seen);
                    }
                }
                Err(gap) => found.unread.push((format!("heap {number}"), gap)),
            }
        }
        found.contexts.extend(threads.filter_map(|thread| context_of_thread(clr, thread).ok()));
        // Behind one that is full there is no object either: room for the smallest is kept behind its end.
        found.contexts.retain(|(next, end)| next.0 != 0 && end >= next);
        found.contexts.sort_unstable();
        found.all.sort_unstable_by_key(|segment| segment.start);
        found.keep_apart();
        Ok(found)
    }

    /// Leaves out segments that lie in others.
    fn keep_apart(&mut self) {
        let mut kept: Vec<Segment> = Vec::with_capacity(self.all.len());
        for segment in std::mem::take(&mut self.all) {
            match kept.last() {
                Some(before) if segment.start < before.end => {
                    let gap = Gap::Corrupt(format!("it lies in another one, which ends at {}", before.end));
                    self.unread.push((format!("the segment from {} to {}", segment.start, segment.end), gap));
                }
                _ => kept.push(segment),
            }
        }
        self.all = kept;
    }

    fn add_generation(
        &mut self,
        variables: &Variables<'_>,
        heap: &Heap,
        number: u64,
        generation: u8,
        is_shared: bool,
        seen: &mut FxHashSet<Addr>,
    ) {
        let kind = match generation {
            3 => Generation::Large,
            4 => Generation::Pinned,
            _ if is_shared => Generation::Ephemeral,
            young => Generation::Of(young),
        };
        if let Err(gap) = self.add_segments(variables, heap, number, (generation, kind), seen) {
            self.unread.push((format!("heap {number}, {}", kind.words()), gap));
        }
    }

    fn add_segments(
        &mut self,
        variables: &Variables<'_>,
        heap: &Heap,
        number: u64,
        (generation, kind): (u8, Generation),
        seen: &mut FxHashSet<Addr>,
    ) -> Known<()> {
        let clr = variables.clr;
        let at = plus(heap.table, variables.generation_size.saturating_mul(generation.into()))?;
        // A generation begins with where it allocates.
        let context = (clr.ptr(at, "GCAllocContext", "Pointer")?, clr.ptr(at, "GCAllocContext", "Limit")?);
        self.contexts.push(context);
        let start = variables.known_offset(GENERATION_OFFSETS, START_SEGMENT)?;
        let mut next = clr.memory().ptr(plus(at, start)?)?;
        while next.0 != 0 && seen.insert(next) {
            if self.all.len() >= MAX_SEGMENTS {
                return Err(Gap::Unsupported(format!("more than {MAX_SEGMENTS} segments")));
            }
            let (segment, following) = segment(clr, next, heap, kind, number)?;
            match segment {
                Ok(segment) => self.all.extend(segment),
                Err(gap) => self.unread.push((format!("the segment that {next} describes"), gap)),
            }
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
fn segment(clr: &Clr, at: Addr, heap: &Heap, kind: Generation, number: u64) -> Known<(Known<Option<Segment>>, Addr)> {
    // Source: dotnet/runtime src/coreclr/gc/gcinterface.dac.h, dac_heap_segment: allocated, committed, reserved, used, mem, flags, next; gcpriv.h,
    // heap_segment_flags_readonly.
    const READ_ONLY: u64 = 1;
    let word = |index: u64| Ok::<Addr, Gap>(clr.memory().ptr(plus(at, index.saturating_mul(8))?)?);
    let (mut end, committed, start, flags, next) = (word(0)?, word(1)?, word(4)?, word(5)?.0, word(6)?);
    if at == heap.ephemeral && heap.allocated.0 != 0 {
        end = heap.allocated;
    }
    let generation = if flags & READ_ONLY != 0 { Generation::Frozen } else { kind };
    if start > end || start.0 < OFFSET_OF_FIRST {
        return Ok((Err(Gap::Corrupt(format!("it ends at {end}, before it begins at {start}"))), next));
    }
    let segment = Segment { start, end, committed: committed.max(end), generation, heap: number };
    Ok((Ok(Some(segment).filter(|segment| segment.start < segment.end)), next))
}

/// The heaps of the collector.
fn heaps(variables: &Variables<'_>) -> Known<Vec<Known<Heap>>> {
    let memory = variables.clr.memory();
    let Some(heaps) = variables.server_heaps()? else {
        return Ok(vec![Ok(Heap {
            table: variables.variable(GENERATION_TABLE)?,
            ephemeral: variables.pointer(EPHEMERAL_SEGMENT)?,
            allocated: variables.pointer(ALLOC_ALLOCATED)?,
        })]);
    };
    let heap = |heap: Known<Addr>| {
        let heap = heap?;
        Ok(Heap {
            table: variables.field(heap, HEAP_GENERATION_TABLE)?,
            ephemeral: memory.ptr(variables.field(heap, HEAP_EPHEMERAL_SEGMENT)?)?,
            allocated: memory.ptr(variables.field(heap, HEAP_ALLOC_ALLOCATED)?)?,
        })
    };
    Ok(heaps.into_iter().map(heap).collect())
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
