//! What threads keep for themselves, `tcache`: blocks that their slabs count as in use.
//!
//! A cache and its slow half point to each other; both are in thread-local storage, at the same place in each thread, or in a ring with
//! one that is.

use rustc_hash::FxHashSet;

use super::layout::{BIN_EMPTY, CACHE_BIN, CACHE_BINS, MAX_BINS, SLOW_CACHE, SLOW_STACKS};
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
    /// Bins that cannot be read.
    pub broken: Odd,
}

/// Reads the caches of all threads.
pub(super) fn read(target: &Target, job: &Job) -> Result<Caches, Error> {
    let memory = &target.memory;
    let mut seen = FxHashSet::default();
    let mut caches = Caches::default();
    for thread in &target.capture.threads {
        job.check()?;
        let Ok(pointer) = thread.thread_pointer else { continue };
        for cache in below(memory, pointer.0) {
            ring(memory, cache, &mut seen);
        }
    }
    caches.count = seen.len();
    let mut seen: Vec<u64> = seen.into_iter().collect();
    seen.sort_unstable();
    for cache in seen {
        job.check()?;
        caches.read_cache(memory, cache);
    }
    caches.cached.sort_unstable();
    caches.cached.dedup_by_key(|(block, _)| *block);
    caches.stacks.sort_unstable();
    Ok(caches)
}

/// Caches in a thread's own storage.
fn below(memory: &Memory, pointer: u64) -> Vec<u64> {
    let Some(segment) = pointer.checked_sub(1).and_then(|last| memory.segment_at(Addr(last))) else {
        return Vec::new();
    };
    let from = pointer.saturating_sub(SEARCHED).max(segment.start.0);
    let bytes = memory.slice(Addr(from), pointer.saturating_sub(from)).unwrap_or_default();
    let found = words(from, bytes).filter(|(at, slow)| is_cache(memory, *at, *slow));
    found.map(|(at, _)| at).collect()
}

fn is_cache(memory: &Memory, at: u64, slow: u64) -> bool {
    let back = |at: u64| slow.checked_add(at).and_then(|at| memory.u64(Addr(at)).ok());
    slow != 0 && slow.is_multiple_of(8) && back(SLOW_CACHE) == Some(at)
}

/// Adds a cache and all that are in a ring with it.
fn ring(memory: &Memory, cache: u64, seen: &mut FxHashSet<u64>) {
    let mut cache = cache;
    while seen.len() < MAX_CACHES && seen.insert(cache) {
        let next = || {
            let slow = memory.u64(Addr(cache)).ok()?;
            let slow = memory.u64(Addr(slow)).ok()?;
            let next = memory.u64(Addr(slow).plus(SLOW_CACHE)?).ok()?;
            is_cache(memory, next, memory.u64(Addr(next)).ok()?).then_some(next)
        };
        let Some(next) = next() else { break };
        cache = next;
    }
}

impl Caches {
    fn read_cache(&mut self, memory: &Memory, cache: u64) {
        let mut window = Window::new(memory);
        let mut stack = Window::new(memory);
        let slow = window.u64(cache).unwrap_or(0);
        self.stacks.extend(stack.u64(slow.saturating_add(SLOW_STACKS)));
        for class in 0..MAX_BINS {
            let bin = cache.saturating_add(CACHE_BINS).saturating_add(class.saturating_mul(CACHE_BIN));
            // The first bin that is not there ends them.
            let Some(head) = window.u64(bin).filter(|head| *head != 0) else { break };
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
