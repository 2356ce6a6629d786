//! What jemalloc's structures look like: 5.3 on x86-64. docs/layouts/jemalloc.md.

/// Smallest page, and what the map counts in.
// Source: jemalloc 5.3.0 configure.ac, LG_PAGE of x86-64.
pub(super) const PAGE: u64 = 4096;
/// Addresses below a leaf of the map: 18 bits of pages.
// Source: include/jemalloc/internal/rtree.h, RTREE_NSB, RTREE_HEIGHT: 36 bits in two levels for LG_VADDR 48.
pub(super) const LEAF_BITS: u32 = 18;
pub(super) const LEAF_SLOTS: u64 = 1 << LEAF_BITS;
/// Bits of an address.
pub(super) const ADDRESS_BITS: u32 = 48;

// A leaf's word: bit 0 slab, 1 is_head, 2-4 state, then the edata, from 48 on szind. Source: rtree.h, rtree_leaf_elm_bits_encode.
pub(super) const SLAB: u64 = 1;
pub(super) const STATE_SHIFT: u32 = 2;
/// The edata's own alignment leaves its low bits free. Source: edata.h, EDATA_ALIGNMENT.
pub(super) const EDATA_MASK: u64 = !127;

/// `struct edata_s`: e_bits 0, e_addr 8, e_size_esn 16, the slab's bits 64. Source: edata.h.
pub(super) const EDATA_ADDRESS: u64 = 8;
pub(super) const EDATA_SIZE: u64 = 16;
pub(super) const EDATA_SLAB: u64 = 64;
/// Words of bits of a slab: its regions are 512 at most. Source: slab_data.h, bitmap.h: a set bit is a free region.
pub(super) const SLAB_WORDS: u64 = 8;

/// What `e_bits` says. Source: edata.h, EDATA_BITS_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bits {
    pub arena: u64,
    pub slab: bool,
    pub state: u64,
    pub class: u64,
    pub free: u64,
}

impl Bits {
    pub(super) fn of(word: u64) -> Bits {
        Bits {
            arena: word & 0xfff,
            slab: word >> 12 & 1 == 1,
            state: word >> 17 & 7,
            class: word >> 20 & 0xff,
            free: word >> 28 & 0x3ff,
        }
    }
}

// Source: edata.h, enum extent_state_e.
pub(super) const ACTIVE: u64 = 0;
pub(super) const DIRTY: u64 = 1;
pub(super) const MUZZY: u64 = 2;
pub(super) const RETAINED: u64 = 3;

/// Size classes. Source: sc.h, SC_NSIZES for four classes a doubling and an address space of 64 bits.
pub(super) const CLASSES: u64 = 232;
/// Classes of slabs. Source: sc.h, SC_NBINS.
pub(super) const SMALL_CLASSES: u64 = 36;

/// Bytes of a class: 8, 16, 32, 48, 64, then four of each doubling.
// Source: sc.h, the table in its comment; SC_LG_TINY_MIN 3, LG_QUANTUM 4, SC_LG_NGROUP 2.
pub(super) fn size(class: u64) -> Option<u64> {
    let Some(index) = class.checked_sub(1) else { return Some(8) };
    let (group, member) = (u32::try_from(index / 4).ok()?, index % 4 + 1);
    match group.checked_sub(1) {
        _ if class >= CLASSES => None,
        None => Some(16 * member),
        Some(shift) => 64u64.checked_shl(shift)?.checked_add(member.checked_mul(16u64.checked_shl(shift)?)?),
    }
}

// struct tcache_s: tcache_slow 0, bins 8 of 24 bytes each; cache_bin_t: stack_head 0, low_bits_full 18, low_bits_empty 20.
// Source: include/jemalloc/internal/tcache_structs.h, cache_bin.h.
pub(super) const CACHE_BINS: u64 = 8;
pub(super) const CACHE_BIN: u64 = 24;
pub(super) const BIN_EMPTY: u64 = 20;
/// Most bins. Source: tcache_types.h, TCACHE_NBINS_MAX: classes up to 8 MiB.
pub(super) const MAX_BINS: u64 = 73;
// struct tcache_slow_s: next 0, prev 8, arena 40, dyn_alloc 160, tcache 168. Source: tcache_structs.h, compiled.
pub(super) const SLOW_STACKS: u64 = 160;
pub(super) const SLOW_CACHE: u64 = 168;

/// Blocks of books begin at such an address, with their size. Source: base.c, base_block_alloc: HUGEPAGE.
pub(super) const BOOK: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_the_sizes_of_the_librarys_table() {
        let sizes: Vec<u64> = (0..14).filter_map(size).collect();
        assert_eq!(sizes, [8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]);
        assert_eq!((size(SMALL_CLASSES - 1), size(SMALL_CLASSES)), (Some(14336), Some(16384)));
        assert_eq!((size(CLASSES - 1), size(CLASSES)), (Some(0x7000_0000_0000_0000), None));
    }
}
