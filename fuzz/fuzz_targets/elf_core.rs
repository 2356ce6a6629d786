//! A whole core: headers, program headers, notes, modules, salvage.
#![no_main]

use dumpscope::capture;
use dumpscope::job::Job;
use libfuzzer_sys::fuzz_target;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    if let Ok(capture) = capture::open_bytes(FileBytes::from_vec(data.to_vec()), "core".as_ref(), &Job::default()) {
        // What is kept agrees with itself: runs are disjoint and ascending, and within the file.
        let segments = capture.memory.segments();
        assert!(segments.windows(2).all(|pair| pair[0].start.0 + pair[0].bytes.len() as u64 <= pair[1].start.0));
        assert!(segments.iter().map(|segment| segment.bytes.len()).all(|len| len <= data.len()));
        assert!(capture.modules.windows(2).all(|pair| pair[0].base <= pair[1].base));
        assert!(capture.threads.iter().skip(1).all(|thread| !thread.crashed));
    }
});
