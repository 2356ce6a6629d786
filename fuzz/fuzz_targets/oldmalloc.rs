//! A heap of the allocator that musl had before 1.2.1, without a file: its bins are set up as the library does, then hostile words are
//! written over them; its chunks are hostile all through.
#![no_main]

#[path = "../heap.rs"]
mod heap;

use heap::{bytes, patch};
use libfuzzer_sys::fuzz_target;

const DATA: u64 = 0x10_0000;
const MAL: usize = 2;
const MEMORY: u64 = 0x20_0000;
const MAPPED: u64 = 0x40_0000;

fuzz_target!(|data: &[u8]| {
    let (patches, rest) = data.split_at(data.len().min(160));
    let mut bins = vec![0u64; 256];
    for bin in 0..64 {
        let head = MAL + 2 + 3 * bin;
        let own = DATA + head as u64 * 8 - 16;
        (bins[head], bins[head + 1]) = (own, own);
    }
    patch(&mut bins, patches);
    let (memory, mapped) = rest.split_at(rest.len() / 2);
    // Nothing before the first chunk, which begins at 16.
    let mut memory = memory.to_vec();
    if let Some(first) = memory.get_mut(16..24) {
        first.copy_from_slice(&1u64.to_le_bytes());
    }
    let core = heap::core("/nowhere/ld-musl-x86_64.so.1", DATA, &bytes(&bins), DATA + 0x1000)
        .load(MEMORY, 6, &memory)
        .load_part(MAPPED, 6, mapped, 0x2_0000);
    heap::walk(core, data.len());
});
