//! Dumps inside gzip and zstd.
#![no_main]

use dumpscope::capture::{self, FORMATS};
use dumpscope::job::Job;
use libfuzzer_sys::fuzz_target;
use symbols::FileBytes;

fuzz_target!(|data: &[u8]| {
    // Magic numbers: RFC 1952, RFC 8878.
    for magic in [&[0x1f, 0x8b, 8][..], &[0x28, 0xb5, 0x2f, 0xfd], &[]] {
        let bytes = [magic, data].concat();
        let _ = capture::open_bytes(FileBytes::from_vec(bytes), "core.gz".as_ref(), FORMATS, &Job::default());
    }
});
