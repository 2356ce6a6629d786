//! The heads of the free lists, `mal`: empty ones point to themselves.

use std::sync::Arc;

use super::layout::{ALIGNMENT, HEADER, IN_USE};
use crate::capture::Memory;
use crate::error::Error;
use crate::heap::Free;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::reading::{Window, add, data, of_musl, words};
use crate::target::Target;

// mal: binmap 0, bins 8; struct bin: lock 0, head 8, tail 16. Source: musl 1.2.3 src/malloc/oldmalloc/malloc.c, malloc_impl.h; the same
// in src/malloc/malloc.c of 1.1.
const BINS: u64 = 64;
const BIN: u64 = 24;
const FIRST_HEAD: u64 = 16;
/// Bytes of `mal` up to the last bin's end.
pub(super) const BYTES: u64 = 8 + BINS * BIN;
/// Bins that may be damaged.
const MAX_ODD: u64 = 4;
/// Most free chunks.
const MAX_FREE: u64 = 1 << 28;

/// The bins, and what they hold.
#[derive(Debug)]
pub(super) struct Bins {
    /// `mal`.
    pub at: u64,
    pub free: Free,
    /// Heads of lists that do not lead back.
    pub broken: Vec<u64>,
}

/// Looks for the bins in musl's data, or the executable's.
pub(super) fn find(target: &Arc<Target>, job: &Job) -> Result<Option<Bins>, Error> {
    let memory = &target.memory;
    for module in of_musl(target) {
        for (start, bytes) in data(memory, module) {
            let mut before = None;
            for (at, word) in words(start, bytes) {
                let is_empty = word == at.wrapping_sub(8).wrapping_sub(HEADER) && before == Some(word);
                before = Some(word);
                if !is_empty {
                    continue;
                }
                job.check()?;
                // The pair is some bin's.
                let places = (0..BINS).filter_map(|bin| at.checked_sub(8 + FIRST_HEAD)?.checked_sub(bin * BIN));
                if let Some(at) = places.into_iter().find(|at| are_bins(memory, *at)) {
                    return read(memory, at, job).map(Some);
                }
            }
        }
    }
    Ok(None)
}

/// Whether 64 bins are here, and the map of those that hold something agrees.
fn are_bins(memory: &Memory, at: u64) -> bool {
    let Ok(map) = memory.u64(Addr(at)) else { return false };
    let mut odd = 0u64;
    for bin in 0..BINS {
        let head = at.saturating_add(FIRST_HEAD).saturating_add(bin.saturating_mul(BIN));
        let own = head.wrapping_sub(HEADER);
        let is_good = || {
            let first = memory.u64(Addr(head)).ok()?;
            let last = memory.u64(Addr(head).plus(8)?).ok()?;
            let is_empty = (first == 0 && last == 0) || (first == own && last == own);
            if is_empty || map >> bin & 1 == 0 {
                return Some(is_empty && map >> bin & 1 == 0);
            }
            let back = memory.u64(Addr(first).plus(24)?).ok()?;
            let forth = memory.u64(Addr(last).plus(16)?).ok()?;
            Some(back == own && forth == own)
        };
        if !is_good().unwrap_or(false) {
            odd = odd.saturating_add(1);
            if odd > MAX_ODD {
                return false;
            }
        }
    }
    true
}

fn read(memory: &Memory, at: u64, job: &Job) -> Result<Bins, Error> {
    let mut bins = Bins { at, free: Free::default(), broken: Vec::new() };
    let mut window = Window::new(memory);
    for bin in 0..BINS {
        let head = at.saturating_add(FIRST_HEAD).saturating_add(bin.saturating_mul(BIN));
        let own = head.wrapping_sub(HEADER);
        let mut chunk = window.u64(head).unwrap_or(0);
        // Brent: a list that goes round comes by a chunk that was marked at a power of two.
        let (mut marked, mut steps, mut until) = (0u64, 0u64, 1u64);
        while chunk != 0 && chunk != own {
            let size = window.u64(chunk.saturating_add(8)).filter(|_| chunk % ALIGNMENT == HEADER);
            let next = window.u64(chunk.saturating_add(16));
            let size = size.filter(|size| size & IN_USE == 0 && *size > 0 && chunk != marked && steps < MAX_FREE);
            let (Some(size), Some(next)) = (size, next) else {
                bins.broken.push(head);
                break;
            };
            add(&mut bins.free, 1, size);
            steps = steps.saturating_add(1);
            if steps == until {
                (marked, until) = (chunk, until.saturating_mul(2));
            }
            if steps.is_multiple_of(1 << 16) {
                job.check()?;
            }
            chunk = next;
        }
    }
    Ok(bins)
}
