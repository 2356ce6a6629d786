//! What objects refer to, and who refers to given ones.
//!
//! Input: an object, or objects that are looked for. Output: slots with what they hold. Specification: dotnet/runtime
//! src/coreclr/gc/gcdesc.h: before each method table stand runs of references, counted from its end.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::segments::{Segment, Segments};
use super::walk::Walked;
use crate::capture::Memory;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::types::Types;

/// Most runs of one class.
const MAX_RUNS: u64 = 1 << 16;
/// Most references to given objects that are kept.
const MAX_HOLDERS: usize = 1 << 20;
const WORD: u64 = 8;

/// Where the objects of a class hold references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Pattern {
    /// In runs: bytes from the object's start, and bytes that are to be added to the object's own for those of the run.
    Runs(Vec<(u64, i64)>),
    /// An array of structures: from `first` on so many references, then so many bytes without, again and again.
    Repeated {
        /// Bytes from the object's start.
        first: u64,
        /// References, and bytes behind them.
        parts: Vec<(u32, u32)>,
    },
}

/// A reference to an object that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Holder {
    /// The object that refers to it.
    pub(in crate::runtimes::coreclr) from: Walked,
    /// Where in it.
    pub(in crate::runtimes::coreclr) slot: Addr,
    /// The object that was looked for.
    pub(in crate::runtimes::coreclr) to: Addr,
}

impl Types<'_> {
    /// Where the objects of a class hold references; `Ok(None)` where they hold none.
    pub(in crate::runtimes::coreclr) fn pattern(self, table: Addr) -> Known<Option<Arc<Pattern>>> {
        self.classes.patterns.get(table, || {
            let has_any = self.class(table)?.has_references;
            if has_any { pattern(self.clr.memory(), table).map(|pattern| Some(Arc::new(pattern))) } else { Ok(None) }
        })
    }
}

fn pattern(memory: &Memory, table: Addr) -> Known<Pattern> {
    let before = |bytes: u64| table.minus(bytes).ok_or_else(|| Gap::Corrupt(format!("references of {table}")));
    let count = memory.u64(before(WORD)?)?.cast_signed();
    if count.unsigned_abs() > MAX_RUNS {
        return Err(Gap::Corrupt(format!("{count} runs of references of {table}")));
    }
    if count >= 0 {
        let run = |index: u64| {
            let at = before(index.saturating_mul(16).saturating_add(WORD))?;
            Ok((memory.u64(plus(at, WORD)?)?, memory.u64(at)?.cast_signed()))
        };
        return (1..=count.unsigned_abs()).map(run).collect::<Known<Vec<_>>>().map(Pattern::Runs);
    }
    let part = |index: u64| {
        let at = before(index.saturating_mul(WORD).saturating_add(24))?;
        Ok((memory.u32(at)?, memory.u32(plus(at, 4)?)?))
    };
    let parts = (0..count.unsigned_abs()).map(part).collect::<Known<Vec<_>>>()?;
    Ok(Pattern::Repeated { first: memory.u64(before(16)?)?, parts })
}

impl Pattern {
    /// Visits every slot of an object that may hold a reference, with what it holds; null ones are left out.
    pub(in crate::runtimes::coreclr) fn each(
        &self,
        memory: &Memory,
        object: Walked,
        visit: &mut dyn FnMut(Addr, Addr),
    ) {
        match self {
            Pattern::Runs(runs) => {
                for (offset, more) in runs {
                    let bytes = object.bytes.cast_signed().saturating_add(*more).max(0).unsigned_abs();
                    slots(memory, object, *offset, bytes, visit);
                }
            }
            Pattern::Repeated { first, parts } => {
                let mut offset = *first;
                // The last word of an object's bytes is the next one's header.
                let end = object.bytes.saturating_sub(WORD);
                while offset < end {
                    let start = offset;
                    for (references, gap) in parts {
                        let bytes = u64::from(*references).saturating_mul(WORD);
                        slots(memory, object, offset, bytes.min(end.saturating_sub(offset)), visit);
                        offset = offset.saturating_add(bytes).saturating_add((*gap).into());
                    }
                    if offset <= start {
                        return;
                    }
                }
            }
        }
    }
}

