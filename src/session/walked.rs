//! The stacks that were walked so far, one place for each thread.

use std::sync::{Arc, OnceLock};

use crate::model::Stack;

/// Stacks by the thread's position in the one order. Each is walked by whoever asks first; where two do so at once, one walk is kept.
pub(super) struct Walked(Vec<OnceLock<Arc<Stack>>>);

impl Walked {
    /// Places for the stacks of `threads` threads.
    pub(super) fn of(threads: usize) -> Walked {
        Walked((0..threads).map(|_| OnceLock::new()).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, where each was walked before.
    pub(super) fn all(&self) -> Option<Vec<Arc<Stack>>> {
        self.0.iter().map(|stack| stack.get().cloned()).collect()
    }

    pub(super) fn get(&self, index: usize) -> Option<Arc<Stack>> {
        self.0.get(index)?.get().cloned()
    }

    /// Keeps a walked stack; gives the one that is kept, which may have come before. `None` past the last thread.
    pub(super) fn keep(&self, index: usize, stack: Arc<Stack>) -> Option<Arc<Stack>> {
        Some(Arc::clone(self.0.get(index)?.get_or_init(|| stack)))
    }
}
