//! The ELF header of a module as mapped in the target: its program headers, its extent, its build id.

use symbols::BuildId;

use super::header::{FILE_HEADER_SIZE, Table};
use super::program_header::{PROGRAM_HEADER_SIZE, PT_LOAD, PT_NOTE, ProgramHeader};
use super::words::Words;
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known, Unreadable};

/// Most program headers of a module; real ones have about 14.
const MAX_HEADERS: u64 = 512;
/// Most bytes of a module's notes that are searched for its build id.
const MAX_NOTES: u64 = 64 << 10;
/// Largest distance from a module's first to its last byte that is believed.
const MAX_EXTENT: u64 = 16 << 30;
/// Granularity of mappings.
const PAGE: u64 = 4096;
/// Type of the GNU build id note. Source: Linux Standard Base, binutils include/elf/common.h.
const NT_GNU_BUILD_ID: u32 = 3;

/// The program headers of a module.
#[derive(Debug, Clone)]
pub(super) struct ModuleHeader {
    pub(super) headers: Vec<ProgramHeader>,
}

impl ModuleHeader {
    /// Reads the header at `base`. `Ok(None)` where something else is there.
    pub(super) fn read(memory: &Memory, base: Addr) -> Result<Option<ModuleHeader>, Unreadable> {
        let mut bytes = [0; FILE_HEADER_SIZE as usize];
        memory.read(base, &mut bytes)?;
        // Class 64 bits, little endian.
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Ok(None);
        }
        let Some(table) = Table::parse(&bytes) else { return Ok(None) };
        if table.entry_size != PROGRAM_HEADER_SIZE {
            return Ok(None);
        }
        Ok(base.plus(table.offset).map(|at| ModuleHeader::at(memory, at, table.count.unwrap_or(0))))
    }

    /// Reads `count` program headers at `at`, as far as they are in the dump.
    pub(super) fn at(memory: &Memory, at: Addr, count: u64) -> ModuleHeader {
        let headers = (0..count.min(MAX_HEADERS)).map_while(|index| {
            let mut bytes = [0; PROGRAM_HEADER_SIZE as usize];
            memory.read(at.plus(index.checked_mul(PROGRAM_HEADER_SIZE)?)?, &mut bytes).ok()?;
            ProgramHeader::parse(&bytes)
        });
        ModuleHeader { headers: headers.collect() }
    }

    fn loads(&self) -> impl Iterator<Item = &ProgramHeader> {
        self.headers.iter().filter(|header| header.kind == PT_LOAD && header.mem_size > 0)
    }

    /// What is added to the file's addresses where the byte at file offset `offset` is mapped at `start`.
    pub(super) fn bias(&self, start: Addr, offset: u64) -> Option<u64> {
        // The mapping begins at the page of a segment's first byte.
        let segment = self.loads().find(|header| {
            header.offset.checked_sub(offset).is_some_and(|skip| skip < PAGE)
                || (offset..).contains(&header.offset) && offset == 0
        })?;
        let stated = segment.address.wrapping_sub(segment.offset.wrapping_sub(offset));
        Some(start.0.wrapping_sub(stated))
    }

    /// First and one past the last address, at page boundaries, without bias.
    pub(super) fn extent(&self) -> Option<(u64, u64)> {
        let first = self.loads().map(|header| header.address).min()?;
        let last = self.loads().filter_map(ProgramHeader::end).max()?;
        let last = last.checked_next_multiple_of(PAGE)?;
        (last.checked_sub(first)? <= MAX_EXTENT).then_some((first & !(PAGE - 1), last))
    }

    /// The first segment of instructions: its address as stated.
    pub(super) fn code(&self) -> Option<u64> {
        // PF_X is 1.
        self.loads().find(|header| header.flags & 1 != 0).map(|header| header.address)
    }

    /// The access rights (`PF_*`) that the file asks for at a stated address.
    pub(super) fn flags_at(&self, address: u64) -> Option<u32> {
        let holds =
            |header: &&ProgramHeader| (header.address & !(PAGE - 1)..header.end().unwrap_or(0)).contains(&address);
        self.loads().find(holds).map(|header| header.flags)
    }

    /// The address of a segment of another type, without bias.
    pub(super) fn address_of(&self, kind: u32) -> Option<u64> {
        self.headers.iter().find(|header| header.kind == kind).map(|header| header.address)
    }

    /// The build id. `Ok(None)` where the notes are there and hold none.
    pub(super) fn build_id(&self, memory: &Memory, bias: u64) -> Known<Option<BuildId>> {
        let mut gap = None;
        for header in self.headers.iter().filter(|header| header.kind == PT_NOTE) {
            let at = Addr(header.address.wrapping_add(bias));
            let len = header.mem_size.min(MAX_NOTES);
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            match memory.read(at, &mut bytes) {
                Ok(()) => {
                    if let Some(id) = build_id_note(&bytes, header.align) {
                        return Ok(Some(id));
                    }
                }
                Err(why) => gap = Some(Gap::Unreadable(why)),
            }
        }
        gap.map_or(Ok(None), Err)
    }
}

/// The build id among notes that are padded to `align` bytes (4, or 8 where the segment says so).
fn build_id_note(bytes: &[u8], align: u64) -> Option<BuildId> {
    let align = if align == 8 { 8 } else { 4 };
    let words = Words(bytes);
    let mut at = 0usize;
    loop {
        // Three words each, so that every step advances by 12 bytes at least.
        let name_size = usize::try_from(words.u32(at)?).ok()?;
        let size = usize::try_from(words.u32(at.checked_add(4)?)?).ok()?;
        let kind = words.u32(at.checked_add(8)?)?;
        let name_at = at.checked_add(12)?;
        let content_at = name_at.checked_add(name_size)?.checked_next_multiple_of(align)?;
        let content = bytes.get(content_at..content_at.checked_add(size)?)?;
        if kind == NT_GNU_BUILD_ID && bytes.get(name_at..name_at.checked_add(name_size)?)? == b"GNU\0" {
            return BuildId::from_bytes(content);
        }
        at = content_at.checked_add(size)?.checked_next_multiple_of(align)?;
    }
}
