//! Go's table of functions, in a file that has nothing else.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use support::core_writer::module_page;
use symbols::{Elf, FileBytes, ModuleSymbols, Svma};

fuzz_target!(|data: &[u8]| {
    const BASE: u64 = 0x1000;
    // One page of headers, then the table as read-only data: it is found by its magic.
    let mut file = module_page(&[(4, 0x1000, BASE, data.len() as u64)], &[0x5a; 20]);
    file.resize(0x1000, 0);
    file.extend_from_slice(data);
    let Ok(elf) = Elf::parse(FileBytes::from_vec(file)) else { return };
    let symbols = ModuleSymbols::new(Some(Arc::new(elf)), None);
    for at in (0..64).map(|step| Svma(step * 0x40)).chain([Svma(0), Svma(u64::MAX)]) {
        let _ = symbols.frames(at);
        let _ = symbols.go_frame(at);
    }
});
