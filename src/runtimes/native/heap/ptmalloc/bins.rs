//! Bins: rings of free chunks whose links must lead back, as the library itself checks when it takes one out.

use super::layout::{ALIGNMENT, BINS, FLAGS, HEADER, IS_MAPPED, Layout, MIN_CHUNK, PREV_IN_USE};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};
use crate::runtimes::native::heap::reading::Window;

/// Most that is told of one arena.
const MAX_TOLD: usize = 16;

/// What is wrong with the bins of an arena. `binned`: the free chunks that a walk of the arena met in no other list.
pub(super) fn verify(
    memory: &Memory,
    arena: u64,
    binned: Free,
    layout: &Layout,
    job: &Job,
) -> Result<Vec<Problem>, Error> {
    let mut meter = job.meter();
    let mut window = Window::new(memory);
    let mut held = Free::default();
    let mut all = Vec::new();
    let (mut more, mut missing) = (0u64, 0u64);
    for bin in 0..BINS {
        let head = arena.saturating_add(layout.state.bins).saturating_add(bin.saturating_mul(16));
        let own = head.wrapping_sub(HEADER);
        let mut before = own;
        let Some(mut chunk) = window.u64(head) else { continue };
        // A link that leads back to the chunk before is that of one chunk alone: this ends.
        while chunk != own {
            meter.add(1)?;
            match checked(&mut window, chunk, before) {
                Ok((size, next)) => {
                    held.count = held.count.saturating_add(1);
                    held.bytes = held.bytes.saturating_add(size);
                    (before, chunk) = (chunk, next);
                }
                // Where nothing is mapped no chunk was.
                Err(Wrong::Unreadable) if memory.region_at(Addr(chunk)).is_some() => {
                    missing = missing.saturating_add(1);
                    break;
                }
                Err(_) if all.len() >= MAX_TOLD => {
                    more = more.saturating_add(1);
                    break;
                }
                Err(wrong) => {
                    all.push(wrong.told(chunk, before, own, arena));
                    break;
                }
            }
        }
    }
    if more > 0 {
        let message = format!("{more} more bins of malloc's arena at {} break off", Addr(arena));
        all.push(Problem::new("heap-damaged", Subject::Memory(Addr(arena)), message));
    }
    if missing > 0 {
        let message =
            format!("bins of malloc's arena at {} lead to what is not in the dump ({missing} of them)", Addr(arena));
        all.push(Problem::new("heap-incomplete", Subject::Memory(Addr(arena)), message));
    }
    if all.is_empty() && held != binned {
        let message = format!(
            "the bins of malloc's arena at {} hold {} chunks of {} bytes, and {} of {} bytes are marked free: a thread \
             may be in malloc, or what is freed is lost",
            Addr(arena),
            held.count,
            held.bytes,
            binned.count,
            binned.bytes
        );
        all.push(Problem::new("heap-unbalanced", Subject::Memory(Addr(arena)), message));
    }
    Ok(all)
}

/// What is wrong with a chunk of a bin.
enum Wrong {
    Unreadable,
    /// No chunk can be there: it is not aligned, or so large.
    Place,
    Size(u64),
    /// What it says stands before it in the ring.
    Back(u64),
    /// The chunk behind it in memory says that it is in use.
    InUse,
    /// The chunk behind it in memory says that it has so many bytes.
    Footer(u64, u64),
}

/// The size of a chunk in a bin, and the next one in the ring. Source: glibc malloc/malloc.c, unlink_chunk.
fn checked(window: &mut Window<'_>, chunk: u64, before: u64) -> Result<(u64, u64), Wrong> {
    if !chunk.is_multiple_of(ALIGNMENT) {
        return Err(Wrong::Place);
    }
    let mut word = |offset: u64| chunk.checked_add(offset).and_then(|at| window.u64(at)).ok_or(Wrong::Unreadable);
    let (header, next, back) = (word(8)?, word(16)?, word(24)?);
    if back != before {
        return Err(Wrong::Back(back));
    }
    let size = header & !FLAGS;
    let end = chunk.checked_add(size).filter(|_| size >= MIN_CHUNK && header & IS_MAPPED == 0);
    if end.is_none() || !size.is_multiple_of(ALIGNMENT) {
        return Err(Wrong::Size(header));
    }
    let (stated, behind) = (word(size)?, word(size.saturating_add(8))?);
    match (behind & PREV_IN_USE, stated == size) {
        (0, true) => Ok((size, next)),
        (0, false) => Err(Wrong::Footer(size, stated)),
        _ => Err(Wrong::InUse),
    }
}

impl Wrong {
    /// `before` is the chunk in front of it, `own` the bin's head in place of one.
    fn told(&self, chunk: u64, before: u64, own: u64, arena: u64) -> Problem {
        let block = Addr(chunk.saturating_add(HEADER));
        let in_front = match before == own {
            true => "the bin".to_owned(),
            false => format!("the chunk at {}", Addr(before)),
        };
        let written = "the block was written to after it was freed, or freed twice";
        let what = match self {
            Wrong::Unreadable | Wrong::Place => {
                let blame = match before == own {
                    true => String::new(),
                    false => format!(": {written}"),
                };
                format!("{in_front} leads to {}, where no chunk can be{blame}", Addr(chunk))
            }
            Wrong::Size(header) => format!("the free block {block} has a header of {header:#x}, which is no size"),
            Wrong::Back(back) => format!(
                "{in_front} leads to the free block {block}, which says that {} leads to it: {written}",
                Addr(*back)
            ),
            Wrong::InUse => format!("the block {block} is in a list of free ones, and marked as in use"),
            Wrong::Footer(size, stated) => format!(
                "the free block {block} of {size} bytes is written over at its end, which says that it has {stated}"
            ),
        };
        let message = format!("a bin of malloc's arena at {} breaks off: {what}", Addr(arena));
        Problem::new("heap-damaged", Subject::Memory(Addr(chunk)), message)
    }
}
