//! Thread ids as the target itself uses them, mapped to those of the dump.
//!
//! A core taken from outside a PID namespace numbers its threads as the host does, while a mutex holds the id that the
//! owner had inside. Each thread's own copy of its id, in its thread control block, joins the two.

use rustc_hash::FxHashMap;

use crate::capture::{Facts, Memory};
use crate::model::{OsThread, Tid};
use crate::runtimes::layout::Offset;

// Source: Linux include/linux/threads.h, PID_MAX_LIMIT on 64-bit machines (4 Mi).
const PID_MAX_LIMIT: u32 = 0x40_0000;

/// The map from ids that the target's memory holds to ids of the dump.
#[derive(Clone, Debug, Default)]
pub(super) struct Tids {
    threads: FxHashMap<u32, Tid>,
    /// Whether the ids differ: the dump was taken from outside the process's PID namespace.
    pub(super) translated: bool,
}

impl Tids {
    /// Reads each thread's own copy of its id, at that offset from its thread pointer, or what the kernel told of it. Where neither is there, ids are taken to be the dump's.
    pub(super) fn read(own: Option<Offset>, threads: &[OsThread], memory: &Memory, facts: Option<&Facts>) -> Tids {
        let told = facts.map(|facts| facts.threads.as_slice()).unwrap_or_default();
        let told: FxHashMap<u32, u32> =
            told.iter().filter_map(|thread| Some((thread.tid, thread.inner_tid?))).collect();
        let ids: Vec<(Tid, Option<u32>)> = threads
            .iter()
            .map(|thread| {
                let told = told.get(&thread.tid.0).copied();
                (thread.tid, told.or_else(|| own.and_then(|offset| own_id(thread, memory, offset))))
            })
            .collect();
        Tids::of(&ids)
    }

    /// `own`: each thread's id in the dump, and the one that it keeps itself.
    fn of(own: &[(Tid, Option<u32>)]) -> Tids {
        let agrees = own.iter().any(|(tid, inner)| *inner == Some(tid.0));
        let distinct = own.iter().filter_map(|(_, inner)| *inner).collect::<rustc_hash::FxHashSet<u32>>();
        let known = own.iter().filter(|(_, inner)| inner.is_some()).count();
        // One thread that agrees settles it: a namespace moves every id. Ids that repeat are no ids.
        let translated = !agrees && known > 0 && distinct.len() == known;
        let pairs = own.iter().filter_map(|(tid, inner)| {
            let inner = if translated { (*inner)? } else { tid.0 };
            Some((inner, *tid))
        });
        let threads: FxHashMap<u32, Tid> = pairs.collect();
        Tids { threads, translated }
    }

    /// The thread of the dump that the target calls `id`.
    pub(super) fn thread(&self, id: u32) -> Option<Tid> {
        self.threads.get(&id).copied()
    }

    /// The lowest and the highest id that the target uses; `None` without threads.
    pub(super) fn range(&self) -> Option<(u32, u32)> {
        Some((self.threads.keys().copied().min()?, self.threads.keys().copied().max()?))
    }
}

fn own_id(thread: &OsThread, memory: &Memory, offset: Offset) -> Option<u32> {
    let at = offset.of(*thread.thread_pointer.as_ref().ok()?).ok()?;
    // glibc clears it when the thread is gone.
    let mut id = [0; 4];
    memory.read_apart(at, &mut id).ok()?;
    Some(u32::from_le_bytes(id)).filter(|id| (1..=PID_MAX_LIMIT).contains(id))
}

/// Whether every thread holds its own id there.
pub(super) fn are_own_ids(threads: &[OsThread], memory: &Memory, offset: Offset) -> bool {
    !threads.is_empty() && threads.iter().all(|thread| own_id(thread, memory, offset) == Some(thread.tid.0))
}

/// Whether every thread holds some id of its own there: its own, or (in another namespace) all different ones.
pub(super) fn are_ids(threads: &[OsThread], memory: &Memory, offset: Offset) -> bool {
    let mut seen = rustc_hash::FxHashSet::default();
    are_own_ids(threads, memory, offset)
        || (threads.len() > 1
            && threads.iter().all(|thread| own_id(thread, memory, offset).is_some_and(|id| seen.insert(id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_agree_are_not_translated() {
        let tids = Tids::of(&[(Tid(4711), Some(4711)), (Tid(4712), None)]);
        assert!(!tids.translated);
        assert_eq!(tids.thread(4712), Some(Tid(4712)), "a thread without a readable copy keeps its id");
        assert_eq!(tids.thread(7), None);
    }

    #[test]
    fn ids_of_another_namespace_are_mapped_to_those_of_the_dump() {
        let tids = Tids::of(&[(Tid(4711), Some(1)), (Tid(4712), Some(7))]);
        assert!(tids.translated);
        assert_eq!(tids.thread(7), Some(Tid(4712)));
        assert_eq!(tids.thread(4711), None, "the host's id means nothing inside");
    }

    #[test]
    fn values_that_repeat_are_no_ids() {
        let tids = Tids::of(&[(Tid(4711), Some(5)), (Tid(4712), Some(5))]);
        assert!(!tids.translated);
        assert_eq!(tids.thread(5), None);
    }
}
