//! What mallocng's structures look like on 64-bit machines; the same from musl 1.2.1 to 1.2.5. docs/layouts/mallocng.md.

/// Bytes of what slots are counted in, and of a group in front of its slots.
// Source: musl 1.2.3 src/malloc/mallocng/meta.h, UNIT; struct group: meta 0, active_idx 8.
pub(super) const UNIT: u64 = 16;
/// Bytes of a slot that its header takes, at the end of the one before.
// Source: as above, IB.
pub(super) const IN_BAND: u64 = 4;
/// Bytes of a page of metas, whatever the machine's page has.
// Source: src/malloc/mallocng/malloc.c, alloc_meta.
pub(super) const PAGE: u64 = 4096;
/// What `sizeclass` is of a block that was mapped by itself.
// Source: src/malloc/mallocng/malloc.c, malloc: MMAP_THRESHOLD.
pub(super) const CLASSLESS: u64 = 63;
/// Most slots of a group: their bits have 32.
pub(super) const MAX_SLOTS: u64 = 32;

// struct meta_area: check 0, next 8, nslots 16, slots 24. Source: src/malloc/mallocng/meta.h.
pub(super) const AREA_NEXT: u64 = 8;
pub(super) const AREA_COUNT: u64 = 16;
pub(super) const AREA_METAS: u64 = 24;
/// Bytes of `struct meta`: prev 0, next 8, mem 16, avail_mask 24, freed_mask 28, bits 32.
pub(super) const META: u64 = 40;
/// Metas of an area.
pub(super) const METAS: u64 = (PAGE - AREA_METAS) / META;

/// Units of a slot by class.
// Source: src/malloc/mallocng/malloc.c, size_classes.
pub(super) const CLASSES: [u16; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146, 170, 204, 255, 292,
    340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460, 6552, 8191,
];

/// Bytes of a slot of a class.
pub(super) fn slot(class: u64) -> Option<u64> {
    let units = CLASSES.get(usize::try_from(class).ok()?)?;
    Some(u64::from(*units).saturating_mul(UNIT))
}

// struct malloc_context. glue.h defines PAGESIZE for all machines, so that none has `pagesize` behind the secret.
// Source: src/malloc/mallocng/meta.h, src/malloc/mallocng/glue.h.
/// `init_done`: 32 bits.
pub(super) const INIT_DONE: u64 = 8;
/// `avail_meta_count`: metas of the last area that were never used.
pub(super) const UNUSED_METAS: u64 = 32;
/// `meta_area_head`; the tail follows it.
pub(super) const AREAS: u64 = 56;
/// `usage_by_class`: 48 counts of slots.
pub(super) const USAGE: u64 = 464;
