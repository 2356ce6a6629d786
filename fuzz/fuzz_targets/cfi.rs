//! Call frame information: `.eh_frame`, `.eh_frame_hdr`, `.debug_frame`.
#![no_main]

use dumpscope::model::Arch;
use dumpscope::unwind::cfi::{Scratch, Section, Tables};
use libfuzzer_sys::fuzz_target;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    let (header, frames) = data.split_at(data.len() / 4);
    let section = |address, bytes: &[u8]| Section { address, bytes: FileBytes::from_vec(bytes.to_vec()) };
    let mut scratch = Scratch::new();
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let all = section(0x2000, data);
        let tables = [
            Tables::new(arch, Some(all.clone()), None, None),
            Tables::new(arch, Some(section(0x2000, frames)), Some(&section(0x1000, header)), None),
            Tables::new(arch, None, None, Some(section(0, data))),
        ];
        for tables in tables {
            for address in [0, 0x1000, 0x1020, 0x2000, 0x40_1000, u64::MAX] {
                let _ = tables.row(address, &mut scratch);
            }
        }
    }
});
