//! A module's file, rebuilt from the dump's own pages: the vDSO, and modules whose file is lost but whose pages were
//! dumped.
//!
//! Input: a mapped module and the dump's memory. Output: an ELF file whose program headers announce only bytes that are
//! in the dump, so that a page that was left out stays unknown and never reads as zero.

use std::sync::Arc;

use symbols::{Elf, FileBytes, Located};

use super::{ImageKind, MappedModule, Memory};
use crate::model::Addr;

/// Largest file that is rebuilt. The libraries of a full dump whose files are lost are rebuilt at once when it is
/// opened.
const MAX_IMAGE: u64 = 256 << 20;
/// Largest size of all of them; a sparse dump may seem to hold any number of bytes.
const MAX_IMAGES: u64 = 1 << 30;
/// Bytes beyond those of the dump: files have holes between their segments.
const HOLES: u64 = 64 << 20;
/// Most program headers; real modules have about 14.
const MAX_HEADERS: u64 = 512;
/// Bytes of an `Elf64_Ehdr`, an `Elf64_Phdr`. Source: gABI.
const FILE_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
/// Most entries of a dynamic section; real ones have about 30.
const MAX_DYNAMIC: u64 = 4096;
/// Granularity of mappings.
const PAGE: u64 = 4096;

/// How much all files that are rebuilt of one dump may take: what the dump holds, and some holes. Hundreds of modules
/// may claim the same memory, or to begin far behind it.
#[derive(Debug)]
pub struct Room(u64);

impl Room {
    /// For a dump of this memory.
    pub fn of(memory: &Memory) -> Room {
        Room(memory.bytes_within(Addr(0), Addr(u64::MAX)).min(MAX_IMAGES).saturating_add(HOLES))
    }
}

/// The module as the dump holds it; nothing is found where its header or some of its instructions are not in the dump,
/// or where there is no room left for it.
pub fn from_memory(mapped: &MappedModule, memory: &Memory, room: &mut Room) -> Located {
    let most = room.0.min(MAX_IMAGE);
    let image = match mapped.image {
        // The kernel maps the whole file, section headers included.
        ImageKind::Vdso => whole(mapped, memory, most),
        ImageKind::Elf { .. } => None,
    };
    let image = image.or_else(|| segments(mapped, memory, most));
    room.0 = room.0.saturating_sub(image.as_ref().map_or(0, |image| image.len() as u64));
    let elf = image.and_then(|bytes| Elf::parse(FileBytes::from_vec(bytes)).ok()).filter(Elf::has_code);
    Located { verified: elf.is_some(), elf: elf.map(Arc::new), place: None, attempts: Vec::new() }
}

/// Completes what the dump leaves open about a module from its file: the bias, and where it ends in memory.
pub fn place(mapped: &mut MappedModule, elf: &Elf) {
    if mapped.bias.is_none() {
        mapped.bias = bias(mapped, elf);
    }
    let last = elf.segments().iter().filter_map(|segment| segment.svma.checked_add(segment.mem_size)).max();
    let Some((last, bias)) = last.zip(mapped.bias) else { return };
    let end = Addr(last.0.wrapping_add(bias)).0.checked_next_multiple_of(PAGE).map(Addr);
    if let Some(end) = end.filter(|end| *end > mapped.base) {
        // Without NT_FILE the end was a guess; with it, zero-initialised data behind the last mapped part may be
        // missing.
        mapped.end = if mapped.parts.is_empty() { end.min(mapped.end) } else { end.max(mapped.end) };
    }
}

