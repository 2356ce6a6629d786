//! What tcmalloc's structures look like: those of gperftools 2.10, on 64-bit machines. docs/layouts/tcmalloc.md.

/// Bytes of its pages: 8 KiB. Source: gperftools 2.10 src/common.h, kPageShift.
pub(super) const PAGE_SHIFT: u32 = 13;
/// Most classes. Source: src/common.h, kClassSizesMax; class 0 is no class.
pub(super) const CLASSES: u64 = 128;
/// The largest class. Source: src/common.h, kMaxSize.
pub(super) const MAX_SIZE: u64 = 256 << 10;

/// Pages below a leaf of the map, and leaves: two levels for 48 bits of address.
// Source: src/pagemap.h, TCMalloc_PageMap2; src/common.h, kAddressBits.
pub(super) const LEAF_BITS: u32 = 18;
pub(super) const LEAF_SLOTS: u64 = 1 << LEAF_BITS;
pub(super) const ROOT_SLOTS: u64 = 1 << 17;

// struct PageHeap from the root on: 1 MiB, allocator_, large_normal_ and large_returned_ of 48 bytes each, free_: 128 times two Spans, then
// Stats: system_bytes, free_bytes, unmapped_bytes. Source: src/page_heap.h, compiled.
pub(super) const STATISTICS: u64 = ROOT_SLOTS * 8 + 8 + 2 * 48 + 128 * 2 * SPAN;

// struct Span: start 0, length 8, next 16, prev 24, objects 32, refcount 40 (16 bits), sizeclass 42 (8), location 43 (2).
// Source: src/span.h, compiled.
pub(super) const SPAN: u64 = 48;
/// Most objects of a span: `refcount` has 16 bits.
pub(super) const MAX_OBJECTS: u64 = 0xffff;
pub(super) const SPAN_OBJECTS: u64 = 32;
pub(super) const SPAN_BITS: u64 = 40;

/// Where a span is. Source: src/span.h, IN_USE, ON_NORMAL_FREELIST, ON_RETURNED_FREELIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    InUse,
    Free,
    Returned,
}

impl Location {
    pub(super) fn of(number: u64) -> Option<Location> {
        match number {
            0 => Some(Location::InUse),
            1 => Some(Location::Free),
            2 => Some(Location::Returned),
            _ => None,
        }
    }
}

// class ThreadCache: list_ 0, of 32 bytes each: list_ 0, length_ 8, size_ 24; size_ 4096, next_ 4144, prev_ 4152.
// Source: src/thread_cache.h, compiled.
pub(super) const FREE_LIST: u64 = 32;
pub(super) const LIST_LENGTH: u64 = 8;
pub(super) const LIST_SIZE: u64 = 24;
pub(super) const CACHE_SIZE: u64 = 4096;
pub(super) const CACHE_NEXT: u64 = 4144;
pub(super) const CACHE_PREVIOUS: u64 = 4152;

// class CentralFreeListPadded: size_class_ 8, tc_slots_ 128 of 16 bytes each (head, tail), used_slots_ 1152; padded to 64.
// Source: src/central_freelist.h, compiled.
pub(super) const CENTRAL: u64 = 1216;
pub(super) const CENTRAL_CLASS: u64 = 8;
pub(super) const CENTRAL_SLOTS: u64 = 128;
pub(super) const CENTRAL_USED: u64 = 1152;
pub(super) const MAX_TRANSFERS: u64 = 64;
