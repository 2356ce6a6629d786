//! A heap of jemalloc without a file: a root of its map and a leaf that leads to extents, whose own books and the caches of a thread are
//! hostile.
#![no_main]

#[path = "../heap.rs"]
mod heap;

use heap::{bytes, patch};
use libfuzzer_sys::fuzz_target;

/// The root's table begins here; all extents are in the first GiB.
const DATA: u64 = 0x10_0000;
/// A block of books: a leaf, behind it edatas.
const BOOK: u64 = 0x80_0000;
const LEAF: usize = 0x100;
const EDATAS: usize = LEAF + (2 << 20);
const MEMORY: u64 = 0x200_0000;
const EXTENTS: usize = 64;

fuzz_target!(|data: &[u8]| {
    let (patches, extents) = data.split_at(data.len().min(320));
    let mut own = vec![0u64; 512];
    own[0] = BOOK + LEAF as u64;
    // A cache and its slow half, which point to each other.
    let (cache, slow) = (128, 400);
    own[cache] = DATA + slow as u64 * 8;
    own[slow + 21] = DATA + cache as u64 * 8;
    patch(&mut own, patches);
    let mut book = vec![0u8; 6 << 20];
    book[..8].copy_from_slice(&(6u64 << 20).to_le_bytes());
    // 32 bytes make an extent: its page, what it is, the bits of its regions.
    for (number, extent) in extents.chunks_exact(32).take(EXTENTS).enumerate() {
        let edata = EDATAS + number * 128;
        let page = MEMORY / 4096 + u64::from(extent[0]);
        let bits = u64::from_le_bytes([extent[1], extent[2], extent[3], extent[4], extent[5], 0, 0, 0]);
        let size = u64::from(u16::from_le_bytes([extent[6], extent[7]])) << 12;
        for (place, word) in [bits, page * 4096 + u64::from(extent[8]), size].into_iter().enumerate() {
            book[edata + place * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        book[edata + 64..][..23].copy_from_slice(&extent[9..]);
        // The map agrees, most of the time.
        let of_map = BOOK + edata as u64 | bits >> 12 & 1 | (bits >> 17 & 7) << 2 | (bits >> 20 & 0xff) << 48;
        let at = LEAF + page as usize * 8;
        book[at..][..8].copy_from_slice(&(of_map ^ u64::from(extent[31] == 0xff)).to_le_bytes());
    }
    let core = heap::core("/nowhere/libjemalloc.so.2", DATA, &bytes(&own), DATA + 0x1000)
        .load(BOOK, 6, &book)
        .load_part(MEMORY, 6, data, 0x20_0000);
    heap::walk(core, EXTENTS * 512);
});
