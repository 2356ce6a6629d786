//! Locks: a word that holds the owner's id, waited for with futex.

use dumpscope::model::thread::{Nature, WaitKind};
use dumpscope::model::{
    Addr, Evidence, Known, Lock, LockFamily, LockKind, OsThread, Owner, Partial, Thread, Tid, WaitingOn,
};
use dumpscope::runtimes::Scene;

use super::memory::{at, elements, text};
use super::{LOCKS, Toy};

/// The kind that this runtime adds.
const LOCK: LockKind =
    LockKind { word: "toy-lock", words: "toy lock", family: LockFamily::Mutex, nature: Nature::Lock };

/// Members of `struct toy_lock`: magic 0, then these.
const SIZE: u64 = 24;
const WORD: u64 = 4;
const NAME: (u64, u64) = (8, 16);
/// Source: Linux arch/x86/entry/syscalls/syscall_64.tbl.
const FUTEX: u64 = 202;

fn waits_for(thread: &OsThread, word: Addr) -> bool {
    thread.syscall.is_some_and(|call| call.number == FUTEX && call.args[0] == Some(word.0))
}

fn all(toy: &Toy) -> Known<Vec<Addr>> {
    elements(&toy.target.memory, at(toy.root, LOCKS)?, SIZE)
}

fn read(toy: &Toy, address: Addr, scene: &Scene<'_>) -> Option<Lock> {
    let word = address.plus(WORD)?;
    let waiters: Vec<Tid> =
        scene.threads.iter().filter(|thread| waits_for(thread, word)).map(|thread| thread.tid).collect();
    Some(Lock {
        address,
        kind: LOCK,
        name: text(&toy.target.memory, address, NAME).map(Some),
        owner: match toy.target.memory.u32(word) {
            Ok(0) => Owner::None,
            Ok(tid) => Owner::Thread(Tid(tid)),
            Err(gap) => Owner::Unknown(gap.into()),
        },
        recursion: None,
        readers: None,
        read_by: Vec::new(),
        waiters,
        evidence: Evidence::OWNER_FIELD,
        inferred_waiters: Vec::new(),
        absent: None,
        limits: Vec::new(),
    })
}

/// Every lock that a thread waits for.
pub(super) fn waited(toy: &Toy, scene: &Scene<'_>) -> Partial<Vec<Lock>> {
    let locks = all(toy).unwrap_or_default().into_iter().filter_map(|address| read(toy, address, scene));
    Partial::whole(locks.filter(|lock| !lock.waiters.is_empty()).collect())
}

/// Says of each thread that waits for a lock of this runtime which one that is.
pub(super) fn annotate(toy: &Toy, threads: &mut [Thread], scene: &Scene<'_>) {
    for lock in waited(toy, scene).value {
        for thread in threads.iter_mut().filter(|thread| lock.waiters.contains(&thread.tid)) {
            thread.waiting_on = Some(WaitingOn {
                kind: WaitKind::Lock(LOCK),
                address: Some(lock.address),
                name: lock.name.clone().ok().flatten(),
                detail: None,
                nature: LOCK.nature,
                inferred: false,
                within: true,
            });
        }
    }
}
