//! Which range of code an address is in: the map of all code that the runtime has.

use super::super::clr::{Clr, plus};
use crate::model::{Addr, Known};

/// The levels of the map, by the bits that choose an entry of 256. Source: dotnet/runtime src/coreclr/vm/codeman.h, class
/// RangeSectionMap, for processors of 64 bits.
const UPPER: [u32; 4] = [49, 41, 33, 25];
const LAST: u32 = 17;
/// Most fragments that share one entry of the map, which stands for 128 KiB.
const MAX_FRAGMENTS: usize = 256;
// Kinds of ranges: code of the JIT, and what is listed apart. Source: codeman.h, enum RangeSectionFlags.
const CODE_HEAP: u32 = 2;
const RANGE_LIST: u32 = 4;

/// A range of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// Its first address.
    pub(super) begin: Addr,
    /// The `Module` whose ReadyToRun code it is; 0 for other code.
    pub(super) ready_to_run: Addr,
    /// The heap of code that it is; 0 for other code.
    pub(super) heap: Addr,
    /// The kind of stub that all of it is, by number; 0 for other code.
    pub(super) stubs: u32,
}

/// Whether an address is in code of the runtime's, of which its tables may be missing.
pub(in crate::runtimes::coreclr) fn owns(clr: &Clr, code: Addr) -> bool {
    range(clr, code).is_ok_and(|range| range.is_some())
}

/// The range that an address is in.
pub(super) fn range(clr: &Clr, code: Addr) -> Known<Option<Range>> {
    let entry = |table: Addr, shift: u32| {
        let index = code.0 >> shift & 0xff;
        let entry = clr.memory().ptr(plus(table, index.saturating_mul(8))?)?;
        // The lowest bit tells that what it leads to may be collected.
        Ok::<Addr, crate::model::Gap>(Addr(entry.0 & !1))
    };
    let mut table = clr.variable("ExecutionManagerCodeRangeMapAddress")?;
    for shift in UPPER {
        table = entry(table, shift)?;
        if table.0 == 0 {
            return Ok(None);
        }
    }
    let mut fragment = entry(table, LAST)?;
    for _ in 0..MAX_FRAGMENTS {
        if fragment.0 == 0 {
            return Ok(None);
        }
        let of = |member| clr.ptr(fragment, "RangeSectionFragment", member);
        if of("RangeBegin")? <= code && code < of("RangeEndOpen")? {
            return section(clr, of("RangeSection")?).map(Some);
        }
        fragment = Addr(of("Next")?.0 & !1);
    }
    Ok(None)
}

fn section(clr: &Clr, section: Addr) -> Known<Range> {
    let flags = clr.u32(section, "RangeSection", "Flags")?;
    let is_heap = flags & CODE_HEAP != 0;
    let stubs = || {
        let list = clr.ptr(section, "RangeSection", "RangeList")?;
        clr.u32(list, "CodeRangeMapRangeList", "RangeListType")
    };
    Ok(Range {
        begin: clr.ptr(section, "RangeSection", "RangeBegin")?,
        ready_to_run: clr.ptr(section, "RangeSection", "R2RModule")?,
        heap: if is_heap { clr.ptr(section, "RangeSection", "HeapList")? } else { Addr(0) },
        stubs: if flags & RANGE_LIST != 0 { stubs().unwrap_or(0) } else { 0 },
    })
}
