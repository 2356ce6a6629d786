//! A heap of musl's mallocng without a file: its context and an area of metas are set up as the library does, then hostile words are
//! written over them; what its groups hold is hostile all through.
#![no_main]

#[path = "../heap.rs"]
mod heap;

use heap::{bytes, patch};
use libfuzzer_sys::fuzz_target;

const DATA: u64 = 0x10_0000;
const CONTEXT: usize = 4;
const SECRET: u64 = 0x5ec2_e75e_c2e7;
const AREA: u64 = 0x20_0000;
const METAS: usize = 101;
const GROUPS: u64 = 0x40_0000;

fuzz_target!(|data: &[u8]| {
    let (patches, rest) = data.split_at(data.len().min(320));
    let (metas, memory) = rest.split_at(rest.len().min(METAS * 12));
    let mut context = vec![0u64; 256];
    (context[CONTEXT], context[CONTEXT + 1]) = (SECRET, 1);
    (context[CONTEXT + 7], context[CONTEXT + 8]) = (AREA, AREA);
    let mut area = vec![0u64; 512];
    (area[0], area[2]) = (SECRET, METAS as u64);
    let mut groups = memory.to_vec();
    // Twelve bytes make a meta: where its group is, bits of its slots, what they are.
    for (number, meta) in metas.chunks_exact(12).enumerate() {
        let place = usize::from(u16::from_le_bytes([meta[0], meta[1]])) & !15;
        let at = 3 + number * 5;
        area[at + 2] = GROUPS + place as u64;
        area[at + 3] = u64::from(meta[2]) | u64::from(meta[3]) << 32;
        area[at + 4] = u64::from_le_bytes([meta[4], meta[5], meta[6], meta[7], meta[8], meta[9], meta[10], meta[11]]);
        if let Some(home) = groups.get_mut(place..place + 8) {
            home.copy_from_slice(&(AREA + at as u64 * 8).to_le_bytes());
        }
    }
    let (of_context, of_area) = patches.split_at(patches.len() / 2);
    patch(&mut context, of_context);
    patch(&mut area, of_area);
    let core = heap::core("/nowhere/ld-musl-x86_64.so.1", DATA, &bytes(&context), DATA + 0x1000)
        .load(AREA, 6, &bytes(&area))
        .load_part(GROUPS, 6, &groups, 0x2_0000);
    heap::walk(core, METAS * 32);
});
