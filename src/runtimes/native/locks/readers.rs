//! Who reads a lock that counts its readers and names none: threads whose code has taken it for reading, and for locks of Rust
//! also those whose live stack holds its address.
//!
//! This is inference, held against the count. A lock is given no more readers than it counts: where more threads may be its
//! readers, the code that took it decides, and where that names too many, none is believed and the gap names them.

use rustc_hash::FxHashSet;

use crate::model::{Evidence, Gap, Lock, Owner, Tid};

/// Candidates that a gap names; the rest are counted.
const NAMED_CANDIDATES: usize = 4;

/// Whether a lock is waited for and held by readers whom nothing records.
pub(super) fn are_wanted(lock: &Lock) -> bool {
    lock.evidence == Evidence::READER_COUNT && !lock.waiters.is_empty()
}

/// Why the owner of a lock that is held for reading is unknown, as far as the lock itself tells.
pub(super) fn counted(readers: u32) -> String {
    format!("held by readers ({readers}), whom the lock counts and does not name")
}

/// `4711, 4712, 3 more`.
pub(super) fn listed(tids: &[Tid]) -> String {
    let mut named: Vec<String> = tids.iter().take(NAMED_CANDIDATES).map(Tid::to_string).collect();
    let more = tids.len().saturating_sub(NAMED_CANDIDATES);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

/// Fills in the readers of a lock that [`are_wanted`]. `acquisition`: threads whose code has taken it; `pointing`: threads that
/// point to it, where that means something.
pub(super) fn settle(lock: &mut Lock, acquisition: &[(Tid, Evidence)], pointing: &[(Tid, Evidence)]) {
    let count = lock.readers.unwrap_or(0);
    let fits = |tids: &[Tid]| u32::try_from(tids.len()).is_ok_and(|found| found <= count);
    let by_code = distinct(acquisition.iter());
    let all = distinct(acquisition.iter().chain(pointing));
    let Some(found) = [all.clone(), by_code].into_iter().find(|tids| !tids.is_empty() && fits(tids)) else {
        if !all.is_empty() {
            let more = format!("{}; more threads may have it than that: {}", counted(count), listed(&all));
            lock.owner = Owner::Unknown(Gap::NotRecorded(more));
        }
        return;
    };
    let is_whole = u32::try_from(found.len()).is_ok_and(|found| found == count);
    let what = if is_whole { "as many as it counts" } else { "fewer than it counts" };
    let words = format!("{}; inferred: {} ({what})", counted(count), listed(&found));
    lock.owner = Owner::Unknown(Gap::NotRecorded(words));
    lock.evidence = if is_whole { Evidence::ALL_READERS } else { Evidence::SOME_READERS };
    lock.read_by = found;
}

/// Each thread once, in ascending order.
fn distinct<'a>(candidates: impl Iterator<Item = &'a (Tid, Evidence)>) -> Vec<Tid> {
    let set: FxHashSet<Tid> = candidates.map(|(tid, _)| *tid).collect();
    let mut tids: Vec<Tid> = set.into_iter().collect();
    tids.sort_unstable();
    tids
}

#[cfg(test)]
mod tests {
    use super::super::{evidence, kinds};
    use super::*;
    use crate::model::Addr;

    fn lock(readers: u32) -> Lock {
        Lock {
            address: Addr(0xa),
            kind: kinds::RWLOCK,
            name: Ok(None),
            owner: Owner::Unknown(Gap::NotRecorded(counted(readers))),
            recursion: None,
            readers: Some(readers),
            read_by: Vec::new(),
            waiters: vec![Tid(9)],
            evidence: Evidence::READER_COUNT,
            inferred_waiters: Vec::new(),
            absent: None,
            limits: Vec::new(),
        }
    }

    fn settled(readers: u32, acquisition: &[u32], pointing: &[u32]) -> (Vec<u32>, Evidence) {
        let by = |tids: &[u32], evidence| tids.iter().map(|tid| (Tid(*tid), evidence)).collect::<Vec<_>>();
        let mut lock = lock(readers);
        settle(&mut lock, &by(acquisition, evidence::LOCKING_CODE), &by(pointing, Evidence::STACK_SCAN));
        (lock.read_by.into_iter().map(|tid| tid.0).collect(), lock.evidence)
    }

    #[test]
    fn as_many_as_the_lock_counts_are_all_and_fewer_are_some() {
        assert_eq!(settled(2, &[7, 4, 7], &[]), (vec![4, 7], Evidence::ALL_READERS));
        assert_eq!(settled(3, &[7, 4], &[]), (vec![4, 7], Evidence::SOME_READERS));
        assert_eq!(settled(1, &[], &[]), (vec![], Evidence::READER_COUNT));
    }

    #[test]
    fn threads_that_only_point_to_it_are_believed_while_the_count_allows_it() {
        assert_eq!(settled(2, &[4], &[7, 4]), (vec![4, 7], Evidence::ALL_READERS));
        assert_eq!(settled(1, &[4], &[7, 4]), (vec![4], Evidence::ALL_READERS), "the code decides");
        assert_eq!(settled(1, &[], &[7, 8]), (vec![], Evidence::READER_COUNT), "either may be it");
    }

    #[test]
    fn more_than_the_lock_counts_are_none_and_are_named() {
        assert_eq!(settled(1, &[4, 5], &[]), (vec![], Evidence::READER_COUNT));
        let mut lock = lock(1);
        settle(&mut lock, &[(Tid(4), evidence::LOCKING_CODE), (Tid(5), evidence::LOCKING_CODE)], &[]);
        assert!(matches!(&lock.owner, Owner::Unknown(gap) if gap.to_string().ends_with("may have it than that: 4, 5")));
    }
}
