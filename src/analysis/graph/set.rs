//! Sets of objects: a bit each.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::heap::ObjectId;

/// Objects of one word.
const SHIFT: u32 = 6;

/// A set of the objects of one heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSet(Vec<u64>);

impl ObjectSet {
    /// Without an element; holds the ids below `len`.
    pub fn new(len: u32) -> ObjectSet {
        ObjectSet(vec![0; words(len)])
    }

    /// Whether it holds the object.
    #[inline]
    pub fn has(&self, id: ObjectId) -> bool {
        self.0.get((id >> SHIFT) as usize).is_some_and(|word| word & bit(id) != 0)
    }

    /// Puts an object in; whether it was not there before. What cannot be held is not.
    #[inline]
    pub fn insert(&mut self, id: ObjectId) -> bool {
        let Some(word) = self.0.get_mut((id >> SHIFT) as usize) else { return false };
        let is_new = *word & bit(id) == 0;
        *word |= bit(id);
        is_new
    }

    /// How many it holds.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// A set that several threads fill.
pub(super) struct SharedSet(Vec<AtomicU64>);

impl SharedSet {
    pub(super) fn new(len: u32) -> SharedSet {
        SharedSet(std::iter::repeat_with(AtomicU64::default).take(words(len)).collect())
    }

    /// Puts an object in; whether it was not there before. What cannot be held is not.
    #[inline]
    pub(super) fn insert(&self, id: ObjectId) -> bool {
        let Some(word) = self.0.get((id >> SHIFT) as usize) else { return false };
        // Most are there already where many refer to one: reading leaves the word with all processors that have it.
        word.load(Ordering::Relaxed) & bit(id) == 0 && word.fetch_or(bit(id), Ordering::Relaxed) & bit(id) == 0
    }

    pub(super) fn into_set(self) -> ObjectSet {
        ObjectSet(self.0.into_iter().map(AtomicU64::into_inner).collect())
    }
}

fn words(len: u32) -> usize {
    len.div_ceil(u64::BITS) as usize
}

fn bit(id: ObjectId) -> u64 {
    1 << (id % u64::BITS)
}
