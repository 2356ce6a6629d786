//! Answers that are kept, each computed once or twice: the lock is held for a look-up or an insertion alone.

use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use rustc_hash::FxHashMap;

/// What is known by key.
pub(super) struct Memo<K, V> {
    known: RwLock<FxHashMap<K, V>>,
    most: usize,
}

impl<K: Eq + Hash + Copy, V: Clone> Memo<K, V> {
    /// Keeps so many answers at most.
    pub(super) fn of(most: usize) -> Memo<K, V> {
        Memo { known: RwLock::default(), most }
    }

    /// What is known of a key; `None` where nothing is yet.
    pub(super) fn known(&self, key: K) -> Option<V> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// What is known of a key, else what `make` says.
    pub(super) fn get(&self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some(known) = self.known(key) {
            return known;
        }
        let made = make();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.most {
            known.insert(key, made.clone());
        }
        made
    }
}
