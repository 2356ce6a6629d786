//! The notes of an otherwise sound core, of either processor.
#![no_main]

use dumpscope::capture::{self, FORMATS, Opened};
use dumpscope::job::Job;
use libfuzzer_sys::fuzz_target;
use support::core_writer::CoreWriter;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    for core in [CoreWriter::x86_64(), CoreWriter::aarch64()] {
        let core = core.raw_notes(data).load(0x40_0000, 5, &[0x90; 64]);
        let bytes = FileBytes::from_vec(core.bytes());
        // The headers are sound: whatever the notes hold, the core opens.
        capture::open_bytes(bytes, "core".as_ref(), FORMATS, &Job::default()).and_then(Opened::process).expect("the core opens");
    }
});
