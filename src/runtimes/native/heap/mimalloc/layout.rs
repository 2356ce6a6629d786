//! What mimalloc's structures look like: 2.0.9, a release build without encoded lists, on 64-bit machines. docs/layouts/mimalloc.md.

/// Segments are aligned to this. Source: mimalloc 2.0.9 include/mimalloc-types.h, MI_SEGMENT_SHIFT.
pub(super) const SEGMENT: u64 = 32 << 20;
/// Source: as above, MI_SEGMENT_SLICE_SHIFT.
pub(super) const SLICE: u64 = 64 << 10;
/// Slices of a segment that is not huge. Source: as above, MI_SLICES_PER_SEGMENT.
pub(super) const SLICES: u64 = SEGMENT / SLICE;

// struct mi_segment_s: cookie 216, segment_slices 224, segment_info_slices 232, kind 240 (32 bits), slice_entries 248, slices 264.
// Source: as above, compiled with NDEBUG.
pub(super) const COOKIE: u64 = 216;
pub(super) const SEGMENT_SLICES: u64 = 224;
pub(super) const INFO_SLICES: u64 = 232;
pub(super) const KIND: u64 = 240;
pub(super) const ENTRIES: u64 = 248;
pub(super) const FIRST_SLICE: u64 = 264;
/// Kinds: normal, huge. Source: as above, mi_segment_kind_t.
pub(super) const MAX_KIND: u32 = 1;

// struct mi_page_s, one for each slice: slice_count 0 (32 bits), capacity 10 (16), reserved 12 (16), flags 14 (8), free 16, used 24 (32),
// xblock_size 28 (32), local_free 32, xthread_free 40, xheap 48. Source: as above.
pub(super) const PAGE: u64 = 80;
pub(super) const CAPACITY: u64 = 10;
pub(super) const RESERVED: u64 = 12;
pub(super) const FLAGS: u64 = 14;
pub(super) const FREE: u64 = 16;
pub(super) const USED: u64 = 24;
pub(super) const BLOCK: u64 = 28;
pub(super) const LOCAL_FREE: u64 = 32;
pub(super) const THREAD_FREE: u64 = 40;
pub(super) const HEAP: u64 = 48;
/// Of `flags`: some blocks were asked for with an alignment. Source: as above, mi_page_flags_t.
pub(super) const HAS_ALIGNED: u8 = 2;
/// Of `xthread_free`: no part of the address. Source: as above, mi_delayed_t.
pub(super) const THREAD_FREE_FLAGS: u64 = 3;
/// Blocks of this size and more fill their page. Source: as above, MI_HUGE_BLOCK_SIZE.
pub(super) const HUGE_BLOCK: u64 = 2 << 30;

// struct mi_heap_s: thread_delayed_free 2840, cookie 2864, page_count 3024; 3064 bytes. Source: as above.
pub(super) const DELAYED: u64 = 2840;
pub(super) const PAGE_COUNT: u64 = 3024;
pub(super) const HEAP_BYTES: u64 = 3064;

/// Bytes in front of the first block of a page: pages of small blocks do not begin with a system's page.
// Source: mimalloc 2.0.9 src/segment.c, _mi_segment_page_start_from_slice; MI_MAX_ALIGN_GUARANTEE 128.
pub(super) fn ahead(block: u64) -> u64 {
    if (8..=1024).contains(&block) { 3 * 128 } else { 0 }
}
