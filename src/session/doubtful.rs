//! What rests on a module's file that may be another build's is likely at best.

use std::sync::Arc;

use super::Process;
use crate::model::{Evidence, Lock, Owner, Stack, Tid};

/// Innermost frames of a waiting thread among which its own code is looked for.
const FRAMES: usize = 64;

impl Process {
    /// File names of the modules whose files are used and may be other builds'.
    pub(super) fn doubtful_modules(&self) -> Vec<Arc<str>> {
        let doubtful = self.target.modules.iter().filter(|module| module.is_doubtful());
        doubtful.filter_map(|module| module.file_name().map(Arc::from)).collect()
    }

    /// Takes recorded owners for inferred where the lock was found in frames of such modules, or is named by one.
    pub(super) fn doubt_locks(&self, locks: &mut [Lock], stacks: &[Arc<Stack>]) {
        let doubtful: Vec<bool> = self.target.modules.iter().map(|module| module.is_doubtful()).collect();
        if !doubtful.contains(&true) {
            return;
        }
        let is_doubtful = |index: usize| doubtful.get(index).copied().unwrap_or(false);
        let waits_doubtfully = |tid: &Tid| {
            let stack = self.index_of(*tid).and_then(|index| stacks.get(index));
            // Up to the frame of the program's own code that waits: what called it does not matter.
            for frame in stack.iter().flat_map(|stack| &stack.frames).take(FRAMES) {
                match self.target.module_at(frame.lookup()) {
                    Some(module) if is_doubtful(module.index) => return true,
                    Some(module) if !module.is_runtime() => return false,
                    _ => {}
                }
            }
            false
        };
        for lock in locks {
            let Owner::Thread(owner) = lock.owner else { continue };
            let names_it = || self.target.module_at(lock.address).is_some_and(|module| is_doubtful(module.index));
            if names_it() || lock.waiters.iter().any(waits_doubtfully) {
                (lock.owner, lock.evidence) = (Owner::Inferred(owner), Evidence::UNVERIFIED_FILE);
            }
        }
    }
}
