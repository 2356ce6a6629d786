//! The stretches of memory that arenas fill with chunks.
//!
//! The main arena has the memory below the break, or where that could not be moved, mappings; the others have heaps,
//! each of which tells which arena it belongs to and which one came before it.

use super::find::Parameters;
use super::layout::{
    ALIGNMENT, FENCE, FLAGS, HEAP_MAX, HUGE_PAGES_OF_HEAP, IS_MAPPED, Layout, MIN_CHUNK, NOT_MAIN, PREV_IN_USE,
};
use super::walk::Run;
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::reading::{PAGE, held_page};

/// Most heaps of an arena.
const MAX_HEAPS: usize = 1 << 16;
/// Most chunks that are followed in all to see where mappings of the main arena end, and most mappings.
const MAX_CHUNKS: u64 = 1 << 28;
const MAX_RUNS: usize = 1 << 16;
/// `flags` follows the lock. Source: glibc malloc/malloc.c, struct malloc_state, NONCONTIGUOUS_BIT.
const FLAGS_OF_ARENA: u64 = 4;
const NONCONTIGUOUS: u32 = 2;

/// Why something of an arena is missing, and whether it is damaged or not in the dump, as a problem's code.
type Gap = (&'static str, String);

const DAMAGED: &str = "heap-damaged";
const INCOMPLETE: &str = "heap-incomplete";

/// What cannot be read is not in the dump where something is mapped, and else no place of an arena.
fn unreadable(memory: &Memory, at: u64, what: String) -> Option<Gap> {
    let code = if memory.region_at(Addr(at)).is_some() { INCOMPLETE } else { DAMAGED };
    Some((code, what))
}

/// An arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arena {
    /// Its books.
    pub at: u64,
    /// Bytes that it says it has taken from the system; `None` where that cannot be read.
    pub system: Option<u64>,
    /// Its topmost chunk, and that one's size: none of an arena that has no memory yet.
    pub top: Option<(u64, u64)>,
    /// Ranges of memory that are its own.
    pub taken: Vec<(u64, u64)>,
    /// Why something of it is missing.
    pub gap: Option<Gap>,
}

/// What an arena's books say.
pub(super) fn arena(memory: &Memory, at: u64, layout: &Layout) -> Arena {
    let word = |offset: u64| at.checked_add(offset).and_then(|at| memory.u64(Addr(at)).ok());
    let system = word(layout.state.system());
    let mut gap = system.is_none().then(|| (INCOMPLETE, "what it took from the system cannot be read".to_owned()));
    let top = word(layout.state.top);
    if top.is_none() {
        gap = Some((INCOMPLETE, "where its topmost chunk is cannot be read".to_owned()));
    }
    let top = top.filter(|top| {
        // Before it has memory its first bin stands for a chunk, whose size would be `last_remainder`.
        at.checked_add(layout.state.top) != Some(*top) && *top != 0
    });
    let top = top.and_then(|top| {
        let header = top.checked_add(8).and_then(|at| memory.u64(Addr(at)).ok());
        match header {
            Some(header) if top.is_multiple_of(ALIGNMENT) => Some((top, header & !FLAGS)),
            Some(_) => {
                gap = Some((DAMAGED, format!("its topmost chunk would be at {}, where none can be", Addr(top))));
                None
            }
            None => {
                let what = format!("its topmost chunk would be at {}, which cannot be read", Addr(top));
                gap = unreadable(memory, top, what);
                None
            }
        }
    });
    Arena { at, system, top, taken: Vec::new(), gap }
}

/// Whether an arena but the main one stands where its first heap has it.
pub(super) fn is_in_heap(memory: &Memory, arena: u64, layout: &Layout) -> bool {
    arena.checked_sub(layout.heap_info).is_some_and(|heap| memory.u64(Addr(heap)).is_ok_and(|of| of == arena))
}

