//! Pages of a file that are mapped without write access: symbols and their names, unwind tables, constants,
//! instructions.

use std::ops::Range;

use symbols::{Elf, LoadSegment, Machine, Svma};

use super::headers::{FILE_HEADER, without_sections};
use super::module::{Held, Same};
use crate::model::Addr;

/// Granularity of the comparison; mappings have the same, or a multiple.
const PAGE: u64 = 4096;
/// Pages of a segment that are compared: all, where it has no more; else the first ones, and others at equal distances.
/// A file of 100 MB is not read to open a dump.
const MOST_PAGES: u64 = 256;
const FIRST_PAGES: u64 = 64;
/// Pages of the exported symbols and their names, all of which are compared; the largest libraries have 4 MiB.
const MOST_NAMES: u64 = 2048;
/// Bytes of a page of instructions that may differ: a debugger's breakpoints, a tracer's jumps. Another build shifts
/// what follows.
const PATCHED: usize = 128;
/// `int3`, which a debugger puts over the first byte of an instruction.
const BREAKPOINT: u8 = 0xcc;

// Source: gABI "Dynamic Section": DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_TEXTREL, DT_FLAGS with DF_TEXTREL.
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_STRSZ: i64 = 10;
const DT_TEXTREL: i64 = 22;
const DT_FLAGS: i64 = 30;
const DF_TEXTREL: u64 = 4;

/// Holds them against those in memory, where the dump has them.
pub(super) fn compare(held: &Held<'_>, file: &Elf, bias: u64, same: &mut Same) -> Result<(), String> {
    // The loader wrote to them.
    if file.dynamic_value(DT_TEXTREL).is_some() || file.dynamic_value(DT_FLAGS).unwrap_or(0) & DF_TEXTREL != 0 {
        return Ok(());
    }
    let names = names(file);
    for segment in file.segments().iter().filter(|segment| !segment.write && segment.file_size > 0) {
        of_segment(held, file, bias, segment, &names, same)?;
    }
    Ok(())
}

/// Where the table of exported symbols and their names lie: every linker lays one behind the other.
fn names(file: &Elf) -> Range<u64> {
    let range = || {
        let (symbols, names) = (file.dynamic_value(DT_SYMTAB)?, file.dynamic_value(DT_STRTAB)?);
        let end = names.checked_add(file.dynamic_value(DT_STRSZ)?)?;
        let start = if symbols < names { symbols } else { names };
        (end.checked_sub(start)? <= MOST_NAMES.saturating_mul(PAGE)).then_some(start..end)
    };
    range().unwrap_or(0..0)
}

fn of_segment(
    held: &Held<'_>,
    file: &Elf,
    bias: u64,
    segment: &LoadSegment,
    names: &Range<u64>,
    same: &mut Same,
) -> Result<(), String> {
    let start = Addr(segment.svma.0.wrapping_add(bias));
    let Some(end) = start.plus(segment.file_size) else { return Ok(()) };
    let count = held.memory.bytes_within(start, end) / PAGE;
    let step = count.saturating_sub(FIRST_PAGES).div_ceil(MOST_PAGES.saturating_sub(FIRST_PAGES)).max(1);
    let mut index = 0u64;
    for (from, run) in held.runs(start, end) {
        let mut at = from;
        let mut rest = run;
        while !rest.is_empty() {
            // Up to the next page boundary.
            let len = PAGE.saturating_sub(at.0 % PAGE);
            let (mapped, after) = rest.split_at(usize::try_from(len).unwrap_or(rest.len()).min(rest.len()));
            let svma = at.0.wrapping_sub(bias);
            let has_names = svma < names.end && names.start < svma.saturating_add(mapped.len() as u64);
            let chosen = count <= MOST_PAGES || index < FIRST_PAGES || index.is_multiple_of(step);
            if chosen || has_names {
                of_page(file, segment, Svma(svma), mapped, names, same)?;
            }
            index = index.saturating_add(1);
            rest = after;
            let Some(next) = at.plus(mapped.len() as u64) else { return Ok(()) };
            at = next;
        }
    }
    Ok(())
}

fn of_page(
    file: &Elf,
    segment: &LoadSegment,
    at: Svma,
    mapped: &[u8],
    names: &Range<u64>,
    same: &mut Same,
) -> Result<(), String> {
    let stated = at.offset_from(segment.svma).and_then(|skip| {
        let from = usize::try_from(segment.offset.checked_add(skip)?).ok()?;
        Some((from, file.bytes().get(from..from.checked_add(mapped.len())?)?))
    });
    let Some((offset, stated)) = stated else {
        return Err(format!("it ends before {:#x}, which is mapped", at.0));
    };
    let of_names = at.0.saturating_add(mapped.len() as u64).min(names.end).saturating_sub(at.0.max(names.start));
    let differing = if stated == mapped {
        Vec::new()
    } else {
        // A page that could not be read when the dump was written is zero in it.
        if mapped.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        differing(file.machine(), offset, stated, mapped)
    };
    let in_names = differing.iter().find(|index| names.contains(&at.0.saturating_add(**index as u64)));
    match (in_names, differing.first()) {
        (Some(index), _) => Err(format!(
            "its exported symbols differ from those in memory at {:#x}",
            at.0.saturating_add(*index as u64)
        )),
        (None, Some(index)) if !segment.execute || differing.len() > PATCHED => {
            let what = if segment.execute { "instructions differ" } else { "constants differ" };
            let at = at.0.saturating_add(*index as u64);
            Err(format!("its {what} from those in memory at {at:#x} ({} of {} bytes)", differing.len(), mapped.len()))
        }
        (None, _) => {
            same.patched = same.patched.saturating_add(differing.len() as u64);
            same.bytes = same.bytes.saturating_add(mapped.len() as u64);
            same.names = same.names.saturating_add(of_names);
            Ok(())
        }
    }
}

/// Positions of bytes that differ, without a debugger's breakpoints and what the file header tells of sections.
fn differing(machine: Machine, offset: usize, stated: &[u8], mapped: &[u8]) -> Vec<usize> {
    let (mut stated, mut mapped) = (stated.to_vec(), mapped.to_vec());
    if offset == 0 {
        for bytes in [&mut stated, &mut mapped] {
            let end = bytes.len().min(FILE_HEADER);
            without_sections(bytes.get_mut(..end).unwrap_or_default());
        }
    }
    let pairs = stated.iter().zip(&mapped).enumerate();
    let others = pairs
        .filter(|(_, (stated, mapped))| stated != mapped && !(machine == Machine::X86_64 && **mapped == BREAKPOINT));
    others.map(|(index, _)| index).collect()
}
