//! The locks that several runtimes tell, as one list: by address, each lock and each wait once. What two tell, the
//! first is right of.

use rustc_hash::FxHashSet;

use crate::model::{Addr, Lock, Tid};

/// Locks that threads wait for: those of each runtime, of the first one first; `threads` is the order in which waiters
/// stand. A thread waits for one thing. Who waits by a later runtime's word only, waits for the lock that an earlier
/// one tells of the same address.
pub(super) fn waited(runtimes: Vec<Vec<Lock>>, threads: &[Tid]) -> Vec<Lock> {
    let mut all: Vec<Lock> = Vec::new();
    let mut told: FxHashSet<Tid> = FxHashSet::default();
    for mut locks in runtimes {
        leave_out(&mut locks, &told);
        told.extend(locks.iter().flat_map(|lock| &lock.waiters));
        let earlier = all.len();
        for lock in locks {
            let same = all.iter_mut().take(earlier).find(|known| known.address == lock.address);
            match same {
                Some(known) => add_waiters(known, lock, threads),
                None => all.push(lock),
            }
        }
    }
    all.sort_by_key(|lock| lock.address);
    all
}

/// Takes threads away from those that wait for locks, and with the last of a lock the lock.
pub(super) fn leave_out(locks: &mut Vec<Lock>, threads: &FxHashSet<Tid>) {
    if threads.is_empty() {
        return;
    }
    locks.retain_mut(|lock| {
        lock.waiters.retain(|waiter| !threads.contains(waiter));
        lock.inferred_waiters.retain(|waiter| !threads.contains(waiter));
        lock.limits.retain(|limit| !threads.contains(&limit.tid));
        !lock.waiters.is_empty()
    });
}

/// Locks that are held only: those of each runtime, of the first one first, apart from those that somebody waits for.
pub(super) fn held(runtimes: Vec<Vec<Lock>>, waited: &[Lock]) -> Vec<Lock> {
    let mut all: Vec<Lock> = Vec::new();
    let mut told: FxHashSet<Addr> = waited.iter().map(|lock| lock.address).collect();
    for mut locks in runtimes {
        locks.retain(|lock| !told.contains(&lock.address));
        told.extend(locks.iter().map(|lock| lock.address));
        all.extend(locks);
    }
    all.sort_by_key(|lock| lock.address);
    all
}

fn add_waiters(lock: &mut Lock, other: Lock, threads: &[Tid]) {
    let waiters: FxHashSet<Tid> = lock.waiters.iter().chain(&other.waiters).copied().collect();
    lock.waiters = threads.iter().filter(|thread| waiters.contains(thread)).copied().collect();
    lock.inferred_waiters.extend(other.inferred_waiters);
    lock.limits.extend(other.limits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Evidence, LockFamily, LockKind, Owner, TimeLimit, thread::Nature};

    const THREADS: [Tid; 4] = [Tid(4), Tid(3), Tid(2), Tid(1)];

    /// A lock of a kind, with who waits for it, each for a second at most.
    fn lock(word: &'static str, address: u64, waiters: &[u32]) -> Lock {
        let limit = |tid: &u32| TimeLimit { tid: Tid(*tid), left_ms: None, whole_ms: Some(1000) };
        Lock {
            address: Addr(address),
            kind: LockKind { word, words: word, family: LockFamily::Mutex, nature: Nature::Lock },
            name: Ok(None),
            owner: Owner::None,
            recursion: None,
            readers: None,
            read_by: Vec::new(),
            waiters: waiters.iter().copied().map(Tid).collect(),
            evidence: Evidence::OWNER_FIELD,
            inferred_waiters: Vec::new(),
            absent: None,
            limits: waiters.iter().map(limit).collect(),
        }
    }

    /// The kind of each, its address, its waiters, and those of them with a limit.
    fn of(locks: &[Lock]) -> Vec<(&str, u64, Vec<u32>, Vec<u32>)> {
        let tids = |tids: &mut dyn Iterator<Item = Tid>| tids.map(|tid| tid.0).collect::<Vec<_>>();
        let row = |lock: &Lock| {
            let waiters = tids(&mut lock.waiters.iter().copied());
            (lock.kind.word, lock.address.0, waiters, tids(&mut lock.limits.iter().map(|limit| limit.tid)))
        };
        // The order of limits is nobody's.
        let sorted = |(word, address, waiters, mut limits): (_, _, _, Vec<u32>)| {
            limits.sort_unstable();
            (word, address, waiters, limits)
        };
        locks.iter().map(|lock| sorted(row(lock))).collect()
    }

    #[test]
    fn what_a_thread_waits_for_is_told_by_the_first_with_its_limit() {
        let managed = vec![lock("monitor", 0x20, &[1])];
        let native = vec![lock("futex", 0x10, &[2, 1]), lock("futex", 0x30, &[1])];
        let all = waited(vec![managed, native], &THREADS);
        assert_eq!(of(&all), [("futex", 0x10, vec![2], vec![2]), ("monitor", 0x20, vec![1], vec![1])]);
    }

    #[test]
    fn they_stand_by_address_whoever_tells_them() {
        let all = waited(vec![vec![lock("monitor", 0x30, &[1])], vec![lock("mutex", 0x10, &[2])]], &THREADS);
        assert_eq!(all.iter().map(|lock| lock.address.0).collect::<Vec<_>>(), [0x10, 0x30]);
    }

    #[test]
    fn a_lock_that_two_tell_is_the_firsts_with_all_who_wait() {
        let all = waited(vec![vec![lock("monitor", 0x10, &[2])], vec![lock("mutex", 0x10, &[3, 1])]], &THREADS);
        assert_eq!(of(&all), [("monitor", 0x10, vec![3, 2, 1], vec![1, 2, 3])]);
    }

    #[test]
    fn one_runtime_may_tell_two_of_one_address() {
        let all = waited(vec![vec![lock("mutex", 0x10, &[1]), lock("futex", 0x10, &[2])]], &THREADS);
        assert_eq!(of(&all), [("mutex", 0x10, vec![1], vec![1]), ("futex", 0x10, vec![2], vec![2])]);
    }

    #[test]
    fn held_locks_are_told_once_and_not_beside_their_waiters() {
        let managed = vec![lock("monitor", 0x30, &[]), lock("monitor", 0x40, &[])];
        let native = vec![lock("mutex", 0x10, &[]), lock("mutex", 0x20, &[]), lock("mutex", 0x30, &[])];
        let all = held(vec![managed, native], &[lock("mutex", 0x20, &[1]), lock("mutex", 0x40, &[2])]);
        assert_eq!(of(&all), [("mutex", 0x10, vec![], vec![]), ("monitor", 0x30, vec![], vec![])]);
    }
}
