//! A Windows image, as assemblies of .NET are: where its metadata and its records for debuggers are.
#![no_main]

use dumpscope::capture::Memory;
use dumpscope::model::Addr;
use dumpscope::runtimes::coreclr::image::{Image, Placing};
use dumpscope::runtimes::coreclr::metadata::Metadata;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let memory = Memory::of_bytes(0x1000, data);
    for placing in [Placing::Mapped, Placing::Flat] {
        let Ok(image) = Image::read(&memory, Addr(0x1000), placing) else { continue };
        let _ = image.metadata().and_then(|root| Metadata::read(&memory, root));
        let records = image.records().unwrap_or_default();
        assert!(records.len() <= 64);
    }
});