fn slots(memory: &Memory, object: Walked, offset: u64, bytes: u64, visit: &mut dyn FnMut(Addr, Addr)) {
    let bytes = bytes.min(object.bytes.saturating_sub(offset));
    let Some(start) = object.at.plus(offset) else { return };
    let Ok(held) = memory.slice_up_to(start, bytes) else { return };
    for (index, to) in (0u64..).zip(memory.pointers(held)) {
        if to.0 != 0
            && let Some(slot) = start.plus(index.saturating_mul(WORD))
        {
            visit(slot, to);
        }
    }
}

impl Segments {
    /// Who in the heap refers to objects: one pass over all of it, each segment by a thread of its own. In the heap's order.
    pub(in crate::runtimes::coreclr) fn holders(
        &self,
        types: Types<'_>,
        wanted: &FxHashSet<Addr>,
        job: &Job,
    ) -> Result<Vec<Holder>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.all.par_iter().map(|segment| self.holders_in(types, segment, wanted, job));
        let found: Vec<Vec<Holder>> = found.collect::<Result<_, Error>>()?;
        Ok(found.into_iter().flatten().take(MAX_HOLDERS).collect())
    }

    fn holders_in(
        &self,
        types: Types<'_>,
        segment: &Segment,
        wanted: &FxHashSet<Addr>,
        job: &Job,
    ) -> Result<Vec<Holder>, Error> {
        let memory = types.clr.memory();
        let mut patterns = FxHashMap::default();
        let mut found = Vec::new();
        self.walk(types, segment, &mut job.meter(), &mut |from| {
            let pattern = patterns.entry(from.table).or_insert_with(|| types.pattern(from.table).ok().flatten());
            if let Some(pattern) = pattern {
                pattern.each(memory, from, &mut |slot, to| {
                    if wanted.contains(&to) && found.len() < MAX_HOLDERS {
                        found.push(Holder { from, slot, to });
                    }
                });
            }
            Ok(())
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an object of so many bytes at 0x100 refers to, its words counted from 1.
    fn referred(pattern: &Pattern, bytes: u64) -> Vec<u64> {
        let words: Vec<u64> = (1..=16).collect();
        let memory = Memory::of(0x100, &words);
        let mut found = Vec::new();
        pattern.each(&memory, Walked { at: Addr(0x100), table: Addr(0), bytes }, &mut |_, to| found.push(to.0));
        found
    }

    #[test]
    fn runs_are_as_long_as_the_object_makes_them() {
        // gcdesc.h: an object of 40 bytes with two references behind its first field, the run's length less the object's.
        assert_eq!(referred(&Pattern::Runs(vec![(16, 16 - 40)]), 40), [3, 4]);
        // An array of references: base size 24, here with three elements.
        assert_eq!(referred(&Pattern::Runs(vec![(16, -24)]), 24 + 3 * 8), [3, 4, 5]);
        // A damaged run ends with its object.
        assert_eq!(referred(&Pattern::Runs(vec![(16, 1 << 40)]), 40), [3, 4, 5]);
        assert!(referred(&Pattern::Runs(vec![(u64::MAX, i64::MIN)]), 40).is_empty());
    }

    #[test]
    fn structures_of_arrays_repeat_up_to_the_next_objects_header() {
        // Elements of 24 bytes, the first word a reference: two of them in 24 + 48 bytes.
        let pattern = Pattern::Repeated { first: 16, parts: vec![(1, 16)] };
        assert_eq!(referred(&pattern, 24 + 48), [3, 6]);
        assert!(referred(&Pattern::Repeated { first: 16, parts: vec![(0, 0)] }, 80).is_empty());
        assert!(referred(&Pattern::Repeated { first: 16, parts: vec![] }, 80).is_empty());
    }

    #[test]
    fn a_class_tells_its_runs_before_its_method_table() {
        // Source: gcdesc.h: the number of runs, before it each run's length and offset.
        let memory = Memory::of(0x100, &[(-32i64).cast_unsigned(), 24, (-24i64).cast_unsigned(), 8, 2]);
        assert_eq!(pattern(&memory, Addr(0x128)), Ok(Pattern::Runs(vec![(8, -24), (24, -32)])));
        let memory = Memory::of(0x100, &[8 << 32 | 1, 16 << 32 | 2, 16, (-2i64).cast_unsigned()]);
        let expected = Pattern::Repeated { first: 16, parts: vec![(2, 16), (1, 8)] };
        assert_eq!(pattern(&memory, Addr(0x120)), Ok(expected));
        assert!(pattern(&Memory::of(0x100, &[1 << 40]), Addr(0x108)).is_err());
    }
}
