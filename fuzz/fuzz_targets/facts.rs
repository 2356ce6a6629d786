//! The note that `collect` adds, by itself and in an otherwise sound core.
#![no_main]

use dumpscope::capture::{self, FORMATS, Opened, facts};
use dumpscope::job::Job;
use libfuzzer_sys::fuzz_target;
use support::core_writer::CoreWriter;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    if let Ok(read) = facts::Facts::parse(data) {
        assert_eq!(facts::Facts::parse(&read.to_bytes()).as_ref(), Ok(&read), "what is written is read back");
    }
    let core = CoreWriter::x86_64().note(facts::OWNER, facts::NOTE, data).load(0x40_0000, 5, &[0x90; 64]);
    let bytes = FileBytes::from_vec(core.bytes());
    capture::open_bytes(bytes, "core".as_ref(), FORMATS, &Job::default()).and_then(Opened::process).expect("the core opens");
});