/// The runs of the main arena.
pub(super) fn of_main(
    memory: &Memory,
    arena: &mut Arena,
    parameters: Option<&Parameters>,
    taken: &[(u64, u64)],
    job: &Job,
) -> Result<Vec<Run>, Error> {
    let Some((top, size)) = arena.top else { return Ok(Vec::new()) };
    let top_end = top.saturating_add(size);
    let run = |start: u64, end: u64| Run {
        arena: 0,
        start: start.next_multiple_of(ALIGNMENT),
        end,
        fenced: false,
        main: true,
    };
    let flags = arena.at.checked_add(FLAGS_OF_ARENA).and_then(|at| memory.u32(Addr(at)).ok()).unwrap_or(0);
    let base = parameters.map(|parameters| parameters.sbrk_base).filter(|base| *base != 0);
    let start = arena.system.and_then(|system| top_end.checked_sub(system));
    if flags & NONCONTIGUOUS == 0 {
        // The break moved on from where it was first; what others took of it counts as the arena's.
        let start = base.or(start).filter(|start| *start <= top);
        let start = start.or_else(|| memory.region_at(Addr(top)).map(|region| region.start.0)).unwrap_or(top);
        arena.taken.push((start, top_end));
        return Ok(vec![run(start, top)]);
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut found = 0u64;
    let mut looks = MAX_CHUNKS;
    let mut take = |start: u64, runs: &mut Vec<Run>| -> Result<Option<u64>, Error> {
        let Some((last, end)) = extent(memory, start.next_multiple_of(ALIGNMENT), (top, top_end), &mut looks, job)?
        else {
            return Ok(None);
        };
        if runs.iter().any(|run| run.start < end && start < run.end) {
            return Ok(None);
        }
        runs.push(run(start, last));
        found = found.saturating_add(end.saturating_sub(start));
        arena.taken.push((start, end));
        Ok(Some(found))
    };
    let is_all = |found: Option<u64>| found.zip(arena.system).is_some_and(|(found, system)| found >= system);
    if let Some(base) = base
        && is_all(take(base, &mut runs)?)
    {
        return Ok(runs);
    }
    let is_free = |at: u64| !taken.iter().any(|(from, to)| (*from..*to).contains(&at));
    let regions = || memory.regions().iter().filter(|region| region.access.write && is_free(region.start.0));
    // A piece begins where a mapping does, or behind another one.
    'pieces: for region in regions() {
        job.check()?;
        let mut at = region.start.0;
        while at < region.end.0 && runs.len() < MAX_RUNS {
            let before = runs.len();
            if is_all(take(at, &mut runs)?) {
                break 'pieces;
            }
            match runs.get(before) {
                Some(run) if run.end == top => at = top_end,
                Some(run) => at = run.end.saturating_add(FENCE),
                None => break,
            }
        }
    }
    let found = runs.iter().map(|run| run.end.saturating_sub(run.start)).fold(0, u64::saturating_add);
    if arena.system.is_none_or(|system| found.saturating_add(size) < system) {
        'pages: for region in regions() {
            let mut from = region.start.0.saturating_add(PAGE);
            while let Some(at) = held_page(memory, from, region.end.0).filter(|_| runs.len() < MAX_RUNS) {
                job.check()?;
                from = at.saturating_add(PAGE);
                if is_all(take(at, &mut runs)?) {
                    break 'pages;
                }
            }
        }
    }
    if looks == 0 || runs.len() >= MAX_RUNS {
        arena.gap = Some((INCOMPLETE, "it has more pieces or chunks than are followed".to_owned()));
    }
    runs.sort_by_key(|run| run.start);
    Ok(runs)
}

/// Where chunks of the main arena that begin at an address end: behind the last of them, and behind what closes them.
fn extent(
    memory: &Memory,
    start: u64,
    (top, top_end): (u64, u64),
    looks: &mut u64,
    job: &Job,
) -> Result<Option<(u64, u64)>, Error> {
    let mut at = start;
    for step in 0..*looks {
        *looks = looks.saturating_sub(1);
        if at == top && step > 0 {
            return Ok(Some((top, top_end)));
        }
        if step.is_multiple_of(1 << 12) {
            job.check()?;
        }
        let Some(header) = at.checked_add(8).and_then(|at| memory.u64(Addr(at)).ok()) else { break };
        let size = header & !FLAGS;
        if header & (IS_MAPPED | NOT_MAIN | (ALIGNMENT / 2)) != 0 || (step == 0 && header & PREV_IN_USE == 0) {
            break;
        }
        let Some(end) = at.checked_add(size) else { break };
        if size == FENCE && step > 0 {
            let again = end.checked_add(8).and_then(|at| memory.u64(Addr(at)).ok());
            let is_fence = again.is_some_and(|header| header & !FLAGS == FENCE);
            return Ok(is_fence.then(|| (end, end.saturating_add(FENCE))));
        }
        if size < MIN_CHUNK {
            break;
        }
        at = end;
    }
    Ok(None)
}

/// The runs of another arena, ascending.
pub(super) fn of_heaps(
    memory: &Memory,
    number: usize,
    arena: &mut Arena,
    layout: &Layout,
    parameters: Option<&Parameters>,
) -> Vec<Run> {
    let Some((top, top_size)) = arena.top else { return Vec::new() };
    let huge = parameters.map_or(0, |parameters| parameters.huge_page);
    let max = match huge.checked_mul(HUGE_PAGES_OF_HEAP) {
        Some(max) if max.is_power_of_two() => max,
        _ => HEAP_MAX,
    };
    let first = arena.at.wrapping_sub(layout.heap_info);
    let mut heap = top & !max.wrapping_sub(1);
    let mut runs = Vec::new();
    let mut seen = rustc_hash::FxHashSet::default();
    loop {
        let word = |offset: u64| heap.checked_add(offset).and_then(|at| memory.u64(Addr(at)).ok());
        // Source: glibc malloc/arena.c, struct _heap_info: ar_ptr, prev, size.
        let (Some(of), Some(before), Some(size)) = (word(0), word(8), word(16)) else {
            arena.gap = unreadable(memory, heap, format!("its heap at {} cannot be read", Addr(heap)));
            break;
        };
        if of != arena.at || size > max || size < layout.heap_info || !seen.insert(heap) || seen.len() > MAX_HEAPS {
            arena.gap = Some((DAMAGED, format!("what is at {} is no heap of it", Addr(heap))));
            break;
        }
        let behind_books = if heap == first { layout.state.size() } else { 0 };
        let start = heap.saturating_add(layout.heap_info).saturating_add(behind_books).next_multiple_of(ALIGNMENT);
        let end = heap.saturating_add(size);
        arena.taken.push((heap, end));
        let holds_top = (start..=end).contains(&top);
        let (last, fenced) = match runs.is_empty() && holds_top {
            true => (top, false),
            // The mark: a header without a size.
            false => (end.saturating_sub(FENCE), true),
        };
        if holds_top && top.saturating_add(top_size) > end {
            arena.gap = Some((DAMAGED, format!("its topmost chunk at {} reaches beyond its heap", Addr(top))));
        }
        runs.push(Run { arena: number, start, end: last, fenced, main: false });
        if heap == first {
            break;
        }
        heap = before;
    }
    runs.sort_by_key(|run| run.start);
    runs
}
