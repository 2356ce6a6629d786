//! An address in the dumped process.

use std::fmt;

use serde::{Serialize, Serializer};

/// An address in the target's memory. Never an address of this process, never an address as a file states it (`Svma`).
/// Printed and serialised as `0x7f12…`, without leading zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

impl Addr {
    /// The address `bytes` further up, or `None` past the end of the address space.
    pub fn plus(self, bytes: u64) -> Option<Addr> {
        self.0.checked_add(bytes).map(Addr)
    }

    /// The address `bytes` further down, or `None` below zero.
    pub fn minus(self, bytes: u64) -> Option<Addr> {
        self.0.checked_sub(bytes).map(Addr)
    }

    /// Moved by a signed distance; `None` outside the address space.
    pub fn offset(self, bytes: i64) -> Option<Addr> {
        self.0.checked_add_signed(bytes).map(Addr)
    }

    /// Bytes from `lower` up to this address, or `None` when this one is below it.
    pub fn since(self, lower: Addr) -> Option<u64> {
        self.0.checked_sub(lower.0)
    }

    /// Whether the address is a multiple of `size` (a power of two, in bytes).
    pub fn is_aligned(self, size: u64) -> bool {
        self.0 & size.saturating_sub(1) == 0
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Serialize for Addr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl schemars::JsonSchema for Addr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addr".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^0x[0-9a-f]+$" })
    }
}
