//! The loader's own list of modules: `r_debug` and its chain of `link_map`.
//!
//! Layouts: glibc elf/link.h (the part that System V fixed; musl keeps it too).

use std::collections::HashSet;

use super::mapped::ModuleHeader;
use super::process::{AT_PHDR, AT_PHNUM, value};
use super::program_header::{PT_DYNAMIC, PT_PHDR};
use crate::capture::Memory;
use crate::model::{Addr, Problem, Subject};

/// Most entries that are followed.
const MAX_ENTRIES: usize = 65_536;
/// Most entries of a dynamic section that are read; real ones have about 30.
const MAX_DYNAMIC: u64 = 4096;
/// Longest name: PATH_MAX of Linux.
const MAX_NAME: u64 = 4096;
/// How many bytes behind the executable's headers are searched for its dynamic section where the headers are not in the
/// dump.
const SEARCH_LIMIT: u64 = 4 << 20;

// Source: gABI "Dynamic Section": the address of r_debug, filled in by the loader.
const DT_DEBUG: u64 = 21;
/// Offsets in `struct r_debug`: `r_map`; in `struct link_map`: `l_addr`, `l_name`, `l_ld`, `l_next`, `l_prev`. Source:
/// glibc elf/link.h.
const R_MAP: u64 = 8;
const L_NAME: u64 = 8;
const L_LD: u64 = 16;
const L_NEXT: u64 = 24;
const L_PREV: u64 = 32;

/// A module as the loader lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkEntry {
    /// What is added to the file's addresses.
    pub(super) bias: u64,
    /// Path as the loader opened it; empty for the executable.
    pub(super) name: String,
    /// Its dynamic section in memory.
    pub(super) dynamic: Addr,
}

/// The list, the executable first. Empty for a static executable, and where the list cannot be reached.
pub(super) fn entries(memory: &Memory, auxv: &[(u64, u64)], problems: &mut Vec<Problem>) -> Vec<LinkEntry> {
    let Some(first) = first(memory, auxv) else { return Vec::new() };
    let mut entries = Vec::new();
    let mut visited = HashSet::new();
    let mut at = first;
    while at.0 != 0 {
        if !visited.insert(at) || visited.len() > MAX_ENTRIES {
            let message = format!(
                "the loader's list of modules runs in circles or without end at {at}; {} entries are kept",
                entries.len()
            );
            problems.push(Problem::new("link-map", Subject::Memory(at), message));
            break;
        }
        let (entry, next) = entry(memory, at);
        entries.extend(entry);
        match next {
            Some(next) => at = next,
            None => {
                let message = format!(
                    "the loader's list of modules breaks off at {at} (not in the dump); {} entries are known",
                    entries.len()
                );
                problems.push(Problem::new("link-map", Subject::Memory(at), message));
                break;
            }
        }
    }
    entries
}

fn entry(memory: &Memory, at: Addr) -> (Option<LinkEntry>, Option<Addr>) {
    let word = |offset| memory.ptr(at.plus(offset)?).ok();
    let entry = || {
        let name = memory.c_string(word(L_NAME)?, MAX_NAME).unwrap_or_default();
        Some(LinkEntry { bias: word(0)?.0, name: String::from_utf8_lossy(&name).into_owned(), dynamic: word(L_LD)? })
    };
    (entry(), word(L_NEXT))
}

/// The head of the list.
fn first(memory: &Memory, auxv: &[(u64, u64)]) -> Option<Addr> {
    let headers_at = Addr(value(auxv, AT_PHDR)?);
    let header = ModuleHeader::at(memory, headers_at, value(auxv, AT_PHNUM)?);
    if header.headers.is_empty() {
        return search(memory, headers_at);
    }
    let bias = match header.address_of(PT_PHDR) {
        Some(stated) => headers_at.0.wrapping_sub(stated),
        // Without PT_PHDR the executable is static, or loaded where it states.
        None => 0,
    };
    let dynamic = Addr(header.address_of(PT_DYNAMIC)?.wrapping_add(bias));
    let debug = (0..MAX_DYNAMIC).map_while(|index| {
        let at = dynamic.plus(index.checked_mul(16)?)?;
        let tag = memory.u64(at).ok().filter(|tag| *tag != 0)?;
        Some((tag, memory.ptr(at.plus(8)?).ok()?))
    });
    let debug = debug.into_iter().find(|(tag, _)| *tag == DT_DEBUG).map(|(_, debug)| debug)?;
    memory.ptr(debug.plus(R_MAP)?).ok().filter(|first| first.0 != 0)
}

/// Finds the dynamic section by its DT_DEBUG entry: for dumps without pages of files (qemu writes such).
fn search(memory: &Memory, from: Addr) -> Option<Addr> {
    let end = from.plus(SEARCH_LIMIT)?;
    let segments = memory.segments().iter().filter(|segment| segment.start >= from && segment.start < end);
    for segment in segments {
        let len = usize::try_from(end.since(segment.start)?).ok()?.min(segment.bytes.len());
        let (words, _) = segment.bytes.get(..len)?.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let pairs = words.clone().zip(words.skip(1));
        let found = pairs.filter(|(tag, _)| *tag == DT_DEBUG).find_map(|(_, debug)| head(memory, Addr(debug)));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The head of the list if `debug` is an `r_debug`: version 1 or 2, and a first entry without a predecessor whose
/// successor points back.
fn head(memory: &Memory, debug: Addr) -> Option<Addr> {
    let version = memory.u32(debug).ok()?;
    let first = memory.ptr(debug.plus(R_MAP)?).ok()?;
    let next = memory.ptr(first.plus(L_NEXT)?).ok()?;
    let alone = memory.ptr(first.plus(L_PREV)?).ok()?.0 == 0;
    let linked = next.0 == 0 || memory.ptr(next.plus(L_PREV)?).ok()? == first;
    (matches!(version, 1 | 2) && alone && linked).then_some(first)
}
