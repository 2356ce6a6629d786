//! Who may hold a lock that does not say: a thread whose code has taken it, or else, for locks of Rust, one whose live stack
//! holds its address and that does not wait for it.
//!
//! This is inference. One candidate makes an inferred owner, several make none, and are named in the gap instead. Readers are
//! settled in [`super::readers`], by the same candidates.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Evidence, Gap, Lock, LockKind, OsThread, Owner, Problem, Registers, Stack, Subject, Tid};

use super::code::{ByCode, Mode};
use super::evidence;
use super::kinds;
use super::{Recognised, readers};
use crate::runtimes::native::calls::{Call, Calls, Namer};
use crate::runtimes::native::observations::Observations;

/// Frames of a stack whose registers may point to a lock.
const NEAR_FRAMES: usize = 48;
/// Frames of a stack that are looked at for a second initialisation.
const MAX_FRAMES: usize = 256;

/// Fills in owners that can be inferred. Locks without waiters, and those whose owner field names a thread that is gone, stay
/// as they are.
pub(super) fn infer(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
    locks: &mut [Lock],
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    let wanted: FxHashMap<Addr, usize> = locks
        .iter()
        .enumerate()
        .filter(|(_, lock)| is_ownerless(lock) || readers::are_wanted(lock))
        .map(|(index, lock)| (lock.address, index))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    job.phase("looking for owners of locks", 2 * observations.scene.threads.len() as u64);
    let pointing = pointing(observations, recognised, job, locks, &wanted)?;
    let acquisition = acquisition(observations, recognised, job, locks, &wanted, problems)?;
    for (index, lock) in locks.iter_mut().enumerate() {
        let pointing = pointing.get(&index).map(Vec::as_slice).unwrap_or_default();
        let acquisition = acquisition.get(&index).map(Vec::as_slice).unwrap_or_default();
        if readers::are_wanted(lock) {
            readers::settle(lock, acquisition, if has_guard(lock.kind) { pointing } else { &[] });
            continue;
        }
        if !is_ownerless(lock) {
            continue;
        }
        let found = match lock.kind {
            kinds::ONCE | kinds::RUST_ONCE => {
                let found = initialisers(observations, lock, pointing);
                // The function that has the variable may be inlined, here and there.
                if found.is_empty() { acquisition.to_vec() } else { found }
            }
            // A guard of Rust's holds the lock's address for as long as the lock; elsewhere a pointer to it proves nothing.
            kind if acquisition.is_empty() && has_guard(kind) => pointing.to_vec(),
            _ => acquisition.to_vec(),
        };
        match found.as_slice() {
            [] => {}
            [(tid, evidence)] => {
                lock.owner = Owner::Inferred(*tid);
                lock.evidence = *evidence;
            }
            several => lock.owner = Owner::Unknown(Gap::NotRecorded(ambiguous(several))),
        }
    }
    Ok(())
}

fn has_guard(kind: LockKind) -> bool {
    let guarded = [kinds::RUST_MUTEX, kinds::RUST_RWLOCK, kinds::PARKING_LOT_MUTEX, kinds::PARKING_LOT_RWLOCK];
    guarded.contains(&kind)
}

/// Threads that may hold a lock, by the lock's place in the list.
type Candidates = FxHashMap<usize, Vec<(Tid, Evidence)>>;

/// Threads that point to a lock and do not wait for it.
fn pointing(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
    locks: &[Lock],
    wanted: &FxHashMap<Addr, usize>,
) -> Result<Candidates, Error> {
    let waiting: FxHashSet<(usize, Tid)> = wanted
        .values()
        .filter_map(|index| Some((index, locks.get(*index)?)))
        .flat_map(|(index, lock)| lock.waiters.iter().map(|tid| (*index, *tid)))
        .collect();
    let mut candidates = Candidates::default();
    for (index, thread) in observations.scene.threads.iter().enumerate() {
        job.advance(1)?;
        // Who waits on a condition variable has given up the lock that it points to.
        if recognised.waits_on_condvar(index) {
            continue;
        }
        for (lock, evidence) in pointed_to_by(observations, index, thread, wanted) {
            if !waiting.contains(&(lock, thread.tid)) {
                candidates.entry(lock).or_default().push((thread.tid, evidence));
            }
        }
    }
    Ok(candidates)
}

/// Threads whose code has taken a lock in the way in which it is held; one that waits for it may be among them, and then
/// waits for itself.
fn acquisition(
    observations: &Observations<'_>,
    recognised: &Recognised,
    job: &Job,
    locks: &[Lock],
    wanted: &FxHashMap<Addr, usize>,
    problems: &mut Vec<Problem>,
) -> Result<Candidates, Error> {
    let code = ByCode::new(observations);
    let mut candidates = Candidates::default();
    for (index, (thread, stack)) in observations.scene.iter().enumerate() {
        job.advance(1)?;
        let mut taken = code.taken(stack, recognised.waits_on_condvar(index));
        taken.sort_unstable();
        taken.dedup();
        for hold in taken {
            let Some(index) = wanted.get(&hold.lock) else { continue };
            let mode =
                locks.get(*index).filter(|lock| readers::are_wanted(lock)).map_or(Mode::Alone, |_| Mode::Reading);
            if hold.mode == mode {
                candidates.entry(*index).or_default().push((thread.tid, evidence::LOCKING_CODE));
            }
        }
    }
    if code.is_exhausted() {
        let message = "not all code was followed to infer owners of locks that do not store one; some stay unknown";
        problems.push(Problem::new("lock-inference-limit", Subject::Capture, message));
    }
    Ok(candidates)
}

