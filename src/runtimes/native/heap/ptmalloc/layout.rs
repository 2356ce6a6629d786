//! What ptmalloc's structures look like, by version of glibc, on 64-bit machines. docs/layouts/ptmalloc.md.

/// Versions of glibc that keep their books alike.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The first of them.
    pub since: (u32, u32),
    /// `struct malloc_state`.
    pub state: State,
    /// `struct malloc_par`.
    pub par: Par,
    /// Bytes of `heap_info`, in front of what a heap of an arena holds.
    pub heap_info: u64,
    /// `struct tcache_perthread_struct`.
    pub tcache: Tcache,
    /// Whether links of free lists are disguised with the address that they stand at.
    pub safe_linking: bool,
    /// Bytes of a mapping behind the chunk that it was made for.
    pub behind_mapped: u64,
}

/// An arena's books: offsets in `struct malloc_state`. Counted from `bins` on all versions agree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Heads of the fast bins, where there are any.
    pub fastbins: Option<u64>,
    /// The chunk that borders the end; `last_remainder` and the bins follow it.
    pub top: u64,
    /// Heads of the bins: pairs of pointers.
    pub bins: u64,
}

impl State {
    /// The next arena: behind the bins and four words of 32 bits, their map.
    pub(super) fn next(&self) -> u64 {
        self.bins.saturating_add(BINS_BYTES).saturating_add(16)
    }

    /// Bytes from the system: behind `next`, `next_free` and `attached_threads`.
    pub(super) fn system(&self) -> u64 {
        self.next().saturating_add(24)
    }

    /// The whole structure: `max_system_mem` is last.
    pub(super) fn size(&self) -> u64 {
        self.system().saturating_add(16)
    }
}

/// The process's parameters and counts: offsets in `struct malloc_par`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Par {
    /// Page size of huge heaps, where there is such a parameter.
    pub huge_page: Option<u64>,
    /// `n_mmaps`; `n_mmaps_max`, `max_n_mmaps` and `no_dyn_threshold` follow, each of 32 bits.
    pub mmaps: u64,
    /// `mmapped_mem`; its maximum and `sbrk_base` follow.
    pub mmapped: u64,
}

impl Par {
    /// `sbrk_base`.
    pub(super) fn sbrk_base(&self) -> u64 {
        self.mmapped.saturating_add(16)
    }
}

/// A thread's cache.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tcache {
    /// Bytes of each count.
    pub count_bytes: u64,
    /// Lists.
    pub lists: u64,
    /// Whether the counts tell how many blocks a list holds; since 2.42 they tell how many more it may hold.
    pub counted: bool,
}

impl Tcache {
    /// Where the heads of the lists are: behind the counts.
    pub(super) fn entries(&self) -> u64 {
        self.lists.saturating_mul(self.count_bytes)
    }

    /// The chunk that holds it.
    pub(super) fn chunk(&self) -> u64 {
        let bytes = self.entries().saturating_add(self.lists.saturating_mul(8));
        bytes.saturating_add(8).next_multiple_of(ALIGNMENT)
    }
}

/// Lists whose blocks are all of one size; those beyond hold a range of sizes.
// Source: glibc 2.42 malloc/malloc.c, TCACHE_SMALL_BINS; TCACHE_MAX_BINS before.
pub(super) const TCACHE_SMALL: u64 = 64;
/// Fast bins. Source: glibc 2.36 malloc/malloc.c, NFASTBINS for a MAX_FAST_SIZE of 160.
pub(super) const FASTBINS: u64 = 10;
/// Bins, from 1. Source: malloc/malloc.c, NBINS - 1.
pub(super) const BINS: u64 = 127;
/// Bytes of their heads: two pointers each.
const BINS_BYTES: u64 = BINS * 16;
/// Source: malloc/malloc.c, MALLOC_ALIGNMENT.
pub(super) const ALIGNMENT: u64 = 16;
/// The smallest chunk. Source: malloc/malloc.c, MINSIZE.
pub(super) const MIN_CHUNK: u64 = 32;
/// Chunks that end a stretch of memory and belong to nobody. Source: malloc/malloc.c, sysmalloc: "fenceposts".
pub(super) const FENCE: u64 = 16;
/// Bytes of a chunk in front of what the program is given: `prev_size`, `size`.
pub(super) const HEADER: u64 = 16;

// Bits of `size`. Source: malloc/malloc.c, PREV_INUSE, IS_MMAPPED, NON_MAIN_ARENA, SIZE_BITS.
pub(super) const PREV_IN_USE: u64 = 1;
pub(super) const IS_MAPPED: u64 = 2;
pub(super) const NOT_MAIN: u64 = 4;
pub(super) const FLAGS: u64 = 7;

