//! The file header and the program headers. What they state changes with nearly every change of the source: the end of
//! each segment, and where the section headers begin.

use symbols::Elf;

use super::module::{Held, Same};
use crate::model::Addr;

/// Bytes of an `Elf64_Ehdr`, an `Elf64_Phdr`; most program headers, of which real modules have about 14. Source: gABI
/// "ELF Header".
pub(super) const FILE_HEADER: usize = 64;
const PROGRAM_HEADER: u64 = 56;
const MAX_HEADERS: u64 = 512;
/// `e_shoff`; then `e_shentsize`, `e_shnum`, `e_shstrndx`: what `strip` changes of the file header. Source: gABI "ELF
/// Header".
const SECTION_FIELDS: [std::ops::Range<usize>; 2] = [40..48, 58..64];

/// Holds them against those in memory, where the dump has them.
pub(super) fn compare(held: &Held<'_>, file: &Elf, bias: u64, same: &mut Same) -> Result<(), String> {
    let Some(base) = base(held, file, bias) else { return Ok(()) };
    let mut theirs = [0; FILE_HEADER];
    let Some(mut ours) = file.bytes().get(..FILE_HEADER).and_then(|bytes| <[u8; FILE_HEADER]>::try_from(bytes).ok())
    else {
        return Ok(());
    };
    // A page that could not be read when the dump was written is zero in it.
    if held.memory.read(base, &mut theirs).is_err() || theirs == [0; FILE_HEADER] {
        return Ok(());
    }
    let sections = ours == theirs;
    without_sections(&mut ours);
    without_sections(&mut theirs);
    if ours != theirs {
        return Err("its file header is not the one in memory".to_owned());
    }
    let Some((at, count)) = table(&ours) else { return Ok(()) };
    let len = count.min(MAX_HEADERS).saturating_mul(PROGRAM_HEADER);
    let mut mapped = vec![0; usize::try_from(len).unwrap_or(0)];
    let place = usize::try_from(at).ok().and_then(|at| Some(at..at.checked_add(mapped.len())?));
    let stated = place.and_then(|place| file.bytes().get(place));
    let read = base.plus(at).is_some_and(|at| held.memory.read(at, &mut mapped).is_ok());
    let Some(stated) = stated.filter(|_| read) else { return Ok(()) };
    if stated != mapped.as_slice() {
        return Err("its program headers are not those in memory: its segments have other sizes or places".to_owned());
    }
    *same = Same { headers: true, sections, ..*same };
    Ok(())
}

/// Where the first byte of the file is mapped.
fn base(held: &Held<'_>, file: &Elf, bias: u64) -> Option<Addr> {
    let part = held.mapped.parts.iter().find(|part| part.offset == 0);
    let segment = || file.segments().iter().find(|segment| segment.offset == 0);
    part.map(|part| part.start).or_else(|| Some(Addr(segment()?.svma.0.wrapping_add(bias))))
}

/// Scrubs out what tells of section headers, which are not mapped.
pub(super) fn without_sections(header: &mut [u8]) {
    for field in SECTION_FIELDS {
        if let Some(field) = header.get_mut(field) {
            field.fill(0);
        }
    }
}

/// Where the program headers are in the file, and how many.
fn table(header: &[u8; FILE_HEADER]) -> Option<(u64, u64)> {
    // e_phoff at 32, e_phentsize at 54, e_phnum at 56.
    let offset = u64::from_le_bytes(header.get(32..40)?.try_into().ok()?);
    let size = u16::from_le_bytes(header.get(54..56)?.try_into().ok()?);
    let count = u16::from_le_bytes(header.get(56..58)?.try_into().ok()?);
    (u64::from(size) == PROGRAM_HEADER && count > 0).then_some((offset, count.into()))
}
