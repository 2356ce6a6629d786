//! The description of .NET's structures, as text.
#![no_main]

use dumpscope::runtimes::coreclr::descriptor::Descriptor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = Descriptor::parse(data) {
        let _ = read.offset("Thread", "Id");
        let _ = read.pointers().count();
    }
});
