//! Names: demangling (C++, Rust legacy and v0) and shortening.
#![no_main]

use libfuzzer_sys::fuzz_target;
use symbols::{demangle, short_name};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for raw in [text.clone().into_owned(), format!("_Z{text}"), format!("_R{text}")] {
        let full = demangle(&raw);
        let _ = short_name(&full);
    }
});
