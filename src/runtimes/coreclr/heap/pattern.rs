//! Where the objects of a class hold references.

use super::walked::Walked;
use super::words::Words;
use crate::capture::Memory;
use crate::model::Addr;

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

impl Pattern {
    /// Visits every slot of an object that may hold a reference, with what it holds; null ones are left out.
    pub(in crate::runtimes::coreclr) fn each(
        &self,
        memory: &Memory,
        object: Walked,
        visit: &mut dyn FnMut(Addr, Addr),
    ) {
        self.each_of(&mut Words::of(memory), object, &mut |slot, to| visit(slot, to));
    }

    /// Bytes from an object's start to each slot of its runs.
    pub(in crate::runtimes::coreclr) fn offsets(runs: &[(u64, i64)], object: Walked) -> impl Iterator<Item = u64> {
        runs.iter().flat_map(move |(offset, more)| {
            let bytes = object.bytes.cast_signed().saturating_add(*more).max(0).unsigned_abs();
            let bytes = bytes.min(object.bytes.saturating_sub(*offset));
            (0..bytes / WORD).map(move |slot| offset.saturating_add(slot.saturating_mul(WORD)))
        })
    }

    /// The same of many objects that stand near each other. False where not all of the object is in the dump.
    #[inline]
    pub(super) fn each_of(&self, words: &mut Words<'_>, object: Walked, visit: &mut impl FnMut(Addr, Addr)) -> bool {
        let whole = words.slice(object.at, object.bytes);
        let held = Held { words, object, whole };
        match self {
            Pattern::Runs(runs) => {
                // Those of a sound class do not overlap.
                let mut left = object.bytes;
                for (offset, more) in runs {
                    let bytes = object.bytes.cast_signed().saturating_add(*more).max(0).unsigned_abs().min(left);
                    left = left.saturating_sub(bytes);
                    held.slots(*offset, bytes, visit);
                }
            }
            Pattern::Repeated { first, parts } => {
                let mut offset = *first;
                // The last word of an object's bytes is the next one's header.
                let end = object.bytes.saturating_sub(WORD);
                // Each part of a sound class has a reference.
                let mut left = (end / WORD).saturating_add(parts.len() as u64);
                while offset < end && left > 0 {
                    let start = offset;
                    for (references, gap) in parts {
                        left = left.saturating_sub(1);
                        let bytes = u64::from(*references).saturating_mul(WORD);
                        held.slots(offset, bytes.min(end.saturating_sub(offset)), visit);
                        offset = offset.saturating_add(bytes).saturating_add((*gap).into());
                    }
                    if offset <= start {
                        break;
                    }
                }
            }
        }
        whole.is_some()
    }
}

/// What the dump has of an object.
struct Held<'a, 'm> {
    words: &'a Words<'m>,
    object: Walked,
    whole: Option<&'m [u8]>,
}

impl Held<'_, '_> {
    #[inline]
    fn slots(&self, offset: u64, bytes: u64, visit: &mut impl FnMut(Addr, Addr)) {
        let bytes = bytes.min(self.object.bytes.saturating_sub(offset));
        let Some(start) = self.object.at.plus(offset) else { return };
        let of_whole = self.whole.and_then(|whole| {
            let from = usize::try_from(offset).ok()?;
            whole.get(from..from.checked_add(usize::try_from(bytes).ok()?)?)
        });
        let Some(held) = of_whole.or_else(|| self.words.slice_up_to(start, bytes)) else { return };
        let mut slot = start;
        for word in held.as_chunks().0 {
            let to = u64::from_le_bytes(*word);
            if to != 0 {
                visit(slot, Addr(to));
            }
            slot = Addr(slot.0.wrapping_add(WORD));
        }
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
        // So do all of them together: five words, however often runs cover them.
        assert_eq!(referred(&Pattern::Runs(vec![(0, 0); 1000]), 40), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn structures_of_arrays_repeat_up_to_the_next_objects_header() {
        // Elements of 24 bytes, the first word a reference: two of them in 24 + 48 bytes.
        let pattern = Pattern::Repeated { first: 16, parts: vec![(1, 16)] };
        assert_eq!(referred(&pattern, 24 + 48), [3, 6]);
        assert!(referred(&Pattern::Repeated { first: 16, parts: vec![(0, 0)] }, 80).is_empty());
        assert!(referred(&Pattern::Repeated { first: 16, parts: vec![] }, 80).is_empty());
        // Of a damaged class whose parts hold nothing but for the last they are gone through until nine words and their own number are used up: twice.
        let mut parts = vec![(0, 0); 1000];
        parts.push((1, 0));
        assert_eq!(referred(&Pattern::Repeated { first: 16, parts }, 80), [3, 4]);
    }
}