/// Whether a lock is held, waited for, and of a kind that never says by whom.
fn is_ownerless(lock: &Lock) -> bool {
    let one_holder = !matches!(lock.kind, kinds::FUTEX | kinds::JOIN | kinds::CONDVAR | kinds::SEMAPHORE);
    matches!(lock.owner, Owner::Unknown(_)) && lock.evidence == Evidence::WAIT && one_holder && !lock.waiters.is_empty()
}

/// Which of the wanted locks a thread's registers or live stack point to, each once; registers are the better evidence.
fn pointed_to_by(
    observations: &Observations<'_>,
    index: usize,
    thread: &OsThread,
    wanted: &FxHashMap<Addr, usize>,
) -> Vec<(usize, Evidence)> {
    let mut held: Vec<(usize, Evidence)> = Vec::new();
    let mut note = |address: Addr, evidence| {
        if let Some(lock) = wanted.get(&address)
            && !held.iter().any(|(known, _)| known == lock)
        {
            held.push((*lock, evidence));
        }
    };
    for registers in
        observations.scene.stacks.get(index).into_iter().flat_map(|stack| stack.each_registers()).take(NEAR_FRAMES)
    {
        for value in registers.iter().filter_map(|(_, value)| value) {
            note(Addr(value), evidence::FRAME_REGISTER);
        }
    }
    for (_, word) in observations.live_words(thread) {
        note(Addr(word), Evidence::STACK_SCAN);
    }
    held
}

/// Threads that run the initialisation that others wait for: they are below the same `once` call (and point to its control
/// variable), or, for a static local variable, in the function that the waiters are in.
fn initialisers(observations: &Observations<'_>, lock: &Lock, pointing: &[(Tid, Evidence)]) -> Vec<(Tid, Evidence)> {
    let namer = Namer::new(observations.scene.target, observations.libc.in_executable);
    let code = ByCode::new(observations);
    let waiting: FxHashSet<Tid> = lock.waiters.iter().copied().collect();
    let threads = || observations.scene.threads.iter().enumerate();
    let waiters = threads().filter(|(_, thread)| waiting.contains(&thread.tid));
    let guarded: FxHashSet<Addr> = waiters.filter_map(|(index, _)| guarded(observations, index)).collect();
    threads()
        .filter_map(|(index, thread)| {
            let tid = thread.tid;
            let stack = observations.scene.stacks.get(index)?;
            if waiting.contains(&tid) {
                let again = asks_itself(&namer, &code, stack, lock.address, &guarded);
                return again.then_some((tid, evidence::INITIALISER_FRAME));
            }
            if code.arguments_to(stack, is_once_function).contains(&lock.address) {
                return Some((tid, evidence::INITIALISER_FRAME));
            }
            let calls = Calls::whole(&namer, stack);
            let below_once = calls.iter().any(is_once_call) && pointing.iter().any(|(candidate, _)| *candidate == tid);
            let in_function = calls.iter().any(|call| call.start.is_some_and(|start| guarded.contains(&start)));
            (below_once || in_function).then_some((tid, evidence::INITIALISER_FRAME))
        })
        .collect()
}

/// Whether a waiter runs the initialisation itself: an initialiser that asks for what it is about to make. The call that waits is on its
/// stack, and further out a second one of the same kind.
fn asks_itself(namer: &Namer<'_>, code: &ByCode<'_>, stack: &Stack, address: Addr, guarded: &FxHashSet<Addr>) -> bool {
    let passed = code.arguments_to(stack, is_once_function).into_iter().filter(|argument| *argument == address);
    if passed.count() > 1 {
        return true;
    }
    // One call may be several frames of the library's: what counts is that the program's own code is between it and the next.
    let mut outer = false;
    let mut inside = false;
    let mut functions: FxHashMap<Addr, usize> = FxHashMap::default();
    for (index, frame) in stack.frames.iter().take(MAX_FRAMES).enumerate() {
        let named = namer.calls(frame);
        let once = named.iter().any(is_once_call);
        let holds = |registers: Registers| registers.iter().any(|(_, value)| value == Some(address.0));
        if once && outer && stack.registers_at(index).is_some_and(holds) {
            return true;
        }
        inside |= once;
        outer |= inside && named.iter().any(|call| !call.runtime);
        for start in named.iter().filter_map(|call| call.start).filter(|start| guarded.contains(start)) {
            let count = functions.entry(start).or_default();
            *count = count.saturating_add(1);
        }
    }
    functions.values().any(|count| *count > 1)
}

fn is_once_call(call: &Call) -> bool {
    let rust = |name: &str| name.contains("std::sys") && name.contains("Once");
    call.name.as_deref().is_some_and(|name| is_once_function(name) || rust(name))
}

fn is_once_function(name: &str) -> bool {
    name.trim_start_matches('_').starts_with("pthread_once")
}

/// The function that a waiter for a static local variable's guard is in.
fn guarded(observations: &Observations<'_>, index: usize) -> Option<Addr> {
    let mut calls = observations.situation(index)?.calls.inner.iter();
    calls.find(|call| {
        call.name.as_deref().is_some_and(|name| name.trim_start_matches('_').starts_with("cxa_guard_acquire"))
    })?;
    calls.find_map(|call| call.start)
}

fn ambiguous(candidates: &[(Tid, Evidence)]) -> String {
    let tids: Vec<Tid> = candidates.iter().map(|(tid, _)| *tid).collect();
    format!("the lock does not store its owner, and several threads may have it: {}", readers::listed(&tids))
}
