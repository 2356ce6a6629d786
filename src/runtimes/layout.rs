//! Named offsets of foreign structures, each with the place that it was learnt from.

use crate::model::{Addr, Gap, Known};

/// Where an offset comes from, the most reliable first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The library's own description of itself (for glibc the `_thread_db_*` constants that libthread_db reads).
    Described,
    /// A built-in table, made from the library's source.
    BuiltIn,
    /// Found in this dump: the only offset at which every thread holds what it must.
    Measured,
}

/// A member of a foreign structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Bytes from the structure's start (or from the register that points to it); may be negative.
    pub bytes: i64,
    /// Where that was learnt.
    pub source: Source,
}

impl Offset {
    /// From a table in this program; the constant's comment names the source.
    pub const fn built_in(bytes: i64) -> Offset {
        Offset { bytes, source: Source::BuiltIn }
    }

    /// The member's address in the structure at `base`.
    pub fn of(self, base: Addr) -> Known<Addr> {
        base.offset(self.bytes).ok_or_else(|| Gap::Corrupt(format!("a structure at {base} leaves the address space")))
    }
}
