//! Free lists whose blocks look as if they were in use: caches of threads, fast bins.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::layout::{ALIGNMENT, BINS, FASTBINS, FLAGS, HEADER, IS_MAPPED, Layout, MIN_CHUNK, TCACHE_SMALL};
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Arch};
use crate::runtimes::native::heap::reading::Window;
use crate::runtimes::native::static_tls;
use crate::target::Target;

/// Most blocks in a list of a thread's cache. Source: glibc 2.30 malloc/malloc.c, MAX_TCACHE_COUNT: the largest of 16
/// bits.
const MAX_CACHED: u64 = 0xffff;
/// Most blocks of all these lists.
const MAX_LISTED: usize = 1 << 27;
/// Chunks of a list between two looks at how many there are of all.
const STRIDE: usize = 1 << 12;
/// Bytes of thread-local storage that are searched, where the modules do not tell that there are more.
const MIN_STORAGE: u64 = 4096;
/// Free chunks of a bin that are looked up.
const LOOKED_UP: usize = 1024;
/// Threads by which the place of a thread's cache is found; the others must agree.
const ASKED: usize = 64;

/// The lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// The chunks that hold threads' caches, ascending.
    pub caches: Vec<u64>,
    /// Threads whose cache cannot be read, and all threads; (0, 0) where no cache was found at all.
    pub lost: (usize, usize),
    /// Chunks in caches and their sizes, ascending.
    pub cached: Vec<(u64, u64)>,
    /// Chunks in fast bins: (blocks, bytes) of each arena.
    pub fast: Vec<(u64, u64)>,
    /// Those chunks, ascending.
    pub fast_chunks: Vec<u64>,
    /// What is wrong with lists.
    pub broken: Vec<Broken>,
}

/// A list that cannot be followed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// Where its head is.
    pub head: u64,
    /// The link that cannot be followed.
    pub link: u64,
    /// Whether what it leads to is not in the dump; else it is no chunk of this list.
    pub is_missing: bool,
}

impl Broken {
    /// `needed`: the words that would have told.
    fn of(memory: &Memory, head: u64, link: u64, needed: [u64; 2]) -> Broken {
        let is_left_out = |at: &u64| memory.u64(Addr(*at)).is_err() && memory.region_at(Addr(*at)).is_some();
        Broken { head, link, is_missing: needed.iter().any(is_left_out) }
    }
}

/// Reads all lists. `arenas`: their books.
pub(super) fn read(target: &Target, arenas: &[u64], layout: &Layout, job: &Job) -> Result<Lists, Error> {
    let mut lists = Lists::default();
    let memory = &target.memory;
    (lists.caches, lists.lost) = caches(target, layout, job)?;
    for cache in lists.caches.clone() {
        job.check()?;
        lists.read_cache(memory, cache.saturating_add(HEADER), layout);
    }
    lists.read_fast(memory, arenas, layout, job)?;
    lists.cached.sort_unstable();
    lists.cached.dedup_by_key(|(chunk, _)| *chunk);
    lists.fast_chunks.par_sort_unstable();
    lists.fast_chunks.dedup();
    Ok(lists)
}

impl Lists {
    /// All chunks that are no blocks in use though they look so: those of the lists, and the caches themselves.
    /// Ascending.
    pub(super) fn hidden(&self) -> Vec<u64> {
        let cached = self.cached.iter().map(|(chunk, _)| *chunk);
        let mut all: Vec<u64> =
            cached.chain(self.fast_chunks.iter().copied()).chain(self.caches.iter().copied()).collect();
        // Three runs that ascend: this sort takes them as they are.
        all.sort();
        all.dedup();
        all
    }

    fn read_cache(&mut self, memory: &Memory, cache: u64, layout: &Layout) {
        let tcache = &layout.tcache;
        for list in 0..tcache.lists {
            let head = cache.saturating_add(tcache.entries()).saturating_add(list.saturating_mul(8));
            let Ok(mut block) = memory.u64(Addr(head)) else {
                self.broken.push(Broken::of(memory, head, head, [head, head]));
                continue;
            };
            let limit = match count(memory, cache, list, layout) {
                Some(count) if tcache.counted => count,
                _ => MAX_CACHED,
            };
            let mut read = 0u64;
            while block != 0 && read < limit && self.cached.len() < MAX_LISTED {
                let size = is_cached(memory, block, list);
                let (Some(size), Some(link)) = (size, memory.u64(Addr(block)).ok()) else {
                    self.broken.push(Broken::of(memory, head, block, [block, block.wrapping_sub(8)]));
                    break;
                };
                self.cached.push((block.saturating_sub(HEADER), size));
                block = revealed(link, block, layout);
                read = read.saturating_add(1);
            }
            // The last one links nowhere, and the count says which it is.
            if tcache.counted
                && (read < limit) | (block != 0)
                && self.broken.last().is_none_or(|broken| broken.head != head)
            {
                self.broken.push(Broken::of(memory, head, block, [block, block.wrapping_sub(8)]));
            }
        }
    }

