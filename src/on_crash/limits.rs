//! What stored cores may cost.

use std::time::Duration;

/// What a stored core may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, bytes; what exceeds it is left out at the end, where a reader finds the rest complete.
    pub max_bytes: u64,
    /// Share of the file system that stays free, percent.
    pub keep_free: u8,
    /// Most cores stored within [`Limits::window`].
    pub max_rate: u32,
    /// See [`Limits::max_rate`].
    pub window: Duration,
    /// Longest time that the dying process is kept.
    pub max_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_bytes: 32 << 30,
            keep_free: 15,
            max_rate: 5,
            window: Duration::from_secs(60),
            max_time: Duration::from_secs(300),
        }
    }
}