/// Heaps of arenas are aligned to this, and no longer. Source: malloc/arena.c, HEAP_MAX_SIZE: twice
/// DEFAULT_MMAP_THRESHOLD_MAX, which is 4 MiB times sizeof (long).
pub(super) const HEAP_MAX: u64 = 64 << 20;
/// With huge pages: this many of them. Source: glibc 2.35 malloc/arena.c, heap_max_size.
pub(super) const HUGE_PAGES_OF_HEAP: u64 = 4;

// Sources: glibc malloc/malloc.c, malloc/arena.c, at the tags of these versions and the one before each.
const STATE_2_26: State = State { fastbins: Some(8), top: 88, bins: 104 };
/// With `have_fastchunks`.
const STATE_2_27: State = State { fastbins: Some(16), top: 96, bins: 112 };
/// Without fast bins.
const STATE_2_43: State = State { fastbins: None, top: 8, bins: 24 };
const PAR_2_26: Par = Par { huge_page: None, mmaps: 40, mmapped: 56 };
/// With `thp_pagesize`, `hp_pagesize`, `hp_flags`.
const PAR_2_35: Par = Par { huge_page: Some(48), mmaps: 60, mmapped: 80 };
/// With `thp_mode`.
const PAR_2_43: Par = Par { huge_page: Some(56), mmaps: 68, mmapped: 88 };
const TCACHE_2_26: Tcache = Tcache { count_bytes: 1, lists: 64, counted: true };
const TCACHE_2_30: Tcache = Tcache { count_bytes: 2, lists: 64, counted: true };
const TCACHE_2_42: Tcache = Tcache { count_bytes: 2, lists: 76, counted: false };

/// All that are known, the newest first.
pub(super) const LAYOUTS: [Layout; 7] = [
    Layout {
        since: (2, 43),
        state: STATE_2_43,
        par: PAR_2_43,
        heap_info: 48,
        tcache: TCACHE_2_42,
        safe_linking: true,
        behind_mapped: 16,
    },
    Layout {
        since: (2, 42),
        state: STATE_2_27,
        par: PAR_2_35,
        heap_info: 48,
        tcache: TCACHE_2_42,
        safe_linking: true,
        behind_mapped: 0,
    },
    Layout {
        since: (2, 35),
        state: STATE_2_27,
        par: PAR_2_35,
        heap_info: 48,
        tcache: TCACHE_2_30,
        safe_linking: true,
        behind_mapped: 0,
    },
    Layout {
        since: (2, 32),
        state: STATE_2_27,
        par: PAR_2_26,
        heap_info: 32,
        tcache: TCACHE_2_30,
        safe_linking: true,
        behind_mapped: 0,
    },
    Layout {
        since: (2, 30),
        state: STATE_2_27,
        par: PAR_2_26,
        heap_info: 32,
        tcache: TCACHE_2_30,
        safe_linking: false,
        behind_mapped: 0,
    },
    Layout {
        since: (2, 27),
        state: STATE_2_27,
        par: PAR_2_26,
        heap_info: 32,
        tcache: TCACHE_2_26,
        safe_linking: false,
        behind_mapped: 0,
    },
    Layout {
        since: (2, 26),
        state: STATE_2_26,
        par: PAR_2_26,
        heap_info: 32,
        tcache: TCACHE_2_26,
        safe_linking: false,
        behind_mapped: 0,
    },
];

/// All layouts, that of a version first.
pub(super) fn candidates(version: Option<(u32, u32)>) -> impl Iterator<Item = &'static Layout> {
    let named = version.and_then(|version| LAYOUTS.iter().find(|layout| layout.since <= version));
    let others = LAYOUTS.iter().filter(move |layout| named.is_none_or(|named| named.since != layout.since));
    named.into_iter().chain(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_have_the_sizes_that_were_seen() {
        // 2.36: 2,200 bytes, next at 2,160, system_mem at 2,184; the cache's chunk has 0x290.
        let state = &STATE_2_27;
        assert_eq!((state.next(), state.system(), state.size()), (2160, 2184, 2200));
        assert_eq!([TCACHE_2_26.chunk(), TCACHE_2_30.chunk(), TCACHE_2_42.chunk()], [0x250, 0x290, 0x300]);
        assert_eq!(PAR_2_35.sbrk_base(), 96);
    }

    #[test]
    fn the_layout_of_a_version_is_tried_first() {
        let first = |version| candidates(version).next().map(|layout| layout.since);
        assert_eq!(first(Some((2, 36))), Some((2, 35)));
        assert_eq!(first(Some((2, 31))), Some((2, 30)));
        assert_eq!(first(Some((2, 99))), Some((2, 43)));
        assert_eq!(first(None), Some((2, 43)));
        assert_eq!(candidates(Some((2, 31))).count(), LAYOUTS.len());
        assert_eq!(
            candidates(Some((2, 25))).next().map(|layout| layout.since),
            Some((2, 43)),
            "not known: tried in turn"
        );
    }
}
