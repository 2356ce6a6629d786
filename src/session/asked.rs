//! What single objects retain, of which that was asked: each was computed before it is kept here.

use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::heap::ObjectId;

/// Bytes by object.
#[derive(Default)]
pub(super) struct Asked(Mutex<FxHashMap<ObjectId, u64>>);

impl Asked {
    pub(super) fn keep(&self, id: ObjectId, retained: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, retained);
    }

    /// `None` where nobody has asked.
    pub(super) fn known(&self, id: ObjectId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}
