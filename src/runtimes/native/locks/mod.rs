//! Every lock that a thread waits for, and those that a recorded owner holds.
//!
//! Input: threads with their futex waits and named frames. Each family of locks is a file here and a line in [`PROBES`];
//! the first probe that recognises a wait names it, and a wait that none recognises is a bare futex. Held locks without
//! waiters are another question, [`held`]: it reads much memory, and no deadlock needs it.

mod absent;
mod atomic;
mod code;
mod entry;
mod evidence;
mod found;
mod futex;
mod glibc_condvar;
mod glibc_mutex;
mod glibc_parked;
mod glibc_rwlock;
mod held;
mod interrupted;
mod join;
mod kinds;
mod libc_internal;
mod limits;
mod musl;
mod musl_condvar;
mod names;
mod objects;
mod observation;
mod once;
mod owners;
mod parking_lot;
mod probes;
mod readers;
mod recognised;
mod rust;
mod semaphore;
mod unread;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Acquisition, Lock, Partial};

use super::observations::Observations;

use self::code::ByCode;
use self::found::Found;
pub(super) use self::observation::Observation;
pub(super) use self::recognised::Recognised;

/// Where the threads at these places of the scene have taken the locks that they hold, parallel to `threads`.
pub(super) fn acquisitions(
    observations: &Observations<'_>,
    recognised: &Recognised,
    threads: &[usize],
    job: &Job,
) -> Result<Vec<Vec<Acquisition>>, Error> {
    let code = ByCode::new(observations);
    let of_thread = |index: &usize| {
        job.check()?;
        let stack = observations.scene.stacks.get(*index);
        let acquisitions = stack.map(|stack| code.acquisitions(stack, recognised.waits_on_condvar(*index)));
        Ok(acquisitions.unwrap_or_default())
    };
    threads.iter().map(of_thread).collect()
}

/// Every lock that a thread waits for, by address.
pub(super) fn locks(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
) -> Result<Partial<Vec<Lock>>, Error> {
    let mut found = Found::default();
    for (index, thread) in observations.scene.threads.iter().enumerate() {
        if let Some(seen) = recognised.wait(index) {
            found.add(seen.clone(), Some(thread.tid));
        }
    }
    let mut problems = Vec::new();
    limits::add(observations, recognised, &mut found.locks);
    absent::explain(observations, &mut found.locks);
    interrupted::infer(observations, &mut found.locks);
    owners::infer(observations, recognised, job, &mut found.locks, &mut problems)?;
    absent::widen(observations, &mut found.locks);
    for lock in &mut found.locks {
        lock.name = recognised.name(lock.address);
    }
    Ok(Partial { value: by_address(found.locks), problems })
}

/// Every lock that a recorded owner holds and nobody waits for, by address.
pub(super) fn held(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
) -> Result<Partial<Vec<Lock>>, Error> {
    let mut found = Found::default();
    let mut problems = Vec::new();
    held::add(observations, job, &mut found, &mut problems)?;
    found.locks.retain(|lock| !recognised.is_waited_for(lock.address));
    for lock in &mut found.locks {
        lock.name = names::name(observations, lock.kind, lock.address, &[]);
    }
    Ok(Partial { value: by_address(found.locks), problems })
}

fn by_address(mut locks: Vec<Lock>) -> Vec<Lock> {
    locks.sort_by_key(|lock| lock.address);
    locks
}
