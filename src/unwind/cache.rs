//! A table that many threads fill and read without waiting: what is known about an address of code is found once.
//!
//! Entries are never removed, so that readers borrow them. When its slots are taken the table stays as it is and
//! answers are computed anew; a program stops at far fewer distinct places than there are slots.

use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::sync::OnceLock;

use rustc_hash::FxBuildHasher;

/// Slots: 256 KiB of pointers. 1,000 threads of a server stand at about 100 places.
const SLOTS: usize = 1 << 14;
/// Neighbouring slots that one key may use.
const PROBES: usize = 16;

/// A place for one key and its value.
type Slot<K, V> = OnceLock<Box<(K, V)>>;

/// Values by key, each computed at most a few times.
pub(super) struct Cache<K, V> {
    slots: Box<[Slot<K, V>]>,
}

/// A value that the table keeps, or one for which it had no place.
pub(super) enum Found<'a, V> {
    /// Kept.
    Kept(&'a V),
    /// Computed for this question only.
    Fresh(Box<V>),
}

impl<V> Deref for Found<'_, V> {
    type Target = V;

    fn deref(&self) -> &V {
        match self {
            Found::Kept(value) => value,
            Found::Fresh(value) => value,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// An empty table.
    pub(super) fn new() -> Cache<K, V> {
        Cache { slots: (0..SLOTS).map(|_| OnceLock::new()).collect() }
    }

    /// The value for `key`; `make` is called when it is not there yet (by two threads at once, perhaps: one of the
    /// results is kept).
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> V) -> Found<'_, V> {
        let hash = usize::try_from(FxBuildHasher.hash_one(key) >> 32).unwrap_or_default();
        let mut empty = None;
        for probe in 0..PROBES {
            let Some(slot) = self.slots.get(hash.wrapping_add(probe) % SLOTS) else { continue };
            match slot.get() {
                Some(entry) if entry.0 == key => return Found::Kept(&entry.1),
                Some(_) => {}
                None => {
                    empty = Some(slot);
                    break;
                }
            }
        }
        let made = Box::new((key, make()));
        let Some(slot) = empty else { return Found::Fresh(Box::new(made.1)) };
        match slot.set(made) {
            Ok(()) => {}
            // Another thread took the slot in between, perhaps for the same key.
            Err(made) => match slot.get() {
                Some(entry) if entry.0 == key => {}
                _ => return Found::Fresh(Box::new(made.1)),
            },
        }
        match slot.get() {
            Some(entry) => Found::Kept(&entry.1),
            None => unreachable!("a slot that was set stays set"),
        }
    }
}

impl<K: Copy + Eq + Hash, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_and_borrowed_afterwards() {
        let cache: Cache<u64, u64> = Cache::new();
        assert_eq!(*cache.get(7, || 70), 70);
        assert_eq!(*cache.get(7, || 71), 70);
        assert_eq!(*cache.get(8, || 80), 80);
    }

    #[test]
    fn a_full_table_still_answers() {
        let cache: Cache<u64, u64> = Cache::new();
        for key in 0..(SLOTS as u64 * 2) {
            assert_eq!(*cache.get(key, || key + 1), key + 1);
        }
        assert!((0..(SLOTS as u64 * 2)).all(|key| *cache.get(key, || key + 1) == key + 1));
    }
}
