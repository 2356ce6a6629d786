//! A module that a file is held against, and what was found to be the same.

use crate::capture::facts::FileFacts;
use crate::capture::{MappedModule, Memory};

/// A module as the dump holds it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The module.
    pub mapped: &'a MappedModule,
    /// The dump's own memory, without pages of files.
    pub memory: &'a Memory,
    /// The mapped file, as the dump's note tells of it; `None` where it does not.
    pub recorded: Option<FileFacts>,
}

/// What was the same, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Same {
    /// Whether the file header and the program headers are.
    pub(super) headers: bool,
    /// Whether the file header states the same section headers, too.
    pub(super) sections: bool,
    /// Bytes of pages that nobody can have written.
    pub(super) bytes: u64,
    /// Of those, bytes of the table of exported symbols and their names.
    pub(super) names: u64,
    /// Bytes of instructions that differ, a few in a page: patched in memory, or another build.
    pub(super) patched: u64,
    /// Entries of the dynamic section.
    pub(super) entries: u64,
    /// Relocated words.
    pub(super) words: u64,
}
