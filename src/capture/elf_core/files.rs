//! NT_FILE: which parts of which files were mapped.
//!
//! Layout: a count and a page size, `count` entries of start, end and offset in pages, then as many NUL-terminated
//! paths. Source: Linux fs/binfmt_elf.c, fill_files_note. gdb writes a page size of 1 and offsets in bytes
//! (gdb/linux-tdep.c).

use std::ops::Range;

use super::notes::{NT_FILE, Note};
use super::words::Words;
use crate::capture::{MappedFile, MappedModule, MappedPart, Role};
use crate::model::{Addr, Problem, Subject};

/// Most mappings that are read.
const MAX_FILES: usize = 1_000_000;
/// Longest path: PATH_MAX of Linux. The note's own limit is 4 MiB for all.
const MAX_PATH: usize = 4096;
/// Bytes of an entry.
const ENTRY: usize = 24;
/// Where entries begin.
const ENTRIES: usize = 16;
/// Page size where the note states one that cannot be.
const USUAL_PAGE: u64 = 4096;

/// A mapped part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileMapping {
    pub(super) start: Addr,
    pub(super) end: Addr,
    /// Offset in the file, in bytes.
    pub(super) offset: u64,
    pub(super) path: String,
}

/// What NT_FILE lists.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The mappings, ascending by start.
    pub(super) mappings: Vec<FileMapping>,
    /// Whether there are as many paths as mappings: one that is damaged shifts all that follow.
    pub(super) sound: bool,
}

impl Files {
    /// The addresses of the mappings, ascending.
    pub(super) fn ranges(&self) -> Vec<Range<Addr>> {
        self.mappings.iter().map(|file| file.start..file.end).collect()
    }

    /// Those of files that are called as assemblies of .NET are, and those of the executable outside of its image: a program in a single file
    /// has its assemblies behind it.
    pub(super) fn assemblies(&self, modules: &[MappedModule]) -> Vec<MappedFile> {
        let program = modules.iter().find(|module| module.role == Role::Executable);
        let is_bundled = |file: &FileMapping| {
            program.is_some_and(|program| {
                program.path.as_ref() == Some(&file.path) && !(program.base..program.end).contains(&file.start)
            })
        };
        let is_one =
            |file: &&FileMapping| file.path.starts_with('/') && (file.path.ends_with(".dll") || is_bundled(file));
        let mapped = |file: &FileMapping| MappedFile {
            part: MappedPart { start: file.start, end: file.end, offset: file.offset },
            path: file.path.clone(),
        };
        self.mappings.iter().filter(is_one).map(mapped).collect()
    }
}

/// Reads the note. `None` where the core has none.
pub(super) fn files(notes: &[Note<'_>], problems: &mut Vec<Problem>) -> Option<Files> {
    let note = notes.iter().find(|note| note.kind == NT_FILE && note.name == b"CORE")?;
    let mut damage = |message: String| {
        problems.push(Problem::new(
            "files-damaged",
            Subject::Capture,
            format!("mapped files (note at {:#x}): {message}", note.offset),
        ));
    };
    let words = Words(note.content);
    let (Some(stated), Some(page)) = (words.u64(0), words.u64(8)) else {
        damage("the note is cut before its count".to_owned());
        return Some(Files::default());
    };
    let page = if page.is_power_of_two() && page <= 1 << 24 {
        page
    } else {
        damage(format!("a page size of {page} is none; {USUAL_PAGE} is assumed"));
        USUAL_PAGE
    };
    let count = count(note.content, stated);
    if count as u64 != stated {
        damage(format!("{stated} mappings are announced, {count} are there"));
    }
    let names = note.content.get(ENTRIES.saturating_add(count.saturating_mul(ENTRY))..).unwrap_or_default();
    let mut names = names.split(|byte| *byte == 0);
    let mut mappings = Vec::with_capacity(count);
    for index in 0..count {
        let Some((start, end, offset)) = entry(words, index) else { break };
        let name = names.next().unwrap_or_default();
        if start >= end || name.is_empty() {
            damage(format!("mapping {index} at {start:#x} is damaged and left out"));
            continue;
        }
        let path = String::from_utf8_lossy(name.get(..MAX_PATH).unwrap_or(name)).into_owned();
        mappings.push(FileMapping { start: Addr(start), end: Addr(end), offset: offset.saturating_mul(page), path });
    }
    // Behind the last path's NUL is nothing, or padding (createdump).
    let sound = count as u64 == stated && names.all(<[u8]>::is_empty);
    mappings.sort_by_key(|file| file.start);
    Some(Files { mappings, sound })
}

fn entry(words: Words<'_>, index: usize) -> Option<(u64, u64, u64)> {
    let at = index.checked_mul(ENTRY)?.checked_add(ENTRIES)?;
    Some((words.u64(at)?, words.u64(at.checked_add(8)?)?, words.u64(at.checked_add(16)?)?))
}

/// The number of entries: as stated where as many paths follow, else as many as look like mappings.
fn count(content: &[u8], stated: u64) -> usize {
    let room = content.len().saturating_sub(ENTRIES).checked_div(ENTRY).unwrap_or(0).min(MAX_FILES);
    if let Ok(stated) = usize::try_from(stated)
        && stated <= room
    {
        let names = content.get(ENTRIES.saturating_add(stated.saturating_mul(ENTRY))..).unwrap_or_default();
        if names.iter().filter(|byte| **byte == 0).count() >= stated
            && entry(Words(content), stated).is_none_or(|next| !looks_mapped(next))
        {
            return stated;
        }
    }
    (0..room).take_while(|index| entry(Words(content), *index).is_some_and(looks_mapped)).count()
}

/// Two page-aligned addresses in order; the text of a path read as such is neither.
fn looks_mapped((start, end, _): (u64, u64, u64)) -> bool {
    start < end && start.is_multiple_of(USUAL_PAGE) && end.is_multiple_of(USUAL_PAGE)
}
