//! The heap of a C library without a file: its books are set up as the library does, then hostile words are written
//! over them; what its arenas hold is hostile all through.
#![no_main]

#[path = "../heap.rs"]
mod heap;

use heap::{bytes, patch};
use libfuzzer_sys::fuzz_target;

/// The library's data: an arena as 2.27 and later have it, behind it the parameters, then thread-local storage.
const BOOKS: u64 = 0x10_0000;
const LIBRARY: &str = "/nowhere/libc.so.6";
const WORDS: usize = 512;
const BINS: usize = 14;
const NEXT: usize = 270;
const PARAMETERS: usize = 288;
/// Below the break.
const MAIN: u64 = 0x20_0000;
/// A heap of another arena.
const HEAP: u64 = 0x400_0000;

fuzz_target!(|data: &[u8]| {
    let (patches, memory) = data.split_at(data.len().min(320));
    let (main, other) = memory.split_at(memory.len() / 2);
    let end = MAIN + main.len() as u64;
    let mut books = vec![0u64; WORDS];
    for bin in 0..127 {
        let own = BOOKS + (BINS + 2 * bin) as u64 * 8 - 16;
        (books[BINS + 2 * bin], books[BINS + 2 * bin + 1]) = (own, own);
    }
    books[BINS - 2] = end.saturating_sub(16) & !15;
    (books[NEXT], books[NEXT + 2], books[NEXT + 3]) = (BOOKS, 1, main.len() as u64);
    // n_mmaps_max, top_pad, arena_test, sbrk_base: as the library starts.
    (books[PARAMETERS + 1], books[PARAMETERS + 3], books[PARAMETERS + 8]) = (128 << 10, 8, 65536);
    books[PARAMETERS + 12] = MAIN;
    patch(&mut books, patches);
    let core = heap::core(LIBRARY, BOOKS, &bytes(&books), BOOKS + 8 * WORDS as u64);
    let core = core.load(MAIN, 6, main).load(HEAP, 6, other);
    // Mapped blocks take a page each, others 32 bytes.
    heap::walk(core, data.len());
});
