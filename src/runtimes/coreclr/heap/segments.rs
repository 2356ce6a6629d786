//! Segments and regions, by generation, and where threads are about to allocate.

use rustc_hash::FxHashSet;

use super::segment::{Generation, Segment};
use super::variables::{
    ALLOC_ALLOCATED, ALLOCATION_START, EPHEMERAL_SEGMENT, GENERATION_OFFSETS, GENERATION_TABLE, HEAP_ALLOC_ALLOCATED,
    HEAP_EPHEMERAL_SEGMENT, HEAP_GENERATION_TABLE, INVALID_COUNT, START_SEGMENT, Variables,
};
use crate::model::{Addr, Gap, Known, Problem, Subject};
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
    /// Those that hold no object; in no order.
    pub(in crate::runtimes::coreclr) empty: Vec<Segment>,
    /// Where a thread or a generation allocates next, and the end of what it has for that; ascending.
    pub(in crate::runtimes::coreclr) contexts: Vec<(Addr, Addr)>,
    /// Whether the collector was moving objects.
    pub(in crate::runtimes::coreclr) is_moving: Known<bool>,
    /// Heaps that the collector has, one for each processor where it is a server's.
    pub(in crate::runtimes::coreclr) heaps: u64,
    /// Parts of it that could not be read, in words, and why.
    pub(in crate::runtimes::coreclr) unread: Vec<(String, Gap)>,
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
            empty: Vec::new(),
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
            if self.all.len().saturating_add(self.empty.len()) >= MAX_SEGMENTS {
                return Err(Gap::Unsupported(format!("more than {MAX_SEGMENTS} segments")));
            }
            let (segment, following) = segment(clr, next, heap, kind, number)?;
            match segment {
                Ok(segment) if segment.generation == Generation::Ephemeral => {
                    self.add_shared(variables, heap, segment);
                }
                Ok(segment) => self.add(segment),
                Err(gap) => self.unread.push((format!("the segment that {next} describes"), gap)),
            }
            next = following;
        }
        Ok(())
    }

    fn add(&mut self, segment: Segment) {
        let list = if segment.start < segment.end { &mut self.all } else { &mut self.empty };
        list.push(segment);
    }

    /// Adds a segment of a collector without regions: each of its generations 0 to 2 has a part of the one in which objects are made, the
    /// others are of generation 2.
    fn add_shared(&mut self, variables: &Variables<'_>, heap: &Heap, segment: Segment) {
        if segment.at != heap.ephemeral {
            return self.add(Segment { generation: Generation::Of(2), ..segment });
        }
        match parts(variables, heap, segment) {
            Ok(parts) => parts.into_iter().filter(|part| part.start < part.committed).for_each(|part| self.add(part)),
            Err(_) => self.add(segment),
        }
    }

    /// What of it could not be read, or may not be as it was.
    pub(in crate::runtimes::coreclr) fn problems(&self) -> Vec<Problem> {
        let unread = self.unread.iter().map(|(what, gap)| {
            let message = format!("a part of the managed heap is left out, {what}: {gap}");
            Problem::new("heap-incomplete", Subject::Capture, message)
        });
        let moving = match &self.is_moving {
            Ok(false) => None,
            Ok(true) => Some(
                "the dump was taken while the collector moved objects: the managed heap is not as it was".to_owned(),
            ),
            Err(gap) => Some(format!("whether the collector moved objects at the time cannot be told: {gap}")),
        };
        unread.chain(moving.map(|message| Problem::new("heap-moving", Subject::Capture, message))).collect()
    }

    /// All of them, those without objects too, heap by heap, the youngest first.
    pub(in crate::runtimes::coreclr) fn listed(&self) -> Vec<Segment> {
        let mut all: Vec<Segment> = self.all.iter().chain(&self.empty).copied().collect();
        all.sort_by_key(|segment| (segment.heap, segment.generation, segment.start));
        all
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

/// A segment, and the next one.
fn segment(clr: &Clr, at: Addr, heap: &Heap, kind: Generation, number: u64) -> Known<(Known<Segment>, Addr)> {
    // Source: dotnet/runtime src/coreclr/gc/gcinterface.dac.h, dac_heap_segment: allocated, committed, reserved, used, mem, flags, next; gcpriv.h,
    // heap_segment_flags_readonly.
    const READ_ONLY: u64 = 1;
    const PAGE: u64 = 4096;
    let word = |index: u64| Ok::<Addr, Gap>(clr.memory().ptr(plus(at, index.saturating_mul(8))?)?);
    let (mut end, committed, reserved) = (word(0)?, word(1)?, word(2)?);
    let (start, flags, next) = (word(4)?, word(5)?.0, word(6)?);
    if at == heap.ephemeral && heap.allocated.0 != 0 {
        end = heap.allocated;
    }
    let generation = if flags & READ_ONLY != 0 { Generation::Frozen } else { kind };
    if start > end || start.0 < OFFSET_OF_FIRST {
        return Ok((Err(Gap::Corrupt(format!("it ends at {end}, before it begins at {start}"))), next));
    }
    let committed = committed.max(end);
    let reserved = reserved.max(committed);
    // What stands before the first object is less than a page. Source: measured, 0x28 bytes of a region and 8 of frozen objects.
    let base = Addr(start.0 & !(PAGE - 1));
    Ok((Ok(Segment { at, base, start, end, committed, reserved, generation, heap: number }), next))
}

/// The parts that generations 2, 1 and 0 have of the segment in which objects are made.
fn parts(variables: &Variables<'_>, heap: &Heap, segment: Segment) -> Known<[Segment; 3]> {
    let offset = variables.known_offset(GENERATION_OFFSETS, ALLOCATION_START)?;
    let start = |generation: u64| {
        let generation = plus(heap.table, variables.generation_size.saturating_mul(generation))?;
        Ok::<Addr, Gap>(variables.memory().ptr(plus(generation, offset)?)?)
    };
    let (one, zero) = (start(1)?, start(0)?);
    if segment.start > one || one > zero || zero > segment.end {
        return Err(Gap::Corrupt(format!("generation 1 begins at {one}, generation 0 at {zero}")));
    }
    let older = |number, start, end| {
        let generation = Generation::Of(number);
        Segment { base: start, start, end, committed: end, reserved: end, generation, ..segment }
    };
    let oldest = Segment { base: segment.base, ..older(2, segment.start, one) };
    let youngest = Segment { base: zero, start: zero, generation: Generation::Of(0), ..segment };
    Ok([oldest, older(1, one, zero), youngest])
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

#[cfg(test)]
mod tests {
    use super::super::variables::HEAP_COUNT;
    use super::*;
    use crate::capture::Memory;

    /// A workstation's heap of regions at 0x1000: of each generation the description of its first segment.
    fn segments(of: [u64; 5], words: &[(u64, u64)]) -> Known<Segments> {
        const GENERATION: u64 = 0x80;
        let variable = |index: u64, to: u64| (0x1100 + 24 + index * 8, to);
        // Source: the layout of GcDacVars, then dacvars.def: the table of generations at 0x2000, the offsets of their fields at 0x1300: -1 where they have none.
        let mut all = vec![
            (0x1000, 0x1100),
            (0x1008, 1),
            (0x1100, 5),
            (0x1108, GENERATION),
            variable(GENERATION_TABLE, 0x2000),
            variable(EPHEMERAL_SEGMENT, 0x1010),
            variable(ALLOC_ALLOCATED, 0x1010),
            variable(HEAP_COUNT, 0),
            variable(INVALID_COUNT, 0x1018),
            variable(GENERATION_OFFSETS, 0x1300),
            (0x1300, 0x20 << 32),
            (0x1308, u64::from(u32::MAX)),
        ];
        all.extend((0..).zip(of).map(|(number, first): (u64, u64)| (0x2000 + number * GENERATION + 0x20, first)));
        all.extend(words);
        let mut memory = vec![0; 0x400];
        for (at, word) in all {
            memory[usize::try_from((at - 0x1000) / 8).unwrap()] = word;
        }
        let globals = [("GcDacVars", 0x1000), ("GCHeapType", 0x1008)];
        Segments::read(&Clr::by_hand(10, Memory::of(0x1000, &memory), &globals), std::iter::empty())
    }

    /// A `heap_segment`: allocated, committed, reserved, used, mem, flags, next.
    fn described(at: u64, start: u64, end: u64, next: u64) -> [(u64, u64); 4] {
        [(at, end), (at + 8, end + 0x100), (at + 32, start), (at + 48, next)]
    }

    fn told(segments: &Segments) -> Vec<(u64, u64, Generation)> {
        segments.all.iter().map(|segment| (segment.start.0, segment.end.0, segment.generation)).collect()
    }

    #[test]
    fn a_generation_that_cannot_be_read_leaves_the_others() {
        // That of large objects leads out of the dump, that of generation 0 does so behind its first segment.
        let words = [described(0x2800, 0x9000, 0x9100, 0xdead_0000), described(0x2880, 0xa000, 0xa040, 0)].concat();
        let found = segments([0x2800, 0, 0x2880, 0xbeef_0000, 0], &words).unwrap();
        let expected = [(0x9000, 0x9100, Generation::Of(0)), (0xa000, 0xa040, Generation::Of(2))];
        assert_eq!(told(&found), expected);
        assert_eq!(found.all[0].committed, Addr(0x9200));
        let parts: Vec<&str> = found.unread.iter().map(|(part, _)| part.as_str()).collect();
        assert_eq!(parts, ["heap 0, gen 0", "heap 0, large"]);
        assert_eq!(found.is_moving, Ok(false));
    }

    #[test]
    fn a_segment_that_holds_nothing_is_listed_with_what_it_has_of_the_system() {
        let words = [described(0x2800, 0x9000, 0x9000, 0), described(0x2880, 0xa000, 0xa040, 0)].concat();
        let found = segments([0x2880, 0x2800, 0, 0, 0], &words).unwrap();
        assert_eq!(told(&found), [(0xa000, 0xa040, Generation::Of(0))]);
        let listed: Vec<_> = found.listed().iter().map(|one| (one.at.0, one.bytes(), one.committed_bytes())).collect();
        assert_eq!(listed, [(0x2880, 0x40, 0x140), (0x2800, 0, 0x100)]);
    }

    #[test]
    fn generations_that_share_a_segment_have_its_parts() {
        // The segment in which objects are made is described at 0x2800; generation 2 has another one before it. A generation's first
        // place is at 0x28 in it.
        let words = [
            described(0x2800, 0x9000, 0x9100, 0).to_vec(),
            described(0x2880, 0xa000, 0xa040, 0x2800).to_vec(),
            vec![(0x1010, 0x2800), (0x1100 + 24 + ALLOC_ALLOCATED * 8, 0x1020), (0x1020, 0x9180)],
            vec![(0x1308, 0x28), (0x2028, 0x90c0), (0x20a8, 0x9040)],
        ]
        .concat();
        let of = |words: &[(u64, u64)]| segments([0x2800, 0x2800, 0x2880, 0, 0], words).unwrap();
        let found = of(&words);
        let expected = [
            (0x9000, 0x9040, Generation::Of(2)),
            (0x9040, 0x90c0, Generation::Of(1)),
            (0x90c0, 0x9180, Generation::Of(0)),
            (0xa000, 0xa040, Generation::Of(2)),
        ];
        assert_eq!(told(&found), expected);
        let committed: Vec<u64> = found.all.iter().map(Segment::committed_bytes).collect();
        assert_eq!(committed, [0x40, 0x80, 0x140, 0x140], "the last one has what is not used yet");
        // Where generation 1 begins behind generation 0 nobody knows which is where.
        let found = of(&[&words[..], &[(0x20a8, 0x90c8)]].concat());
        assert_eq!(told(&found)[0], (0x9000, 0x9180, Generation::Ephemeral));
    }

    #[test]
    fn segments_that_end_before_they_begin_or_lie_in_others_are_told_and_left_out() {
        let words = [
            described(0x2800, 0x9100, 0x9000, 0x2880),
            described(0x2880, 0xa000, 0xa100, 0x2900),
            described(0x2900, 0xa080, 0xa180, 0),
        ]
        .concat();
        let found = segments([0, 0, 0x2800, 0, 0], &words).unwrap();
        assert_eq!(told(&found), [(0xa000, 0xa100, Generation::Of(2))]);
        assert_eq!(found.unread.len(), 2);
        // Whether objects were being moved is unknown where that is not in the dump.
        let found = segments([0; 5], &[(0x1100 + 24 + INVALID_COUNT * 8, 0xdead_0000)]).unwrap();
        assert!(found.is_moving.is_err() && found.all.is_empty() && found.unread.is_empty());
    }
}
