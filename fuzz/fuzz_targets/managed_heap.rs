//! What .NET's collector, loaders and compiler keep, in a small heap of which words are changed: segments and regions, handles, finalizers,
//! blocks, objects and their references.
#![no_main]

use dumpscope::runtimes::coreclr::read_changed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((version, changes)) = data.split_first() else { return };
    let _ = read_changed(8 + u32::from(version % 3), changes);
});
