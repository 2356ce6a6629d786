//! What the loader relocated and then made read-only: the dynamic section, pointers to the module itself. A dump by the
//! kernel holds it where it holds no other page of a module.

use std::ops::Range;

use symbols::{Elf, Svma};

use super::module::{Held, Same};
use crate::model::Addr;

/// Relocations that are looked at, and words that are compared, of each kind.
const MAX_SEEN: usize = 1 << 16;
const MAX_WORDS: usize = 1 << 12;
/// One in so many relocated words may hold something else: a loader keeps its own variables there, and sets them before
/// it protects them.
const TOLERATED: u64 = 8;

// Source: gABI "Program Header", "Dynamic Section".
const PT_DYNAMIC: u32 = 2;
const PT_GNU_RELRO: u32 = 0x6474_e552;
/// `DT_DEBUG`, which the loader sets.
const DT_DEBUG: u64 = 21;

/// Holds the dynamic section against the one in memory. glibc's loader adds the bias to addresses in it, musl's does
/// not.
pub(super) fn dynamic(held: &Held<'_>, file: &Elf, bias: u64, same: &mut Same) -> Result<(), String> {
    let header = file.program_headers().iter().find(|header| header.kind == PT_DYNAMIC);
    let Some(start) = header.map(|header| header.svma).filter(|start| is_protected(file, *start)) else {
        return Ok(());
    };
    for (index, (tag, value)) in file.dynamic().enumerate() {
        let at = (index as u64).checked_mul(16).and_then(|skip| start.checked_add(skip));
        let Some(at) = at.map(|at| Addr(at.0.wrapping_add(bias))) else { break };
        let words = held.memory.u64(at).ok().zip(at.plus(8).and_then(|at| held.memory.u64(at).ok()));
        // What the dump lacks is not compared, and what could not be read when it was written is zero in it.
        let Some((their_tag, their_value)) = words.filter(|words| *words != (0, 0)) else { break };
        let tag = tag.cast_unsigned();
        if tag != their_tag || (tag != DT_DEBUG && value != their_value && value.wrapping_add(bias) != their_value) {
            return Err(format!("its dynamic section is not the one in memory: entry {index} differs"));
        }
        same.entries = same.entries.saturating_add(1);
    }
    Ok(())
}

/// Holds pointers of the module to itself against those in memory.
pub(super) fn words(held: &Held<'_>, file: &Elf, bias: u64, same: &mut Same) -> Result<(), String> {
    let Some(range) = protected(file) else { return Ok(()) };
    let inside = |at: Svma| range.contains(&at.0);
    let read = |at: Svma| held.memory.u64(Addr(at.0.wrapping_add(bias))).ok().filter(|word| *word != 0);
    let stated = |at: Svma| Some(u64::from_le_bytes(file.bytes_at(at, 8)?.try_into().ok()?));
    let relative = file.relative_words().take(MAX_SEEN).filter(|word| inside(word.at)).take(MAX_WORDS);
    let relative = relative.filter_map(|word| {
        let addend = word.addend.map(|addend| addend.0).or_else(|| stated(word.at))?;
        Some(read(word.at)? == addend.wrapping_add(bias))
    });
    let (mut equal, mut others) = (0u64, 0u64);
    for is_equal in relative {
        let count = if is_equal { &mut equal } else { &mut others };
        *count = count.saturating_add(1);
    }
    if others.saturating_mul(TOLERATED) > equal {
        let all = equal.saturating_add(others);
        return Err(format!("{others} of {all} pointers in its relocated data are others in memory"));
    }
    let symbols = file.own_symbol_words().take(MAX_SEEN).filter(|(at, _)| inside(*at)).take(MAX_WORDS);
    for (at, address) in symbols {
        let Some(word) = read(at) else { continue };
        if word == address.0.wrapping_add(bias) {
            equal = equal.saturating_add(1);
            continue;
        }
        // Another module may define the symbol, too; a call that was not made yet leads to the file's own stub.
        let is_own = (held.mapped.base.0..held.mapped.end.0).contains(&word);
        let is_lazy = stated(at).is_some_and(|stub| word == stub || word == stub.wrapping_add(bias));
        if is_own && !is_lazy {
            return Err(format!("the pointer at {:#x} in memory leads to another of its symbols", at.0));
        }
    }
    same.words = same.words.saturating_add(equal);
    Ok(())
}

/// What the loader makes read-only once it is relocated.
fn protected(file: &Elf) -> Option<Range<u64>> {
    let header = file.program_headers().iter().find(|header| header.kind == PT_GNU_RELRO)?;
    Some(header.svma.0..header.svma.0.checked_add(header.mem_size)?)
}

/// Whether nobody writes to what stands there once it is relocated.
fn is_protected(file: &Elf, at: Svma) -> bool {
    let read_only = file
        .segments()
        .iter()
        .any(|segment| !segment.write && at.offset_from(segment.svma).is_some_and(|skip| skip < segment.file_size));
    read_only || protected(file).is_some_and(|range| range.contains(&at.0))
}
