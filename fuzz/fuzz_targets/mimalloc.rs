//! A heap of mimalloc without a file: a segment is set up as the library does; its pages are hostile, as is what blocks hold, and hostile
//! words are written over the rest.
#![no_main]

#[path = "../heap.rs"]
mod heap;

use heap::{bytes, patch};
use libfuzzer_sys::fuzz_target;

const DATA: u64 = 0x10_0000;
const COOKIE: u64 = 0xc00c_1e00_0001;
const SEGMENT: u64 = 32 << 20;
const SLICES: usize = 512;
const FIRST: usize = 33;
const SLICE: usize = 64 << 10;

fuzz_target!(|data: &[u8]| {
    let (patches, rest) = data.split_at(data.len().min(160));
    let (pages, memory) = rest.split_at(rest.len().min(SLICES * 16));
    let mut own = vec![0u64; 512];
    own[2] = COOKIE;
    let mut segment = vec![0u64; FIRST + (SLICES + 1) * 10];
    segment[27] = COOKIE ^ SEGMENT;
    (segment[28], segment[29], segment[31]) = (SLICES as u64, 1, SLICES as u64);
    let mut slice = 1;
    // Sixteen bytes make a page: its slices, blocks, lists, their size.
    for page in pages.chunks_exact(16) {
        let at = FIRST + slice * 10;
        let count = usize::from(page[0] % 16) + 1;
        if slice + count > SLICES {
            break;
        }
        let list = |low: u8, high: u8| match u64::from(u16::from_le_bytes([low, high])) {
            0 => 0,
            place => SEGMENT + (slice * SLICE) as u64 + place * 8,
        };
        let (capacity, size) = (u64::from(page[1]), u64::from(u16::from_le_bytes([page[2], page[3]])));
        segment[at] = count as u64;
        segment[at + 1] = capacity << 16 | capacity << 32 | u64::from(page[4] & 3) << 48;
        segment[at + 2] = list(page[5], page[6]);
        segment[at + 3] = u64::from(page[7]) | size << 32;
        segment[at + 4] = list(page[8], page[9]);
        segment[at + 5] = list(page[10], page[11]);
        segment[at + 6] = DATA + u64::from(page[12]) * 8;
        slice += count;
    }
    if slice < SLICES {
        segment[FIRST + slice * 10] = (SLICES - slice) as u64;
    }
    let (of_heap, of_segment) = patches.split_at(patches.len() / 2);
    patch(&mut own, of_heap);
    patch(&mut segment, of_segment);
    let mut bytes_of = bytes(&segment);
    bytes_of.resize(SLICE, 0);
    bytes_of.extend_from_slice(memory);
    let core =
        heap::core("/nowhere/libmimalloc.so.2", DATA, &bytes(&own), 0).load_part(SEGMENT, 6, &bytes_of, 32 << 20);
    heap::walk(core, SLICES * 0x1_0000);
});
