//! How the allocator lays out its chunks.

// struct chunk: psize 0, csize 8, next 16, prev 24. Source: musl 1.2.3 src/malloc/oldmalloc/malloc_impl.h.
/// Bytes of a chunk in front of what the program is given.
pub(super) const HEADER: u64 = 16;
/// Chunks are multiples of this. Source: as above, SIZE_ALIGN.
pub(super) const ALIGNMENT: u64 = 32;
/// In both sizes of a chunk that is in use. Source: as above, C_INUSE.
pub(super) const IN_USE: u64 = 1;
