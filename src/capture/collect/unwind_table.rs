//! Where the unwind table of a program is that does not tell it in memory: a linker that is not asked for
//! PT_GNU_EH_FRAME (gcc's for `-static`) leaves it to the section headers, which are in the file alone.
//!
//! Input: the program's file, read before the stop, and its memory. Specification: gABI "Sections"; LSB "Exception
//! Frames".

use symbols::{Elf, FileBytes};

use super::live::Live;
use super::maps::{Mapping, Span};
use super::peek::Peek;
use super::source::PAGE;

/// Bytes of an `Elf64_Ehdr`, and of the table, by which the file is recognised in memory.
const COMPARED: usize = 64;
/// Largest table that is kept.
const MAX_TABLE: u64 = 64 << 20;
/// A table that has fewer entries for its code covers a few functions of it: those of musl that are written in
/// assembly. Compilers' functions are shorter on average.
const BYTES_PER_ENTRY: u64 = 4 << 10;

/// What the program's file says of its `.eh_frame`.
#[derive(Debug)]
pub(super) struct Stated {
    header: Vec<u8>,
    first: Vec<u8>,
    /// The start of the table behind the start of the program's memory, and its bytes.
    from: u64,
    size: u64,
}

impl Stated {
    /// Of a process's program, also where that is deleted. `None` where its program headers tell, or nobody does.
    pub(super) fn of(live: &Live) -> Option<Stated> {
        Stated::parse(FileBytes::open(&live.proc("exe")).ok()?)
    }

    fn parse(bytes: FileBytes) -> Option<Stated> {
        let header = bytes.get(..COMPARED)?.to_vec();
        let elf = Elf::parse(bytes).ok()?;
        if elf.program_header_eh_frame().is_some() {
            return None;
        }
        let section = elf.section(".eh_frame").ok()??;
        let start = elf.segments().iter().find(|segment| segment.offset < PAGE)?;
        let start = start.svma.0.checked_sub(start.offset)?;
        let first = section.bytes.get(..COMPARED.min(section.bytes.len()))?.to_vec();
        let size = (section.bytes.len() as u64).min(MAX_TABLE);
        Some(Stated { header, first, from: section.svma.0.checked_sub(start)?, size }).filter(|stated| stated.size > 0)
    }

    /// Where it is in memory, if what is there is as in the file.
    pub(super) fn find(&self, mappings: &[Mapping], peek: &Peek<'_>) -> Option<Span> {
        let is_there = |at: u64, bytes: &[u8]| {
            let mut found = vec![0; bytes.len()];
            peek.read(at, &mut found).is_some() && found == bytes
        };
        let starts = mappings.iter().filter(|mapping| mapping.offset == 0 && mapping.has_file() && !mapping.shared);
        starts.map(|mapping| mapping.span.start.0).find_map(|base| {
            let at = base.checked_add(self.from)?;
            let span = Span::new(at, at.checked_add(self.size)?);
            (is_there(base, &self.header) && is_there(at, &self.first)).then_some(span)
        })
    }
}

/// Whether a table of this many entries covers code of this size.
pub(super) fn covers(entries: u64, code: u64) -> bool {
    entries.saturating_mul(BYTES_PER_ENTRY) >= code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_a_few_entries_covers_no_library() {
        // musl 1.2.3 and glibc 2.36 of Debian 12.
        assert!(!covers(4, 403_460));
        assert!(covers(3_713, 1_396_988));
        assert!(covers(1, 0x300));
        assert!(!covers(0, 1));
    }
}
