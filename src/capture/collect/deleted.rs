//! Programs and libraries that a process has mapped and whose path is gone: their files go into the dump, since nobody
//! finds them later.
//!
//! Input: a running process. Output: for each such file its bytes, whole, or its symbol table alone where it is large
//! or the dump is to hold no text that somebody wrote (source paths stand in debug information). They are read before
//! the process is stopped. Specification: proc(5), `exe` and `map_files`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use symbols::{Elf, FileBytes};

use super::holes::MappedFiles;
use super::live::Live;
use super::maps::{self, Mapping};
use crate::capture::kept::{self, Kept};
use crate::capture::symbol_file::{self, FILE_HEADER, Load, Table};

/// Largest file that is kept whole, and how much is kept of all.
const MAX_FILE: usize = 32 << 20;
const MAX_ALL: usize = 64 << 20;
/// The kernel appends this to the path of a file that was unlinked while mapped. Source: Linux fs/d_path.c,
/// `path_with_deleted`.
pub(super) const DELETED: &[u8] = b" (deleted)";

/// A deleted file.
#[derive(Debug)]
pub(super) struct Deleted {
    inode: u64,
    bytes: Vec<u8>,
}

impl Deleted {
    /// The deleted files from which the process runs code. `personal`: whether the dump may hold text.
    pub(super) fn of(live: &Live, personal: bool) -> Vec<Deleted> {
        let mut found: Vec<Deleted> = Vec::new();
        let mut left = MAX_ALL;
        for mapping in mappings(live).iter().filter(|mapping| is_deleted_code(mapping)) {
            if found.iter().any(|deleted| deleted.inode == mapping.inode) {
                continue;
            }
            let file = path(live, mapping).and_then(|path| FileBytes::open(&path).ok());
            let most = if personal { MAX_FILE.min(left) } else { 0 };
            let Some(bytes) = file.and_then(|file| content(file, most)).filter(|bytes| bytes.len() <= left) else {
                continue;
            };
            left = left.saturating_sub(bytes.len());
            found.push(Deleted { inode: mapping.inode, bytes });
        }
        found
    }

    /// The type and the content of its note, where the process still has it mapped.
    pub(super) fn note(&self, mappings: &[Mapping]) -> Option<(u32, Vec<u8>)> {
        let mapping = mappings.iter().find(|mapping| mapping.inode == self.inode && mapping.path.ends_with(DELETED))?;
        Some((kept::NOTE, Kept::content(mapping.span.start.0, &self.bytes)))
    }
}

fn mappings(live: &Live) -> Vec<Mapping> {
    let threads = live.threads().unwrap_or_default();
    // The first thread may have left its memory to the others.
    threads.into_iter().find_map(|tid| maps::mappings(live, tid, &[]).ok()).unwrap_or_default()
}

fn is_deleted_code(mapping: &Mapping) -> bool {
    let is_code = mapping.access.execute && !mapping.access.write && !mapping.shared && mapping.inode != 0;
    is_code && mapping.path.starts_with(b"/") && mapping.path.ends_with(DELETED)
}

/// Where the file can be opened: by the link to the program, which its owner may follow, or by that of the mapping.
fn path(live: &Live, mapping: &Mapping) -> Option<PathBuf> {
    let program = live.proc("exe");
    let named = fs::read_link(&program).ok();
    let is_program = named.is_some_and(|path| path.as_os_str().as_bytes().ends_with(&mapping.path));
    if is_program { Some(program) } else { MappedFiles::default().find(live, mapping).map(|(path, _)| path) }
}

/// What is kept of a file: all of it if it has at most `most` bytes, else its names. `None` where it is no ELF file, or
/// has no names.
fn content(file: FileBytes, most: usize) -> Option<Vec<u8>> {
    let elf = Elf::parse(file.clone()).ok()?;
    if file.len() <= most { Some(file.to_vec()) } else { names(&elf) }
}

fn names(elf: &Elf) -> Option<Vec<u8>> {
    let table = |name| elf.section(name).ok().flatten().map(|section| section.bytes);
    let (symbols, names) = (table(".symtab")?, table(".strtab")?);
    let loads: Vec<Load> = elf
        .segments()
        .iter()
        .map(|segment| Load {
            address: segment.svma.0,
            size: segment.mem_size,
            flags: u32::from(segment.execute) | (u32::from(segment.write) << 1),
        })
        .collect();
    symbol_file::build(elf.bytes().get(..FILE_HEADER)?, &loads, Table::Full, symbols.to_vec(), &names)
}
