//! Metadata of a .NET assembly: tables, names, signatures.
#![no_main]

use dumpscope::capture::Memory;
use dumpscope::model::Addr;
use dumpscope::runtimes::coreclr::metadata::Metadata;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let memory = Memory::of_bytes(0x1000, data);
    let Ok(metadata) = Metadata::read(&memory, Addr(0x1000)) else { return };
    let _ = metadata.module_name(&memory);
    for rid in (0..16).chain([u32::MAX]) {
        let _ = metadata.type_name(&memory, rid);
        let _ = metadata.method_name(&memory, rid);
        let _ = metadata.parameters(&memory, rid);
    }
});
