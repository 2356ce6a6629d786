//! Text from a dump on its way to a terminal.
#![no_main]

use dumpscope::report::sanitize::{lossy, sanitize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = lossy(data);
    let clean = sanitize(&text);
    // C0, DEL, C1 and the bidirectional controls never pass (Unicode 15, UAX 9).
    assert!(
        !clean.chars().any(|c| c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    );
    assert_eq!(sanitize(&clean), clean, "cleaning twice changes nothing");
});
