//! Where the function that holds an address begins, where no symbol tells: from the sorted table of a module's unwind information.
//!
//! Input: a module's file and an address. Output: the last beginning at or before it. The table states no ends: an address behind
//! the last byte of a function gets that function's beginning, and who follows its code does not arrive. Specification: Linux Standard
//! Base 5.0, "The .eh_frame_hdr section".

use symbols::Elf;

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

/// The beginning of the function that holds `at`, as its symbol or the unwind information has it.
pub(super) fn of(target: &Target, at: Addr) -> Option<Addr> {
    let module = target.module_at(at)?;
    if let Some(symbol) = target.function(at) {
        return module.addr(symbol.svma);
    }
    by_table(module, module.elf()?, at)
}

fn by_table(module: &Module, elf: &Elf, at: Addr) -> Option<Addr> {
    let (header, size) = elf.program_header_eh_frame()?;
    let bytes = elf.bytes_at(header, size)?;
    let &[VERSION, POINTER, COUNT, TABLE, ..] = bytes else { return None };
    let word = |at: u64| {
        let at = usize::try_from(at).ok()?;
        Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let start = |index: u64| {
        let offset = word(BEFORE_TABLE.checked_add(index.checked_mul(ENTRY)?)?)?.cast_signed();
        header.0.checked_add_signed(offset.into())
    };
    let wanted = module.svma(at)?.0;
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
    module.addr(symbols::Svma(start(low.checked_sub(1)?)?))
}
