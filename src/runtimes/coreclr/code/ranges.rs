//! Which range of code an address is in: the map of all code that the runtime has.

use std::ops;

use rustc_hash::FxHashSet;

use super::super::clr::{Clr, plus};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};

/// The levels of the map, by the bits that choose an entry of 256. Source: dotnet/runtime src/coreclr/vm/codeman.h, class
/// RangeSectionMap, for processors of 64 bits.
const UPPER: [u32; 4] = [49, 41, 33, 25];
const LAST: u32 = 17;
/// Most fragments that share one entry of the map, which stands for 128 KiB.
const MAX_FRAGMENTS: usize = 256;
/// What heaps of code are reserved by.
const PAGE: u64 = 4096;
/// Most tables of the map that are looked at in search of all ranges: one of the last level stands for 32 MiB.
const MAX_TABLES: usize = 1 << 14;
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
        Ok::<Addr, Gap>(Addr(entry.0 & !1))
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

/// The memory of every heap of code, ascending; why some may be missing. Fails once the job is cancelled.
pub(in crate::runtimes::coreclr) fn heaps(clr: &Clr, job: &Job) -> Result<(Vec<ops::Range<Addr>>, Option<Gap>), Error> {
    let (mut found, mut gap) = (Vec::new(), None);
    let (mut seen, mut meter) = (FxHashSet::default(), job.meter());
    // The levels that are still below a table.
    let mut pending: Vec<(Addr, usize)> = match clr.variable("ExecutionManagerCodeRangeMapAddress") {
        Ok(table) => vec![(table, UPPER.len())],
        Err(why) => return Ok((found, Some(why))),
    };
    while let Some((table, below)) = pending.pop() {
        if !seen.insert(table) {
            continue;
        }
        if seen.len() > MAX_TABLES {
            gap.get_or_insert_with(|| Gap::Unsupported(format!("a map of code of more than {MAX_TABLES} tables")));
            break;
        }
        for index in 0..256u64 {
            meter.add(1)?;
            let entry = plus(table, index.saturating_mul(8)).and_then(|at| Ok(clr.memory().ptr(at)?));
            match (entry.map(|entry| Addr(entry.0 & !1)), below.checked_sub(1)) {
                (Ok(Addr(0)), _) => {}
                (Ok(entry), Some(below)) => pending.push((entry, below)),
                (Ok(fragment), None) => {
                    if let Err(why) = add_heaps(clr, fragment, &mut seen, &mut found) {
                        gap.get_or_insert(why);
                    }
                }
                (Err(why), _) => {
                    gap.get_or_insert(why);
                    break;
                }
            }
        }
    }
    found.sort_by_key(|range: &ops::Range<Addr>| range.start);
    found.dedup();
    Ok((found, gap))
}

/// Adds those of an entry's fragments that are heaps of code and were not seen.
fn add_heaps(clr: &Clr, first: Addr, seen: &mut FxHashSet<Addr>, found: &mut Vec<ops::Range<Addr>>) -> Known<()> {
    let mut fragment = first;
    for _ in 0..MAX_FRAGMENTS {
        if fragment.0 == 0 {
            return Ok(());
        }
        let at = clr.ptr(fragment, "RangeSectionFragment", "RangeSection")?;
        let of = |member| clr.ptr(at, "RangeSection", member);
        if seen.insert(at) && section(clr, at)?.heap.0 != 0 {
            let (begin, end) = (of("RangeBegin")?, of("RangeEndOpen")?);
            if begin >= end {
                return Err(Gap::Corrupt(format!("the heap of code that {at} describes")));
            }
            // Pages were reserved; the first words of a heap are its own.
            found.push(Addr(begin.0 & !(PAGE - 1))..Addr(end.0.saturating_add(PAGE - 1) & !(PAGE - 1)));
        }
        fragment = Addr(clr.ptr(fragment, "RangeSectionFragment", "Next")?.0 & !1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    /// Where the map's variable is, its first table, and what follows the five tables.
    const BASE: u64 = 0x10000;
    const TABLES: u64 = BASE + 8;
    const TABLE: u64 = 256 * 8;
    const FRAGMENT: u64 = TABLES + 5 * TABLE;

    /// The heaps of a map with one way through its tables to these words.
    fn read(below: u64, fragment: &[u64]) -> (Vec<ops::Range<Addr>>, Option<Gap>) {
        let mut words = vec![0; 1 + 5 * 256];
        words[0] = TABLES;
        for level in 0..4 {
            words[1 + level * 256 + 3] = TABLES + (level as u64 + 1) * TABLE;
        }
        // The lowest bit says that it may go.
        words[1 + 4 * 256 + 7] = below | 1;
        words.extend(fragment);
        let clr = Clr::by_hand(10, Memory::of(BASE, &words), &[("ExecutionManagerCodeRangeMapAddress", BASE)]);
        heaps(&clr, &Job::default()).expect("it is not cancelled")
    }

    /// A fragment {next, begin, end, section} and its section {begin, end, flags, module, list, …}.
    fn fragment(next: u64, begin: u64, end: u64, flags: u64) -> Vec<u64> {
        vec![next, begin, end, FRAGMENT + 32, begin, end, flags, 0, 0, 0x5000, 0]
    }

    #[test]
    fn heaps_of_code_are_found_through_the_map_by_whole_pages() {
        let found = read(FRAGMENT, &fragment(0, 0x7000_0010, 0x7000_9ff0, CODE_HEAP.into()));
        assert_eq!(found, (vec![Addr(0x7000_0000)..Addr(0x7000_a000)], None));
        let other = read(FRAGMENT, &fragment(0, 0x7000_0010, 0x7000_9ff0, 0));
        assert_eq!(other, (Vec::new(), None), "precompiled code is of a file");
    }

    #[test]
    fn what_is_wrong_in_the_map_ends_and_is_told() {
        let circle = read(FRAGMENT, &fragment(FRAGMENT, 0x7000_0010, 0x7000_9ff0, CODE_HEAP.into()));
        assert_eq!(circle.0.len(), 1, "a section is looked at once");
        let turned = read(FRAGMENT, &fragment(0, 0x7000_9ff0, 0x7000_0010, CODE_HEAP.into()));
        assert!(turned.0.is_empty() && matches!(turned.1, Some(Gap::Corrupt(_))), "{turned:?}");
        let nowhere = read(0xdead_0000, &[]);
        assert!(nowhere.0.is_empty() && nowhere.1.is_some(), "{nowhere:?}");
        // A table that leads back to the first.
        let back = read(TABLES, &[]);
        assert!(back.0.is_empty(), "{back:?}");
    }
}
