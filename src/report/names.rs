//! Functions' names as shown, each shortened once: a name recurs in thousands of frames.

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

/// Short names by full ones; several printers may share them.
#[derive(Default)]
pub(super) struct ShortNames(RwLock<FxHashMap<Arc<str>, Arc<str>>>);

impl ShortNames {
    /// The short form of a name; `shorten` makes it where it is new.
    pub(super) fn of(&self, name: &Arc<str>, shorten: impl FnOnce() -> Arc<str>) -> Arc<str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let short = shorten();
            self.0.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(name), Arc::clone(&short));
            short
        })
    }
}
