//! Where the function that holds an address begins, where no symbol tells: from the sorted table of a module's unwind information.
//!
//! Input: a module's headers, in its file or in the dump, and an address. Output: the last beginning at or before it. The table states no ends: an address behind
//! the last byte of a function gets that function's beginning, and who follows its code does not arrive. Specification: Linux Standard
//! Base 5.0, "The .eh_frame_hdr section".

use crate::capture::Memory;
use crate::model::Addr;
use crate::target::{Module, Target};

/// Version; encodings of the pointer to .eh_frame, of the count, of the table.
const VERSION: u8 = 1;
/// A count of 4 bytes (DW_EH_PE_udata4), a pointer of 4 (…_sdata4, relative to itself), entries of two signed words that are relative
/// to the section. All linkers write these.
const COUNT: u8 = 0x03;
const POINTER: u8 = 0x1b;
const TABLE: u8 = 0x3b;
/// Bytes before the count, before the table, of an entry.
const BEFORE_COUNT: u64 = 8;
const BEFORE_TABLE: u64 = 12;
const ENTRY: u64 = 8;
/// Bytes of a program header, and how many are looked at; real modules have about a dozen.
const HEADER: u16 = 56;
const MAX_HEADERS: u16 = 256;
/// Source: Linux Standard Base 5.0, "Program Header Types".
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// The beginning of the function that holds `at`, as its symbol or the unwind information has it.
pub(super) fn of(target: &Target, at: Addr) -> Option<Addr> {
    let module = target.module_at(at)?;
    if let Some(symbol) = target.function(at) {
        return module.addr(symbol.svma);
    }
    by_table(module, &target.memory, at)
}

fn by_table(module: &Module, memory: &Memory, at: Addr) -> Option<Addr> {
    let (header, size) = match module.elf() {
        Some(elf) => elf.program_header_eh_frame().and_then(|(svma, size)| Some((module.addr(svma)?, size)))?,
        None => in_memory(module, memory)?,
    };
    // The file's read-only pages are beneath the dump's.
    if memory.slice(header, 4) != Ok(&[VERSION, POINTER, COUNT, TABLE]) {
        return None;
    }
    let word = |at: u64| memory.u32(header.plus(at)?).ok();
    let start = |index: u64| {
        let offset = word(BEFORE_TABLE.checked_add(index.checked_mul(ENTRY)?)?)?.cast_signed();
        header.offset(offset.into())
    };
    let wanted = at;
    let (mut low, mut high) = (0, u64::from(word(BEFORE_COUNT)?).min(size / ENTRY));
    // The last entry at or before the address; a table that is not sorted ends the search somewhere, too.
    while low < high {
        let middle = low.checked_add(high.checked_sub(low)? / 2)?;
        if start(middle)? <= wanted {
            low = middle.checked_add(1)?;
        } else {
            high = middle;
        }
    }
    start(low.checked_sub(1)?)
}

/// Where the table is, by the program headers as the dump holds them. Elf64_Ehdr: e_phoff 32, e_phentsize 54, e_phnum 56. Elf64_Phdr: p_type
/// 0, p_vaddr 16, p_memsz 40. Source: System V ABI (gABI).
fn in_memory(module: &Module, memory: &Memory) -> Option<(Addr, u64)> {
    let base = module.mapped.base;
    if memory.u32(base).ok()? != u32::from_le_bytes(*b"\x7fELF") || memory.u16(base.plus(54)?).ok()? != HEADER {
        return None;
    }
    let table = base.plus(memory.u64(base.plus(32)?).ok()?)?;
    let count = memory.u16(base.plus(56)?).ok()?.min(MAX_HEADERS);
    let at = |index: u16| table.plus(u64::from(index).checked_mul(HEADER.into())?);
    let mut headers = (0..count).map_while(at);
    let header = headers.find(|at| memory.u32(*at) == Ok(PT_GNU_EH_FRAME))?;
    let address = memory.u64(header.plus(16)?).ok()?;
    Some((module.addr(symbols::Svma(address))?, memory.u64(header.plus(40)?).ok()?))
}
