//! The heap of a C library without a file: its books are set up as the library does, then hostile words are written
//! over them; what its arenas hold is hostile all through.
#![no_main]

use std::path::PathBuf;

use dumpscope::job::Job;
use dumpscope::session::{Session, Source};
use dumpscope::target::Search;
use libfuzzer_sys::fuzz_target;
use support::core_writer::{CoreWriter, files, module_page, prstatus_x86_64};
use symbols::FileBytes;

/// The library's data: an arena as 2.27 and later have it, behind it the parameters, then thread-local storage.
const BOOKS: u64 = 0x10_0000;
const LIBRARY: &str = "/nowhere/libc.so.6";
const CODE: u64 = BOOKS - 0x1000;
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
    let (main, heap) = memory.split_at(memory.len() / 2);
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
    // Each patch is the place of a word and an address of three bytes or more.
    for patch in patches.chunks_exact(8) {
        let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % WORDS;
        books[place] = u64::from_le_bytes([patch[2], patch[3], patch[4], patch[5], patch[6], patch[7], 0, 0]);
    }
    let books: Vec<u8> = books.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut registers = [0; 27];
    registers[21] = BOOKS + 8 * WORDS as u64;
    let core = CoreWriter::x86_64()
        .note("CORE", 1, &prstatus_x86_64(1, 11, &registers))
        .note("CORE", 0x4649_4c45, &files(&[(CODE, BOOKS, 0, LIBRARY), (BOOKS, BOOKS + 0x1000, 1, LIBRARY)]))
        .load(CODE, 5, &module_page(&[(5, 0, 0, 0x1000), (6, 0x1000, 0x1000, 0x1000)], b"12345678"))
        .load(BOOKS, 6, &books)
        .load(MAIN, 6, main)
        .load(HEAP, 6, heap);
    let job = Job::default();
    let source = Source::Bytes(PathBuf::from("core"), FileBytes::from_vec(core.bytes()));
    let session = Session::open(source, &Search { alone: true, ..Search::default() }, &job).expect("the core opens");
    let Ok(heap) = session.heap(&job) else { return };
    let mut blocks = 0usize;
    for part in 0..heap.source.parts() {
        let count = &mut |_| {
            blocks += 1;
            Ok(())
        };
        heap.source.objects(part, &mut job.meter(), count).expect("nobody cancels");
    }
    // Mapped blocks take a page each, others 32 bytes.
    assert!(blocks <= data.len(), "{blocks} blocks in {} bytes", data.len());
    heap.source.arenas(&job).expect("nobody cancels");
    heap.source.problems();
});