/// What is added to the file's addresses to get the target's.
pub(super) fn bias(mapped: &MappedModule, elf: &Elf) -> Option<u64> {
    let placed = elf.segments().iter().find_map(|segment| {
        // A segment is mapped from the page that holds its first byte.
        let part = mapped.parts.iter().find(|part| {
            let len = part.end.since(part.start).unwrap_or(0);
            segment.offset.checked_sub(part.offset).is_some_and(|skip| skip < len)
        })?;
        let skip = segment.offset.wrapping_sub(part.offset);
        Some(part.start.0.wrapping_add(skip).wrapping_sub(segment.svma.0))
    });
    // A core without NT_FILE tells the first mapping only.
    placed.or_else(|| {
        let first = elf.segments().first().filter(|_| mapped.parts.is_empty())?;
        Some(mapped.base.0.wrapping_sub(first.svma.0.wrapping_sub(first.offset)))
    })
}

/// The mapped bytes as they are: for a file that is mapped whole and in its own order.
fn whole(mapped: &MappedModule, memory: &Memory, most: u64) -> Option<Vec<u8>> {
    read(memory, mapped.base, mapped.end.since(mapped.base)?, most)
}

/// The file put together from its segments, if it has at most `most` bytes.
fn segments(mapped: &MappedModule, memory: &Memory, most: u64) -> Option<Vec<u8>> {
    let bias = mapped.bias?;
    let mut header = read(memory, mapped.base, FILE_HEADER as u64, most)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    // e_phoff at 32, e_phentsize at 54, e_phnum at 56.
    let table = u64_at(&header, 32).filter(|table| *table <= most)?;
    let count = u64::from(u16_at(&header, 56)?).min(MAX_HEADERS);
    if usize::from(u16_at(&header, 54)?) != PROGRAM_HEADER {
        return None;
    }
    let mut headers = read(memory, mapped.base.plus(table)?, count.checked_mul(PROGRAM_HEADER as u64)?, most)?;
    // e_shoff at 40, e_shnum at 60, e_shstrndx at 62: sections are not mapped, save by accident.
    put(&mut header, 40, &[0; 8])?;
    put(&mut header, 60, &[0; 4])?;
    let mut image = Vec::new();
    for entry in headers.chunks_exact_mut(PROGRAM_HEADER) {
        // p_type at 0, p_offset at 8, p_vaddr at 16, p_filesz at 32.
        if u32_at(entry, 0)? != PT_LOAD {
            continue;
        }
        let (offset, address, size) = (u64_at(entry, 8)?, u64_at(entry, 16)?, u64_at(entry, 32)?);
        let end = offset.checked_add(size).filter(|end| *end <= most)?;
        let bytes = prefix(memory, Addr(address.wrapping_add(bias)), size);
        // Smaller dumps hold pages of code here and there. p_flags at 4; PF_X is 1.
        let executable = u32_at(entry, 4)? & 1 != 0;
        if executable && (bytes.len() as u64) < size {
            return None;
        }
        put(entry, 32, &(bytes.len() as u64).to_le_bytes())?;
        image.resize(image.len().max(usize::try_from(end).ok()?), 0);
        put(&mut image, usize::try_from(offset).ok()?, &bytes)?;
    }
    let table = usize::try_from(table).ok()?;
    image.resize(image.len().max(table.checked_add(headers.len())?).max(FILE_HEADER), 0);
    put(&mut image, 0, &header)?;
    put(&mut image, table, &headers)?;
    let dynamic = headers.chunks_exact(PROGRAM_HEADER).find(|entry| u32_at(entry, 0) == Some(PT_DYNAMIC));
    if let Some((offset, size)) = dynamic.and_then(|entry| u64_at(entry, 8).zip(u64_at(entry, 32))) {
        restore_dynamic(&mut image, offset, size, bias);
    }
    Some(image)
}

