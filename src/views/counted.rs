//! Numbers of things in words.

use crate::report::words::thousands;

/// `1 thread`, `2,041 threads`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count as u64), if count == 1 { "" } else { "s" })
}
