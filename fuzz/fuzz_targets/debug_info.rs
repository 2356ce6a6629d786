//! What the JIT leaves for debuggers: which machine instruction was made of what, and where variables are.
#![no_main]

use dumpscope::runtimes::coreclr::debug_info::{Packing, read_bounds, read_locations};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for packing in [Packing::Nibbles, Packing::Bits] {
        let _ = read_bounds(data, packing);
    }
    let _ = read_locations(data);
});
