//! Blocks that were mapped by themselves. No list holds them: each begins a page, and its header tells so.

use super::layout::{FLAGS, HEADER, IS_MAPPED, Layout, MIN_CHUNK};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::Block;
use crate::runtimes::native::heap::reading::{PAGE, held_page};
use crate::target::Target;

/// What the process counts of them; `None` where its parameters were not found.
pub(super) type Counted = Option<(u64, u64)>;

/// The blocks, ascending. `taken`: ranges that hold something else, ascending.
pub(super) fn find(
    target: &Target,
    layout: &Layout,
    taken: &[(u64, u64)],
    counted: Counted,
    job: &Job,
) -> Result<Vec<Block>, Error> {
    let memory = &target.memory;
    let mut found: Vec<Mapped> = Vec::new();
    if counted.is_some_and(|(blocks, _)| blocks == 0) {
        return Ok(Vec::new());
    }
    let files = target.capture.files.iter().flatten().map(|file| (file.start.0, file.end.0));
    let mut taken: Vec<(u64, u64)> = taken.iter().copied().chain(files).collect();
    taken.sort_unstable();
    let regions: Vec<(u64, u64)> = memory
        .regions()
        .iter()
        .filter(|region| region.access.write && target.module_at(region.start).is_none())
        .flat_map(|region| without(region.start.0, region.end.0, &taken))
        .collect();
    // A mapping begins where nothing was mapped before, or one of these ends.
    for (start, end) in &regions {
        job.check()?;
        chain(memory, *start, *end, layout, &mut found);
    }
    let is_all = |found: &[Mapped]| match counted {
        // Where the bytes of resized blocks are counted too high they say nothing.
        Some((blocks, bytes)) => found.len() as u64 >= blocks && (sum(found) >= bytes || layout.behind_mapped > 0),
        None => true,
    };
    // Others stand right behind a mapping of another kind.
    let mut pages = 0u64;
    let known = found.clone();
    let mut known = known.iter().peekable();
    for (start, end) in &regions {
        if is_all(&found) {
            break;
        }
        let mut from = *start;
        while let Some(at) = held_page(memory, from, *end) {
            pages = pages.saturating_add(1);
            if pages.is_multiple_of(1 << 12) {
                job.check()?;
            }
            while known.next_if(|mapped| mapped.end <= at).is_some() {}
            from = match known.peek() {
                Some(mapped) if mapped.start <= at => mapped.end,
                _ => chain(memory, at, *end, layout, &mut found).max(at.saturating_add(PAGE)),
            };
        }
    }
    found.sort_by_key(|mapped| mapped.start);
    found.dedup_by_key(|mapped| mapped.start);
    Ok(found.into_iter().map(|mapped| mapped.block).collect())
}

#[derive(Clone, Copy, Debug)]
struct Mapped {
    start: u64,
    end: u64,
    block: Block,
}

fn sum(found: &[Mapped]) -> u64 {
    found.iter().map(|mapped| mapped.block.bytes).fold(0, u64::saturating_add)
}

/// Takes what begins at an address, what begins at its end, and so on; returns where that ends.
fn chain(memory: &Memory, start: u64, end: u64, layout: &Layout, found: &mut Vec<Mapped>) -> u64 {
    let mut at = start;
    while at < end {
        let Some(mapped) = at_page(memory, at, layout) else { break };
        at = mapped.end;
        found.push(mapped);
    }
    at
}

/// The block whose mapping begins at an address.
fn at_page(memory: &Memory, start: u64, layout: &Layout) -> Option<Mapped> {
    let of_chunk = |chunk: u64| {
        let before = memory.u64(Addr(chunk)).ok()?;
        // Where the mapping's end is left free, the lowest bit tells of huge pages. Source: glibc 2.43 malloc/malloc.c,
        // MMAP_HP.
        let before = if layout.behind_mapped > 0 { before & !1 } else { before };
        let header = memory.u64(Addr(chunk).plus(8)?).ok()?;
        let bytes = before.checked_add(header & !FLAGS)?.checked_add(layout.behind_mapped)?;
        let is_one = header & FLAGS == IS_MAPPED && Some(before) == chunk.checked_sub(start);
        (is_one && bytes > 0 && bytes.is_multiple_of(PAGE)).then_some(bytes)
    };
    let mut bytes = of_chunk(start)?;
    let mut chunk = start;
    // An aligned block: its header stands where the alignment wants it, and the one at the mapping's start is what it
    // was before.
    // Source: malloc/malloc.c, _int_memalign.
    for power in 5..40u32 {
        let alignment = 1u64 << power;
        let wanted = start.checked_add(HEADER)?.checked_next_multiple_of(alignment)?.checked_sub(HEADER)?;
        let wanted = if wanted.wrapping_sub(start) < MIN_CHUNK { wanted.checked_add(alignment)? } else { wanted };
        if let Some(moved) = of_chunk(wanted) {
            (chunk, bytes) = (wanted, moved);
            break;
        }
    }
    let end = start.checked_add(bytes)?;
    is_writable(memory, start, end).then_some(())?;
    Some(Mapped { start, end, block: Block { address: Addr(chunk).plus(HEADER)?, bytes } })
}

/// Whether all of a range is mapped and can be written: by mappings without a gap.
fn is_writable(memory: &Memory, start: u64, end: u64) -> bool {
    let first = memory.regions().partition_point(|region| region.end.0 <= start);
    let mut at = start;
    for region in memory.regions().iter().skip(first) {
        if region.start.0 > at || !region.access.write {
            return false;
        }
        at = region.end.0;
        if at >= end {
            return true;
        }
    }
    false
}

/// The parts of a range that are in none of the others.
fn without(start: u64, end: u64, taken: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut at = start;
    let mut parts = Vec::new();
    let first = taken.partition_point(|(_, to)| *to <= start);
    for (from, to) in taken.iter().skip(first).take_while(|(from, _)| *from < end) {
        if *from > at {
            parts.push((at, *from));
        }
        at = at.max(*to);
    }
    if at < end {
        parts.push((at, end));
    }
    parts
}
