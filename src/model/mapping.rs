//! A mapping of the process, as it is shown.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Addr, Tid};

/// What a mapping is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MappingKind {
    /// An allocator gives its memory away, or a runtime keeps objects there.
    Heap,
    /// A thread's stack pointer lies in it.
    Stack,
    /// A program's or library's variables and other pages of its own.
    ModuleData,
    /// A program's or library's pages of its file, code among them.
    Module,
    /// Private memory with code in it that is of no known module: made while the process ran, or of a file that the dump does not name.
    Code,
    /// Code that a runtime compiled while the process ran.
    RuntimeCode,
    /// What a runtime keeps of its own: classes, stubs, tables.
    RuntimeData,
    /// Memory that processes share, without a file.
    Shared,
    /// Another file.
    File,
    /// Addresses that are kept for later, and pages that guard others: nothing may be read or written there.
    Reserved,
    /// Private memory of which nothing else is known.
    #[default]
    Private,
}

impl MappingKind {
    /// In words, for a table.
    pub fn words(self) -> &'static str {
        match self {
            MappingKind::Heap => "heap",
            MappingKind::Stack => "stacks",
            MappingKind::ModuleData => "variables of modules",
            MappingKind::Module => "files of modules",
            MappingKind::Code => "code of no known module",
            MappingKind::RuntimeCode => "compiled code",
            MappingKind::RuntimeData => "data of a runtime",
            MappingKind::Shared => "shared memory",
            MappingKind::File => "other files",
            MappingKind::Reserved => "reserved or guarding, without access",
            MappingKind::Private => "private memory, not known for what",
        }
    }
}

/// Memory of which a runtime or an allocator says that it is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnMemory {
    /// Where.
    pub range: Range<Addr>,
    /// What for.
    pub kind: MappingKind,
    /// Whose, or which part of it: `.NET, gen 0`, `glibc malloc`.
    pub owner: String,
}

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
    /// What it is used for.
    pub kind: MappingKind,
    /// Whose memory it is: the allocator, the runtime and which part of it; of other private memory the variable that refers to its first page. Null where that is not
    /// known, and where it was not looked for: by all but `heap -regions`.
    pub owner: Option<String>,
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
