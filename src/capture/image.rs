//! A module's file, rebuilt from the dump's own pages.

use symbols::{Elf, Located};

use super::{MappedModule, Memory};

/// The module as the dump holds it; nothing is found where its pages are not in the dump.
pub fn from_memory(_mapped: &MappedModule, _memory: &Memory) -> Located {
    Located::default()
}

/// What is added to the file's addresses to get the target's.
pub fn bias(mapped: &MappedModule, elf: &Elf) -> Option<u64> {
    let first = elf.segments().first()?;
    let part = mapped.parts.iter().find(|part| part.offset == first.offset)?;
    Some(part.start.0.wrapping_sub(first.svma.0))
}
