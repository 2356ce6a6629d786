//! A heap of tcmalloc without a file: a root of its map, a leaf that leads to spans, a thread's cache and central lists are set up as the
//! library does; spans are hostile, as is what objects hold, and hostile words are written over the rest.
#![no_main]

#[path = "../heap.rs"]
mod heap;

use heap::{bytes, patch};
use libfuzzer_sys::fuzz_target;

/// The root's table begins here; all spans are in the first 2 GiB.
const DATA: u64 = 0x10_0000;
const STATISTICS: usize = 1_060_968 / 8;
const CENTRAL: usize = STATISTICS + 16;
const HEAPS: usize = CENTRAL + 128 * 152;
const WORDS: usize = HEAPS + 2;
const LEAF: u64 = 0x80_0000;
const SPANS: u64 = 0xa0_0000;
const CACHE: u64 = 0xb0_0000;
const MEMORY: u64 = 0x200_0000;
const COUNT: usize = 64;

fuzz_target!(|data: &[u8]| {
    let (patches, rest) = data.split_at(data.len().min(320));
    let (of_spans, memory) = rest.split_at(rest.len().min(COUNT * 16));
    let mut own = vec![0u64; WORDS];
    own[0] = LEAF;
    for class in 0..128 {
        own[CENTRAL + class * 152 + 1] = class as u64;
    }
    own[HEAPS] = CACHE;
    let mut cache = vec![0u64; 520];
    for class in 1..=16 {
        cache[class * 4 + 3] = 8 << (class - 1);
    }
    let (mut leaf, mut spans) = (vec![0u64; 1 << 18], vec![0u64; COUNT * 6]);
    let mut page = MEMORY >> 13;
    // Sixteen bytes make a span: its length, its free objects, what it is.
    for (number, span) in of_spans.chunks_exact(16).enumerate() {
        let length = u64::from(span[0]) + 1;
        let objects = u64::from_le_bytes([span[1], span[2], span[3], span[4], 0, 0, 0, 0]);
        let bits = u64::from_le_bytes([span[5], span[6], span[7], span[8], span[9], 0, 0, 0]);
        spans[number * 6..][..6].copy_from_slice(&[page, length, 0, 0, objects, bits]);
        leaf[page as usize] = SPANS + number as u64 * 48;
        own[STATISTICS] += length << 13;
        match bits >> 24 & 3 {
            1 => own[STATISTICS + 1] += length << 13,
            2 => own[STATISTICS + 2] += length << 13,
            _ => {}
        }
        page += length;
    }
    let (of_cache, of_central) = patches.split_at(patches.len() / 2);
    patch(&mut cache, of_cache);
    patch(&mut own[CENTRAL..], of_central);
    let core = heap::core("/nowhere/libtcmalloc.so.4", DATA, &bytes(&own), 0)
        .load(LEAF, 6, &bytes(&leaf))
        .load(SPANS, 6, &bytes(&spans))
        .load(CACHE, 6, &bytes(&cache))
        .load_part(MEMORY, 6, memory, 0x1000_0000);
    // The smallest class has 8 bytes.
    heap::walk(core, COUNT * 256 * 1024);
});
