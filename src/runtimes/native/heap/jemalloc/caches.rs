//! What threads keep for themselves, `tcache`: blocks that their slabs count as in use.
//!
//! A cache and its slow half point to each other; both are in thread-local storage, at the same place in each thread, or in a ring with
//! one that is.

use rustc_hash::FxHashSet;

use super::layout::{BIN_EMPTY, CACHE_BIN, CACHE_BINS, MAX_BINS, SLOW_CACHE, SLOW_STACKS};
use super::map::Map;
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::native::heap::parts::Odd;
use crate::runtimes::native::heap::reading::{Window, words};
use crate::target::Target;

/// Bytes below the thread pointer that are searched.
const SEARCHED: u64 = 64 << 10;
/// Most caches in a ring.
const MAX_CACHES: usize = 1 << 20;

/// All caches.
#[derive(Debug, Default)]
pub(super) struct Caches {
    /// Cached blocks, ascending, with the class of their bin.
    pub cached: Vec<(u64, u64)>,
    /// The blocks that hold the caches' own stacks, ascending.
    pub stacks: Vec<u64>,
    /// Caches.
    pub count: usize,
    /// Threads whose storage is not known, or not in the dump.
    pub lost: Odd,
    /// Bins that cannot be read, and links from cache to cache.
    pub broken: Odd,
}

/// Reads the caches of all threads, those of another copy of the library left out: the blocks that hold their stacks are of its extents.
pub(super) fn read(target: &Target, map: &Map, job: &Job) -> Result<Caches, Error> {
    let memory = &target.memory;
    let mut seen = FxHashSet::default();
    let mut caches = Caches::default();
    for thread in &target.capture.threads {
        job.check()?;
        let pointer = thread.thread_pointer.as_ref().map_or(0, |pointer| pointer.0);
        let Some(found) = below(memory, pointer) else {
            caches.lost.add(pointer);
            continue;
        };
        for cache in found {
            if !ring(memory, cache, &mut seen) {
                caches.broken.add(cache);
            }
        }
    }
    let mut seen: Vec<u64> = seen.into_iter().collect();
    seen.sort_unstable();
    let is_own = |cache: &u64| stacks(memory, *cache).is_some_and(|block| map.holds(block));
    // Where that is so of none, stacks are not where they should be: what they hold is then held against the map.
    if seen.iter().any(is_own) {
        seen.retain(is_own);
    }
    caches.count = seen.len();
    for cache in seen {
        job.check()?;
        caches.read_cache(memory, cache);
    }
    caches.cached.sort_unstable();
    caches.cached.dedup_by_key(|(block, _)| *block);
    caches.stacks.sort_unstable();
    Ok(caches)
}

/// The block that holds a cache's stacks.
fn stacks(memory: &Memory, cache: u64) -> Option<u64> {
    let slow = memory.u64(Addr(cache)).ok()?;
    memory.u64(Addr(slow).plus(SLOW_STACKS)?).ok()
}

/// Caches in a thread's own storage; `None` where that is not in the dump.
fn below(memory: &Memory, pointer: u64) -> Option<Vec<u64>> {
    let segment = memory.segment_at(Addr(pointer.checked_sub(1)?))?;
    let from = pointer.saturating_sub(SEARCHED).max(segment.start.0);
    let bytes = memory.slice(Addr(from), pointer.saturating_sub(from)).unwrap_or_default();
    let found = words(from, bytes).filter(|(at, slow)| is_cache(memory, *at, *slow));
    Some(found.map(|(at, _)| at).collect())
}

fn is_cache(memory: &Memory, at: u64, slow: u64) -> bool {
    let back = |at: u64| slow.checked_add(at).and_then(|at| memory.u64(Addr(at)).ok());
    slow != 0 && slow.is_multiple_of(8) && back(SLOW_CACHE) == Some(at)
}

/// Adds a cache and all that are in a ring with it; tells whether the ring leads back to one that was seen.
fn ring(memory: &Memory, cache: u64, seen: &mut FxHashSet<u64>) -> bool {
    let mut cache = cache;
    while seen.len() < MAX_CACHES && seen.insert(cache) {
        let link = memory.u64(Addr(cache)).and_then(|slow| memory.u64(Addr(slow)));
        // A library without statistics links none. Source: jemalloc 5.3.0 src/tcache.c, tcache_arena_associate.
        if link == Ok(0) {
            return true;
        }
        let next = || {
            let next = memory.u64(Addr(link.ok()?).plus(SLOW_CACHE)?).ok()?;
            is_cache(memory, next, memory.u64(Addr(next)).ok()?).then_some(next)
        };
        let Some(next) = next() else { return false };
        cache = next;
    }
    seen.len() < MAX_CACHES
}

impl Caches {
    fn read_cache(&mut self, memory: &Memory, cache: u64) {
        let mut window = Window::new(memory);
        let mut stack = Window::new(memory);
        match stacks(memory, cache) {
            Some(block) => self.stacks.push(block),
            None => self.broken.add(cache),
        }
        for class in 0..MAX_BINS {
            let bin = cache.saturating_add(CACHE_BINS).saturating_add(class.saturating_mul(CACHE_BIN));
            let Some(head) = window.u64(bin) else {
                self.broken.add(bin);
                break;
            };
            // The first bin that is not there ends them.
            if head == 0 {
                break;
            }
            let empty = window.bytes::<2>(bin.saturating_add(BIN_EMPTY)).map(u16::from_le_bytes);
            let bytes = empty.map(|empty| empty.wrapping_sub((head & 0xffff) as u16));
            let Some(bytes) = bytes.filter(|bytes| bytes.is_multiple_of(8) && head.is_multiple_of(8)) else {
                self.broken.add(bin);
                break;
            };
            for place in (0..u64::from(bytes)).step_by(8) {
                match stack.u64(head.saturating_add(place)) {
                    Some(block) => self.cached.push((block, class)),
                    None => self.broken.add(bin),
                }
            }
        }
    }
}
