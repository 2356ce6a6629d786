//! Blocks that were mapped by themselves: each begins a page, and its header tells so.

use super::layout::{ALIGNMENT, HEADER, IN_USE};
use super::pieces::{Piece, outside};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::Block;
use crate::runtimes::native::heap::reading::{PAGE, held_page};
use crate::target::Target;

/// A block with a mapping of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Where the mapping begins.
    pub start: u64,
    /// Its bytes are those of the mapping.
    pub block: Block,
}

/// The blocks, ascending.
pub(super) fn find(target: &Target, pieces: &[Piece], job: &Job) -> Result<Vec<Mapped>, Error> {
    let memory = &target.memory;
    let (mut found, mut pages) = (Vec::new(), 0u64);
    for (start, end) in outside(target) {
        let mut from = start;
        while let Some(at) = held_page(memory, from, end) {
            pages = pages.saturating_add(1);
            if pages.is_multiple_of(1 << 12) {
                job.check()?;
            }
            let before = pieces.partition_point(|piece| piece.start <= at.saturating_add(HEADER)).checked_sub(1);
            let inside = before.and_then(|before| pieces.get(before)).filter(|piece| at < piece.end);
            from = match (inside, at_page(memory, at)) {
                (Some(piece), _) => piece.end.saturating_add(1),
                (None, Some(block)) => {
                    found.push(Mapped { start: at, block });
                    at.saturating_add(block.bytes)
                }
                (None, None) => at.saturating_add(PAGE),
            };
        }
    }
    Ok(found)
}

fn at_page(memory: &Memory, start: u64) -> Option<Block> {
    // `psize` of such a chunk is its distance from the mapping's start. Source: musl 1.2.3 src/malloc/oldmalloc/malloc.c, malloc.
    let of_chunk = |chunk: u64| {
        let before = memory.u64(Addr(chunk)).ok()?;
        let size = memory.u64(Addr(chunk).plus(8)?).ok()?;
        let bytes = before.checked_add(size)?;
        let is_one = Some(before) == chunk.checked_sub(start) && size & IN_USE == 0 && bytes > before;
        (is_one && bytes.is_multiple_of(PAGE)).then_some(bytes)
    };
    let mut chunk = start.checked_add(HEADER)?;
    let mut bytes = of_chunk(chunk)?;
    // An aligned block: its header stands in front of it, and the one at the mapping's start is what it was before.
    // Source: src/malloc/oldmalloc/aligned_alloc.c.
    for power in 6..40u32 {
        let block = start.checked_add(ALIGNMENT)?.checked_next_multiple_of(1 << power)?;
        let moved = block.checked_sub(HEADER)?;
        if let Some(len) = of_chunk(moved).filter(|_| moved != chunk) {
            (chunk, bytes) = (moved, len);
            break;
        }
    }
    let end = start.checked_add(bytes)?;
    memory.region_at(Addr(end).minus(1)?)?;
    Some(Block { address: Addr(chunk).plus(HEADER)?, bytes })
}
