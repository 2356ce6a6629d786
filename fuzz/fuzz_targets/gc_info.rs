//! GC info of a method: its header, and what is live at each of its instructions.
#![no_main]

use dumpscope::runtimes::coreclr::gc_info::{Format, GcInfo};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for format in [Format::Three, Format::Four] {
        let Ok(info) = GcInfo::read(data.to_vec(), format) else { continue };
        for offset in (0..info.header.code.min(1 << 10)).chain(info.safe_points.iter().copied().take(1 << 10)) {
            let _ = info.live(info.stop(offset));
        }
    }
});
