//! Whether a file is the right one where no build id tells: by what it holds.
//!
//! A code file is held against the module in memory, by whoever can read that ([`Contents`]); a separate debug file
//! against the stripped file: its section headers describe the same sections, and its symbols stand where the stripped
//! file exports them.

use std::fmt;

use object::elf;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{Elf, Svma};

/// Exported symbols that are looked for in a debug file; names of another build differ within a few.
const MAX_SYMBOLS: usize = 1 << 16;

/// A module in memory, which a file can be held against.
pub trait Contents: fmt::Debug {
    /// Whether the file is the one that is mapped.
    fn compare(&self, file: &Elf) -> Comparison;
}

/// What comparing contents tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same: what was compared, and how much.
    Same(String),
    /// They are not: what differs.
    Differs(String),
    /// It cannot be told: why.
    Unknown(String),
}

/// Holds a separate debug file without build id and checksum against the file that it was split from.
pub(super) fn of_debug_file(stripped: &Elf, debug: &Elf) -> Comparison {
    let theirs: FxHashMap<&[u8], (Svma, u64)> = debug.mapped_sections().collect();
    let mut sections = 0usize;
    for (name, place) in stripped.mapped_sections() {
        let Some(found) = theirs.get(name) else { continue };
        if *found != place {
            let name = String::from_utf8_lossy(name);
            return Comparison::Differs(format!(
                "its section {name} has {} bytes at {:#x}, that of the stripped file {} bytes at {:#x}",
                found.1, found.0.0, place.1, place.0.0
            ));
        }
        sections = sections.saturating_add(1);
    }
    if sections == 0 {
        return Comparison::Unknown("it has no build id, and no section that the stripped file has".to_owned());
    }
    let (Some(exported), Some(all)) = (stripped.raw_symbols(elf::SHT_DYNSYM), debug.raw_symbols(elf::SHT_SYMTAB))
    else {
        return Comparison::Same(format!("the places of {sections} sections"));
    };
    // Several versions of one symbol have one name, and places of their own.
    let mut places: FxHashMap<&[u8], FxHashSet<Svma>> = FxHashMap::default();
    for symbol in all.defined() {
        places.entry(all.name(symbol.name)).or_default().insert(symbol.svma);
    }
    let mut symbols = 0usize;
    for symbol in exported.defined().take(MAX_SYMBOLS) {
        let name = exported.name(symbol.name);
        let Some(found) = places.get(name) else { continue };
        if !found.contains(&symbol.svma) {
            let name = String::from_utf8_lossy(name);
            let at = symbol.svma.0;
            return Comparison::Differs(format!(
                "it has its symbol {name} elsewhere than the stripped file, at {at:#x}"
            ));
        }
        symbols = symbols.saturating_add(1);
    }
    Comparison::Same(format!("the places of {sections} sections and {symbols} symbols"))
}