    /// The fast bins of all arenas, at once: each is a list that goes to and fro in memory.
    fn read_fast(&mut self, memory: &Memory, arenas: &[u64], layout: &Layout, job: &Job) -> Result<(), Error> {
        self.fast = vec![(0, 0); arenas.len()];
        let Some(bins) = layout.state.fastbins else { return Ok(()) };
        let of_arena = |(number, arena): (usize, &u64)| {
            let first = arena.saturating_add(bins);
            (0..FASTBINS).map(move |bin| (number, bin, first.saturating_add(bin.saturating_mul(8))))
        };
        let all: Vec<(usize, u64, u64)> = arenas.iter().enumerate().flat_map(of_arena).collect();
        let listed = AtomicUsize::new(0);
        let read = |(number, bin, head)| Ok((number, head, FastBin::read(memory, bin, head, layout, &listed, job)?));
        for (number, head, bin) in all.into_par_iter().map(read).collect::<Result<Vec<_>, Error>>()? {
            let count = bin.chunks.len() as u64;
            if let Some((blocks, bytes)) = self.fast.get_mut(number) {
                *blocks = blocks.saturating_add(count);
                *bytes = bytes.saturating_add(count.saturating_mul(bin.size));
            }
            self.fast_chunks.extend(bin.chunks);
            let header = |chunk: u64| [chunk.wrapping_add(8), chunk.wrapping_add(HEADER)];
            self.broken.extend(bin.broken.map(|link| Broken::of(memory, head, link, header(link))));
        }
        Ok(())
    }
}

/// A list of free chunks of one size.
struct FastBin {
    size: u64,
    chunks: Vec<u64>,
    /// The link that cannot be followed.
    broken: Option<u64>,
}

impl FastBin {
    /// `listed`: chunks of all such lists.
    fn read(
        memory: &Memory,
        bin: u64,
        head: u64,
        layout: &Layout,
        listed: &AtomicUsize,
        job: &Job,
    ) -> Result<FastBin, Error> {
        let size = MIN_CHUNK.saturating_add(bin.saturating_mul(ALIGNMENT));
        let mut read = FastBin { size, chunks: Vec::new(), broken: None };
        let mut window = Window::new(memory);
        let mut chunk = memory.u64(Addr(head)).unwrap_or(0);
        let mut is_full = false;
        // Brent: a list that goes round comes by a chunk that was marked at a power of two.
        let (mut marked, mut steps, mut until) = (0u64, 0u64, 1u64);
        while chunk != 0 {
            let header = chunk.checked_add(8).and_then(|at| window.u64(at));
            let at = chunk.saturating_add(HEADER);
            let link =
                window.u64(at).filter(|_| chunk.is_multiple_of(ALIGNMENT)).map(|link| revealed(link, at, layout));
            let is_good = header.is_some_and(|header| header & !FLAGS == size && header & IS_MAPPED == 0);
            let (true, Some(link)) = (is_good && chunk != marked && !is_full, link) else {
                read.broken = Some(chunk);
                break;
            };
            read.chunks.push(chunk);
            steps = steps.saturating_add(1);
            if steps == until {
                (marked, until) = (chunk, until.saturating_mul(2));
            }
            if steps.is_multiple_of(STRIDE as u64) {
                job.check()?;
                is_full = listed.fetch_add(STRIDE, Ordering::Relaxed) > MAX_LISTED;
            }
            chunk = link;
        }
        Ok(read)
    }
}

/// Some of the chunks in an arena's bins, which are chunks for certain: their neighbours in the list agree.
pub(super) fn some_of_bins(memory: &Memory, arena: u64, layout: &Layout, found: &mut Vec<u64>) {
    let bins = arena.saturating_add(layout.state.bins);
    for bin in 0..BINS {
        let head = bins.saturating_add(bin.saturating_mul(16));
        let own = head.wrapping_sub(HEADER);
        let mut before = own;
        let mut chunk = memory.u64(Addr(head)).unwrap_or(own);
        for _ in 0..LOOKED_UP {
            let link = |offset: u64| chunk.checked_add(offset).and_then(|at| memory.u64(Addr(at)).ok());
            let (Some(next), Some(back)) = (link(16), link(24)) else { break };
            if chunk == own || back != before || !chunk.is_multiple_of(ALIGNMENT) {
                break;
            }
            found.push(chunk);
            (before, chunk) = (chunk, next);
        }
    }
}

/// A link as it was before it was disguised.
// Source: glibc 2.32 malloc/malloc.c, PROTECT_PTR: the address that it stands at, shifted by twelve.
fn revealed(link: u64, at: u64, layout: &Layout) -> u64 {
    if layout.safe_linking { link ^ (at >> 12) } else { link }
}

