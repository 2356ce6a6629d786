//! How many elements well-known collections have, by a field or two.

use super::Instance;
use crate::model::{Gap, Known};

/// Collections, and the fields that lead to the number of their elements, each step an object; `-`: is subtracted from the one before; `+`: the numbers of an array, together.
/// Source: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Collections and System.Collections*/src of 8.0 to 10.0.
const COUNTS: &[(&str, &[&str])] = &[
    ("System.Collections.Generic.List", &["_size"]),
    ("System.Collections.Generic.Queue", &["_size"]),
    ("System.Collections.Generic.Stack", &["_size"]),
    ("System.Collections.Generic.PriorityQueue", &["_size"]),
    ("System.Collections.Generic.SortedList", &["_size"]),
    ("System.Collections.Generic.Dictionary", &["_count", "-_freeCount"]),
    ("System.Collections.Generic.HashSet", &["_count", "-_freeCount"]),
    ("System.Collections.Generic.OrderedDictionary", &["_count"]),
    ("System.Collections.Generic.SortedDictionary", &["_set", "count"]),
    ("System.Collections.Generic.SortedSet", &["count"]),
    ("System.Collections.Generic.LinkedList", &["count"]),
    ("System.Collections.ArrayList", &["_size"]),
    ("System.Collections.Queue", &["_size"]),
    ("System.Collections.Stack", &["_size"]),
    ("System.Collections.SortedList", &["_size"]),
    ("System.Collections.Hashtable", &["_count"]),
    ("System.Collections.Concurrent.ConcurrentDictionary", &["_tables", "+_countPerLock"]),
    ("System.Collections.Immutable.ImmutableList", &["_root", "_count"]),
    ("System.Collections.Immutable.ImmutableDictionary", &["_count"]),
    ("System.Collections.Immutable.ImmutableHashSet", &["_count"]),
    ("System.Collections.Immutable.ImmutableSortedDictionary", &["_count"]),
    ("System.Collections.Immutable.ImmutableSortedSet", &["_root", "_count"]),
];

/// Collections that keep another one, in a field. Source: as above.
pub(super) const KEEPERS: &[(&str, &str)] = &[
    ("System.Collections.Hashtable+SyncHashtable", "_table"),
    ("System.Collections.ObjectModel.Collection", "items"),
    ("System.Collections.ObjectModel.ReadOnlyCollection", "list"),
    ("System.Collections.ObjectModel.ReadOnlyDictionary", "m_dictionary"),
    ("System.Collections.ObjectModel.ReadOnlySet", "_set"),
    ("System.Collections.Concurrent.BlockingCollection", "_collection"),
    ("System.Collections.Generic.Dictionary+KeyCollection", "_dictionary"),
    ("System.Collections.Generic.Dictionary+ValueCollection", "_dictionary"),
];

/// Collections that keep one another, at most.
const MAX_KEPT: usize = 8;

impl Instance<'_> {
    /// How many elements it has; `None` for what is no collection that is known, or does not keep count.
    pub(super) fn count(&self) -> Option<Known<u64>> {
        let mut kept = self.clone();
        for _ in 0..MAX_KEPT {
            let lineage = kept.lineage();
            let known = |name: &&str| lineage.iter().any(|own| &**own == *name);
            let Some((_, field)) = KEEPERS.iter().find(|(name, _)| known(name)) else {
                return COUNTS.iter().find(|(name, _)| known(name)).map(|(_, path)| kept.counted(path));
            };
            match kept.reference(field) {
                Ok(Some(next)) => kept = next,
                Ok(None) => return None,
                Err(gap) => return Some(Err(gap)),
            }
        }
        None
    }

    /// The numbers of an array, together.
    fn sum(&self, name: &str) -> Known<u64> {
        /// Most locks of one dictionary. Source: ConcurrentDictionary.cs, MaxLockNumber.
        const MAX_LOCKS: u32 = 1024;
        let Some(array) = self.reference(name)? else { return Ok(0) };
        let count = array.len()?;
        if count > MAX_LOCKS || array.class.component != 4 {
            return Err(Gap::Corrupt(format!("the counts of the collection at {}", self.at)));
        }
        (0..count).map(|index| Ok(u64::from(self.types.clr.memory().u32(array.element(index)?)?))).sum()
    }

    fn counted(&self, path: &[&str]) -> Known<u64> {
        let null = || Gap::Corrupt(format!("the collection at {}", self.at));
        match path {
            [counts] if counts.starts_with('+') => self.sum(counts.trim_start_matches('+')),
            [count] => Ok(self.u32(count)?.into()),
            [all, free] if free.starts_with('-') => {
                let free = self.u32(free.trim_start_matches('-'))?;
                Ok(self.u32(all)?.checked_sub(free).ok_or_else(null)?.into())
            }
            [next, rest @ ..] => match self.reference(next)? {
                Some(next) => next.counted(rest),
                None => Ok(0),
            },
            [] => Err(null()),
        }
    }
}
