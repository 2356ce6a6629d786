//! Addresses as a file states them.

use std::fmt;

/// An address as a file states it, before the load bias is added (stated virtual memory address).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Svma(pub u64);

impl Svma {
    /// The address `bytes` further on, or `None` where that leaves the address space.
    pub fn checked_add(self, bytes: u64) -> Option<Svma> {
        self.0.checked_add(bytes).map(Svma)
    }

    /// The distance from `earlier` to this address, or `None` where this one comes first.
    pub fn offset_from(self, earlier: Svma) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for Svma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::LowerHex for Svma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
