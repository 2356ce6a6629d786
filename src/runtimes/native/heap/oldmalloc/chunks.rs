//! A piece of the heap, chunk by chunk. Each chunk's size stands in itself and in the next one, with whether it is in use.

use super::layout::{ALIGNMENT, HEADER, IN_USE};
use super::pieces::{Piece, chunk};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Meter;
use crate::model::Addr;
use crate::runtimes::native::heap::allocator::{Block, Visit};
use crate::runtimes::native::heap::reading::{Window, add};

/// Chunks in a row that are believed behind a damaged one.
const BELIEVED: u32 = 16;
/// Places that are looked at behind damaged chunks.
const MAX_LOOKS: u64 = 1 << 26;

/// What a walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    pub used: Free,
    pub free: Free,
    /// Where no chunk is though one should be, and how many bytes are left out.
    pub damages: Vec<(u64, u64)>,
}

/// Tells `visit` the chunks in use of a piece, ascending.
pub(super) fn walk(
    memory: &Memory,
    piece: &Piece,
    meter: &mut Meter<'_>,
    visit: &mut Visit<'_>,
) -> Result<Walked, Error> {
    let mut window = Window::new(memory);
    let mut walked = Walked::default();
    let (mut at, mut looks) = (piece.start, MAX_LOOKS);
    // The chunk at the end is one, too: of size 0.
    let limit = piece.end.saturating_add(1);
    while at < piece.end {
        meter.add(1)?;
        let Some(size) = chunk(&mut window, at, limit) else {
            let resumed = resume(&mut window, at, piece.end, &mut looks, meter)?;
            walked.damages.push((at, resumed.saturating_sub(at)));
            at = resumed;
            continue;
        };
        if size == 0 {
            break;
        }
        let is_used = window.u64(at.saturating_add(8)).is_some_and(|word| word & IN_USE != 0);
        add(if is_used { &mut walked.used } else { &mut walked.free }, 1, size);
        if is_used {
            visit(Block { address: Addr(at.saturating_add(HEADER)), bytes: size })?;
        }
        at = at.saturating_add(size);
    }
    Ok(walked)
}

/// The next place from which chunks lead somewhere; the end where there is none.
fn resume(window: &mut Window<'_>, from: u64, end: u64, looks: &mut u64, meter: &mut Meter<'_>) -> Result<u64, Error> {
    let mut at = from.saturating_add(ALIGNMENT);
    while at < end && *looks > 0 {
        *looks = looks.saturating_sub(1);
        if looks.is_multiple_of(1 << 12) {
            meter.add(0)?;
        }
        let mut to = at;
        let is_good = (0..BELIEVED).all(|_| match chunk(window, to, end.saturating_add(1)) {
            Some(size) => {
                to = to.saturating_add(size);
                true
            }
            None => false,
        });
        if is_good && to > at {
            return Ok(at);
        }
        at = at.saturating_add(ALIGNMENT);
    }
    Ok(end)
}