/// The size of the chunk whose block is in a list of a cache; `None` where it cannot be there.
fn is_cached(memory: &Memory, block: u64, list: u64) -> Option<u64> {
    let header = memory.u64(Addr(block).minus(8)?).ok().filter(|_| block.is_multiple_of(ALIGNMENT))?;
    let size = header & !FLAGS;
    let expected = MIN_CHUNK.saturating_add(list.saturating_mul(ALIGNMENT));
    let fits = if list < TCACHE_SMALL { size == expected } else { size > MIN_CHUNK };
    (fits && header & IS_MAPPED == 0).then_some(size)
}

fn count(memory: &Memory, cache: u64, list: u64, layout: &Layout) -> Option<u64> {
    let at = Addr(cache.checked_add(list.checked_mul(layout.tcache.count_bytes)?)?);
    match layout.tcache.count_bytes {
        1 => memory.u8(at).ok().map(u64::from),
        _ => memory.u16(at).ok().map(u64::from),
    }
}

/// Whether a chunk as large as a thread's cache is at an address.
fn is_cache_chunk(memory: &Memory, cache: u64, layout: &Layout) -> bool {
    let at = cache.checked_sub(8).filter(|_| cache.is_multiple_of(ALIGNMENT));
    let header = at.and_then(|at| memory.u64(Addr(at)).ok());
    header.is_some_and(|header| header & !FLAGS == layout.tcache.chunk() && header & IS_MAPPED == 0)
}

/// Whether a thread's cache may be at an address, of which nothing is damaged.
fn is_cache(memory: &Memory, cache: u64, layout: &Layout) -> bool {
    let tcache = &layout.tcache;
    is_cache_chunk(memory, cache, layout)
        && (0..tcache.lists).all(|list| {
            let head = cache.saturating_add(tcache.entries()).saturating_add(list.saturating_mul(8));
            let (Ok(block), Some(count)) = (memory.u64(Addr(head)), count(memory, cache, list, layout)) else {
                return false;
            };
            match block {
                0 => !tcache.counted || count == 0,
                _ => is_cached(memory, block, list).is_some() && (!tcache.counted || count > 0),
            }
        })
}

/// The chunks that hold the caches of threads, ascending. They are found in thread-local storage: `tcache` is a
/// variable of the C library at the same distance from every thread pointer. With them how many threads have one that
/// cannot be read, of how many.
fn caches(target: &Target, layout: &Layout, job: &Job) -> Result<(Vec<u64>, (usize, usize)), Error> {
    let memory = &target.memory;
    let pointers: Vec<u64> =
        target.capture.threads.iter().filter_map(|thread| thread.thread_pointer.as_ref().ok().map(|at| at.0)).collect();
    let size = static_tls::size(target).max(MIN_STORAGE);
    let mut votes: FxHashMap<u64, u32> = FxHashMap::default();
    for pointer in pointers.iter().take(ASKED) {
        job.check()?;
        // Source: ELF Handling For Thread-Local Storage, variants I (aarch64) and II (x86-64).
        let from = match target.arch() {
            Arch::X86_64 => {
                let lowest = memory.segment_at(Addr(*pointer)).map_or(0, |segment| segment.start.0);
                pointer.saturating_sub(size).max(lowest)
            }
            Arch::Aarch64 => *pointer,
        };
        let Ok(bytes) = memory.slice_up_to(Addr(from), size) else { continue };
        for (index, word) in memory.pointers(bytes).enumerate() {
            let at = from.saturating_add((index as u64).saturating_mul(8));
            if memory.is_pointer(word) && is_cache(memory, word.0, layout) {
                let vote = votes.entry(at.wrapping_sub(*pointer)).or_default();
                *vote = vote.saturating_add(1);
            }
        }
    }
    // One place for all threads; where several agree, the one that is the same on every run.
    let Some((&distance, _)) = votes.iter().max_by_key(|(distance, votes)| (**votes, **distance)) else {
        return Ok((Vec::new(), (0, 0)));
    };
    let cache_of = |pointer: &u64| memory.u64(Addr(pointer.wrapping_add(distance))).ok();
    let mut found: Vec<u64> = Vec::new();
    let all = target.capture.threads.len();
    let mut lost = all.saturating_sub(pointers.len());
    for pointer in &pointers {
        match cache_of(pointer) {
            // What is damaged in it is told list by list.
            Some(cache) if is_cache_chunk(memory, cache, layout) => found.push(cache.saturating_sub(HEADER)),
            // None yet, or no more: in newer versions that is a constant of the library.
            // Source: glibc 2.43 malloc/malloc.c, __tcache_dummy.
            Some(0) => {}
            Some(cache) if target.module_at(Addr(cache)).is_some() => {}
            Some(_) | None => lost = lost.saturating_add(1),
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok((found, (lost, all)))
}
