//! A whole core: headers, program headers, notes, modules, salvage.
#![no_main]

use dumpscope::capture::{self, FORMATS, Opened};
use dumpscope::job::Job;
use libfuzzer_sys::fuzz_target;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    let bytes = FileBytes::from_vec(data.to_vec());
    let opened = capture::open_bytes(bytes, "core".as_ref(), FORMATS, &Job::default());
    if let Ok(capture) = opened.and_then(Opened::process) {
        // What is kept agrees with itself: runs are disjoint and ascending, and within the file.
        let segments = capture.memory.segments();
        assert!(segments.windows(2).all(|pair| pair[0].start.0 + pair[0].bytes.len() as u64 <= pair[1].start.0));
        assert!(segments.iter().map(|segment| segment.bytes.len()).all(|len| len <= data.len()));
        assert!(capture.modules.windows(2).all(|pair| pair[0].base <= pair[1].base));
        assert!(capture.threads.iter().skip(1).all(|thread| !thread.crashed));
    }
});
