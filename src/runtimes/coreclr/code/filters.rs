//! Which funclets of a method decide whether a handler is to run.

use super::super::clr::{Clr, plus};
use super::place::{Compiled, Place};
use super::sections::section;
use crate::model::{Addr, Gap, Known};

/// Most clauses of a method.
const MAX: u64 = 1 << 12;
/// Source: ECMA-335 II.25.4.6, COR_ILEXCEPTION_CLAUSE_FILTER.
const FILTER: u32 = 1;

/// Whether the function at a place is a filter: while it runs nothing has been unwound.
pub(in crate::runtimes::coreclr) fn is_filter(clr: &Clr, place: &Place) -> Known<bool> {
    let Some(own) = place.function.since(place.start).and_then(|offset| u32::try_from(offset).ok()) else {
        return Ok(false);
    };
    let (first, count, size) = match place.compiled {
        Compiled::Jitted { header } => jitted(clr, header)?,
        Compiled::ReadyToRun { image, info, .. } => ready_to_run(clr, image, info, place.start)?,
    };
    // The flags come first, where a filter begins last.
    for index in 0..count {
        let clause = plus(first, index.saturating_mul(size))?;
        let last = size.saturating_sub(if size == JITTED { 8 } else { 4 });
        if clr.memory().u32(clause)? & FILTER != 0 && clr.memory().u32(plus(clause, last)?)? == own {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Bytes of a clause of the JIT's, and of one in an image. Sources: dotnet/runtime src/coreclr/inc/corhlpr.h, EE_ILEXCEPTION_CLAUSE, whose last
/// four bytes are of a pointer's; inc/corcompile.h, CORCOMPILE_EXCEPTION_CLAUSE.
const JITTED: u64 = 32;
const IN_IMAGE: u64 = 24;

/// Where a method's clauses begin, their number, and the bytes of each.
type Clauses = (Addr, u64, u64);

fn jitted(clr: &Clr, header: Addr) -> Known<Clauses> {
    /// A head of four bytes, aligned. Source: corhlpr.h, COR_ILMETHOD_SECT_FAT.
    const HEAD: u64 = 8;
    let section = clr.ptr(header, "RealCodeHeader", "EHInfo")?;
    if section.0 == 0 {
        return Ok((section, 0, JITTED));
    }
    // Their number stands before the head.
    let count = section.minus(8).ok_or_else(|| Gap::Corrupt(format!("clauses at {section}")))?;
    Ok((plus(section, HEAD)?, counted(clr.memory().u64(count)?)?, JITTED))
}

fn ready_to_run(clr: &Clr, image: Addr, info: Addr, start: Addr) -> Known<Clauses> {
    // Source: readytorun.h, ReadyToRunSectionType::ExceptionInfo, READYTORUN_EXCEPTION_LOOKUP_TABLE_ENTRY: the method, its clauses; ascending,
    // with one more at the end.
    const EXCEPTION_INFO: u32 = 104;
    const ENTRY: u64 = 8;
    let none = || Gap::Corrupt(format!("clauses of the method at {start}"));
    let memory = clr.memory();
    let own = start.since(image).and_then(|own| u32::try_from(own).ok()).ok_or_else(none)?;
    let Some((table, bytes)) = section(clr, image, info, EXCEPTION_INFO)? else { return Ok((start, 0, IN_IMAGE)) };
    let entry = |index: u64| plus(table, index.saturating_mul(ENTRY));
    let (mut low, mut high) = (0, (u64::from(bytes) / ENTRY).saturating_sub(1));
    while low < high {
        let middle = low.midpoint(high);
        if memory.u32(entry(middle)?)? < own { low = middle.saturating_add(1) } else { high = middle }
    }
    if memory.u32(entry(low)?)? != own {
        return Ok((start, 0, IN_IMAGE));
    }
    let clauses = |index: u64| Ok::<u32, Gap>(memory.u32(plus(entry(index)?, 4)?)?);
    let (from, to) = (clauses(low)?, clauses(low.saturating_add(1))?);
    let count = u64::from(to.checked_sub(from).ok_or_else(none)?) / IN_IMAGE;
    Ok((plus(image, from.into())?, counted(count)?, IN_IMAGE))
}

fn counted(count: u64) -> Known<u64> {
    if count > MAX { Err(Gap::Corrupt(format!("{count} clauses of a method"))) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    #[test]
    fn a_filter_begins_where_a_clause_of_its_method_says() {
        // A header at 0x1000 whose clauses' section is at 0x1018: their number, the head, then of a catch clause and of one with a filter flags, where
        // what is tried and the handler begin and end, the class's token or where the filter begins.
        let head = 0x41 | 72 << 8;
        let clauses =
            [0, 2, head, 0x10 << 32, 0x30 << 32 | 0x20, 0x40, 0x80, 0x10 << 32 | 1, 0x60 << 32 | 0x20, 0x70, 0x50];
        let words: Vec<u64> = [0, 0x1018].into_iter().chain(clauses.into_iter().skip(1)).collect();
        let clr = Clr::by_hand(10, Memory::of(0x1000, &words), &[]);
        let is_filter = |function: u64| {
            let (compiled, unwind) = (Compiled::Jitted { header: Addr(0x1000) }, Addr(0));
            let (start, function) = (Addr(0x8000), Addr(0x8000 + function));
            is_filter(&clr, &Place { method: Addr(0), start, function, unwind, compiled })
        };
        assert_eq!([0x50, 0x60, 0x30, 0x80].map(is_filter), [Ok(true), Ok(false), Ok(false), Ok(false)]);
    }
}