/// glibc's loader adds the bias to addresses in the dynamic section where it lies in memory: takes it off again. What
/// does not lie above the bias is as the file has it, as other loaders leave it.
fn restore_dynamic(image: &mut [u8], offset: u64, size: u64, bias: u64) {
    // DT_PLTGOT, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_JMPREL, DT_GNU_HASH, DT_VERSYM.
    // Source: glibc 2.36, elf/get-dynamic-info.h, ADJUST_DYN_INFO.
    const ADJUSTED: [u64; 8] = [3, 4, 5, 6, 7, 23, 0x6fff_fef5, 0x6fff_fff0];
    for entry in 0..(size / 16).min(MAX_DYNAMIC) {
        let at = offset.checked_add(entry * 16).and_then(|at| usize::try_from(at).ok());
        let fields =
            at.and_then(|at| Some((at.checked_add(8)?, u64_at(image, at)?, u64_at(image, at.checked_add(8)?)?)));
        let Some((at, tag, value)) = fields else { break };
        let stated = value.checked_sub(bias).filter(|stated| *stated < MAX_IMAGE);
        if let Some(stated) = stated.filter(|_| bias > 0 && ADJUSTED.contains(&tag)) {
            let _ = put(image, at, &stated.to_le_bytes());
        }
    }
}

fn read(memory: &Memory, at: Addr, len: u64, most: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= most)?];
    memory.read(at, &mut bytes).ok()?;
    Some(bytes)
}

/// The bytes from `at` on that are in the dump without a gap, at most `len`.
fn prefix(memory: &Memory, at: Addr, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(left) = len.checked_sub(bytes.len() as u64).filter(|left| *left > 0)
        && let Some(next) = at.plus(bytes.len() as u64)
        && let Ok(run) = memory.slice_up_to(next, left)
    {
        bytes.extend_from_slice(run);
    }
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{MappedPart, Role};

    const BASE: u64 = 0x10_0000;

    /// A file header whose table of `count` program headers is at `table`, then one PT_LOAD of `size` bytes at `offset`
    /// that is mapped from the base on.
    fn memory(table: u64, count: u16, offset: u64, size: u64) -> Memory {
        let mut bytes = vec![0u8; 0x2000];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16..18].copy_from_slice(&3u16.to_le_bytes());
        bytes[18..20].copy_from_slice(&62u16.to_le_bytes());
        bytes[32..40].copy_from_slice(&table.to_le_bytes());
        bytes[54..58].copy_from_slice(&[56, 0, count.to_le_bytes()[0], 0]);
        bytes[64..72].copy_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
        for (at, word) in [(72, offset), (80, 0), (96, size), (104, size)] {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        Memory::of_bytes(BASE, &bytes)
    }

    fn module() -> MappedModule {
        let (base, end) = (Addr(BASE), Addr(BASE + 0x2000));
        let parts = vec![MappedPart { start: base, end, offset: 0 }];
        let (bias, path, build_id, role) = (Some(BASE), None, Ok(None), Role::Library);
        MappedModule { base, end, bias, path, build_id, parts, copies: Vec::new(), role, image: ImageKind::ELF }
    }

    #[test]
    fn a_table_of_no_headers_far_away_takes_no_memory() {
        let memory = memory(0x18_0000_0000, 0, 0, 0x2000);
        assert!(from_memory(&module(), &memory, &mut Room::of(&memory)).elf.is_none());
    }

    #[test]
    fn a_module_of_whose_code_a_part_is_missing_is_not_rebuilt() {
        for (size, rebuilt) in [(0x2000, true), (0x2001, false)] {
            let memory = memory(64, 1, 0, size);
            assert_eq!(from_memory(&module(), &memory, &mut Room::of(&memory)).elf.is_some(), rebuilt, "{size:#x}");
        }
    }

    #[test]
    fn modules_that_claim_too_much_together_are_not_rebuilt() {
        // 40 MiB of hole each: the room for holes is 64 MiB.
        let memory = memory(64, 1, 40 << 20, 0x1000);
        let mut room = Room::of(&memory);
        let rebuilt: Vec<bool> = (0..3).map(|_| from_memory(&module(), &memory, &mut room).elf.is_some()).collect();
        assert_eq!(rebuilt, [true, false, false]);
    }
}
