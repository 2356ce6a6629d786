//! Locks put together from what the probes saw of them.

use rustc_hash::FxHashMap;

use crate::model::{Addr, Lock, Tid};

use super::observation::Observation;

/// Locks by address, in the order of their first observation.
#[derive(Default)]
pub(super) struct Found {
    pub(super) locks: Vec<Lock>,
    at: FxHashMap<Addr, usize>,
}

impl Found {
    /// Adds a lock where it is new, and who waits for it.
    pub(super) fn add(&mut self, seen: Observation, waiter: Option<Tid>) {
        let Found { locks, at } = self;
        let index = *at.entry(seen.address).or_insert(locks.len());
        if index == locks.len() {
            locks.push(Lock {
                address: seen.address,
                kind: seen.kind,
                name: Ok(None),
                owner: seen.owner,
                recursion: seen.recursion,
                readers: seen.readers,
                read_by: Vec::new(),
                waiters: Vec::new(),
                evidence: seen.evidence,
                inferred_waiters: Vec::new(),
                absent: None,
                limits: Vec::new(),
            });
        }
        if let (Some(lock), Some(tid)) = (locks.get_mut(index), waiter) {
            lock.waiters.push(tid);
        }
    }
}
