//! A mapping of the process, as it is shown.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Addr, Tid};

/// A mapping, with what is known of its pages. A fact that the dump does not record is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MappingRow {
    /// First address.
    pub start: Addr,
    /// One past the last.
    pub end: Addr,
    /// Bytes from `start` to `end`.
    pub bytes: u64,
    /// `rwx`, a dash where the right is missing; with `p` or `s` behind it where private or shared is recorded.
    pub access: String,
    /// The file or the name that the kernel gave it, `[heap]`; null for private memory without one, and where none is
    /// recorded.
    pub path: Option<String>,
    /// The threads whose stack pointers lie in it.
    pub stacks: Vec<Tid>,
    /// Bytes that were in memory.
    pub resident: Option<u64>,
    /// Bytes in memory that were its own, and not a file's.
    pub anonymous: Option<u64>,
    /// Bytes that were swapped out.
    pub swapped: Option<u64>,
    /// Bytes that the dump holds.
    pub dumped: u64,
}
