//! glibc's `pthread_mutex_t`, which `std::mutex` and its kin are built on.
//!
//! Layout (64-bit, all architectures): docs/layouts/glibc.md "mutex". Normal, recursive, errorcheck and adaptive ones keep
//! the owner's id in a field; robust and priority-inheriting ones have it in the futex word too, where the kernel puts it.

use crate::model::{Addr, Evidence, Gap, LockKind, OsThread, Owner};

use super::entry::Entry;
use super::evidence;
use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;
use crate::runtimes::native::waits::FUTEX_WAIT;

/// The members that are read.
// Source: glibc 2.36 sysdeps/nptl/bits/thread-shared-types.h and sysdeps/x86/nptl/bits/struct_mutex.h,
// struct __pthread_mutex_s: lock 0, count 4, owner 8, nusers 12, kind 16, spins 20, elision 22, list 24 and 32.
#[derive(Clone, Copy, Debug)]
struct Mutex {
    lock: u32,
    count: u32,
    owner: u32,
    users: u32,
    kind: u32,
}

const OWNER: u64 = 8;
const LIST_NEXT: u64 = 32;
/// The part that is read.
const SIZE: u64 = 40;

// Source: glibc 2.36 nptl/pthreadP.h, enum PTHREAD_MUTEX_*; sysdeps/nptl/pthread.h for the four types.
const TYPE: u32 = 3;
const RECURSIVE: u32 = 1;
const ERRORCHECK: u32 = 2;
const ADAPTIVE: u32 = 3;
const ROBUST: u32 = 16;
const PRIO_INHERIT: u32 = 32;
const PRIO_PROTECT: u32 = 64;
const PROCESS_SHARED: u32 = 128;
const ELISION: u32 = 256 | 512;
// The upper bits of a priority-protecting mutex's word are its ceiling. Source: as above, PTHREAD_MUTEX_PRIO_CEILING_MASK.
const CEILING: u32 = 0xfff8_0000;

// Owner id in a robust or PI futex word; 30 = OWNER_DIED, 31 = WAITERS. Source: Linux uapi/linux/futex.h, FUTEX_TID_MASK.
const TID_MASK: u32 = 0x3fff_ffff;

/// More users (the holder and those that wait on condition variables with it) are not believed.
const MAX_USERS: u32 = 1 << 20;

impl Mutex {
    fn read(observations: &Observations<'_>, at: Addr) -> Option<Mutex> {
        let bytes = observations.memory().slice(at, SIZE).ok()?;
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
        let mutex = Mutex { lock: word(0)?, count: word(4)?, owner: word(8)?, users: word(12)?, kind: word(16)? };
        mutex.is_of_known_kind().then_some(mutex)
    }

    fn is_of_known_kind(&self) -> bool {
        self.kind & !(TYPE | ROBUST | PRIO_INHERIT | PRIO_PROTECT | PROCESS_SHARED | ELISION) == 0
    }

    fn lock_kind(&self) -> LockKind {
        if self.kind & PRIO_INHERIT != 0 {
            kinds::MUTEX_PRIORITY_INHERIT
        } else if self.kind & ROBUST != 0 {
            kinds::MUTEX_ROBUST
        } else if self.kind & PRIO_PROTECT != 0 {
            kinds::MUTEX_PRIORITY_PROTECT
        } else {
            match self.kind & TYPE {
                RECURSIVE => kinds::MUTEX_RECURSIVE,
                ERRORCHECK => kinds::MUTEX_ERRORCHECK,
                ADAPTIVE => kinds::MUTEX_ADAPTIVE,
                _ => kinds::MUTEX,
            }
        }
    }

    /// Whether the futex word holds the owner's id.
    fn has_owner_in_word(&self) -> bool {
        self.kind & (ROBUST | PRIO_INHERIT) != 0
    }

    fn is_locked(&self) -> bool {
        let ceiling = if self.kind & PRIO_PROTECT != 0 { CEILING } else { 0 };
        if self.has_owner_in_word() { self.lock & TID_MASK != 0 } else { self.lock & !ceiling != 0 }
    }

    fn owner_id(&self) -> u32 {
        if self.has_owner_in_word() { self.lock & TID_MASK } else { self.owner }
    }

    /// Whether all members agree with being held by a thread of the dump: for recognition without a name.
    fn is_plainly_held(&self, observations: &Observations<'_>) -> bool {
        let word_fits = if self.has_owner_in_word() {
            self.lock & TID_MASK == self.owner
        } else {
            let ceiling = if self.kind & PRIO_PROTECT != 0 { CEILING } else { 0 };
            matches!(self.lock & !ceiling, 1 | 2)
        };
        let counted = self.kind & TYPE == RECURSIVE;
        word_fits
            && (1..=MAX_USERS).contains(&self.users)
            && (self.count != 0 || !counted)
            && observations.tids.thread(self.owner).is_some()
    }

    fn observation(&self, observations: &Observations<'_>, address: Addr) -> Observation {
        let recorded = if self.has_owner_in_word() { evidence::FUTEX_WORD } else { Evidence::OWNER_FIELD };
        let (owner, evidence) = match (self.is_locked(), self.owner_id()) {
            (false, _) => (Owner::None, recorded),
            // Taken, and the owner has not written itself down yet (or lock elision is on, which writes nothing).
            (true, 0) => {
                (Owner::Unknown(Gap::NotRecorded("held, with an empty owner field".to_owned())), Evidence::WAIT)
            }
            (true, id) => observations.owner(id, recorded),
        };
        let held = matches!(owner, Owner::Thread(_));
        let recursion = held.then_some(if self.kind & TYPE == RECURSIVE { self.count.max(1) } else { 1 });
        Observation { kind: self.lock_kind(), address, owner, recursion, readers: None, evidence }
    }
}

/// Recognises a wait for a mutex: by the function's name, or without names by the structure's content.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    if !observations.libc.may_be_glibc() || !waiter.futex.word.is_aligned(8) {
        return None;
    }
    let mutex = Mutex::read(observations, waiter.futex.word)?;
    let accepted = match waiter.entry {
        Entry::Mutex => true,
        // A condition variable waits with FUTEX_WAIT_BITSET; FUTEX_WAIT is its taking the mutex back.
        Entry::Condvar => waiter.futex.is_pi() || (waiter.futex.command == FUTEX_WAIT && mutex.is_locked()),
        Entry::Other | Entry::Unnamed => mutex.is_plainly_held(observations),
        Entry::Rwlock | Entry::Semaphore | Entry::Barrier | Entry::Once | Entry::Guard | Entry::Join => false,
    };
    accepted.then(|| mutex.observation(observations, waiter.futex.word))
}

/// The priority-inheriting mutex at an address, if one is there and held.
pub(super) fn inheriting(observations: &Observations<'_>, at: Addr) -> Option<Observation> {
    let mutex = Mutex::read(observations, at).filter(|_| at.is_aligned(8))?;
    let held = mutex.kind & PRIO_INHERIT != 0 && mutex.is_locked() && (1..=MAX_USERS).contains(&mutex.users);
    (held && mutex.lock & TID_MASK == mutex.owner).then(|| mutex.observation(observations, at))
}

/// The id of the thread that the mutex at an address records as its holder.
pub(super) fn recorded_id(observations: &Observations<'_>, at: Addr) -> Option<u32> {
    Some(Mutex::read(observations, at)?.owner_id())
}

/// A held mutex whose owner field is at `word`, judged by all its members.
pub(super) fn held_at(observations: &Observations<'_>, word: Addr) -> Option<Observation> {
    if !observations.libc.may_be_glibc() {
        return None;
    }
    let at = word.minus(OWNER)?;
    let mutex = Mutex::read(observations, at)?;
    // Unlike a mutex with waiters, this one has nothing but its content to be recognised by.
    let plain = !mutex.has_owner_in_word();
    let unlisted = plain
        && observations.memory().u64(at.plus(24)?).ok()? == 0
        && observations.memory().u64(at.plus(LIST_NEXT)?).ok()? == 0;
    let adaptive = mutex.kind & TYPE == ADAPTIVE;
    let spins = observations.memory().u32(at.plus(20)?).ok()?;
    let uncounted = mutex.count == 0 || mutex.kind & TYPE == RECURSIVE || !plain;
    let strict = mutex.is_plainly_held(observations) && uncounted && (unlisted || !plain) && (spins == 0 || adaptive);
    strict.then(|| mutex.observation(observations, at))
}

/// How many entries of a robust list the kernel itself follows. Source: Linux uapi/linux/futex.h, ROBUST_LIST_LIMIT.
const ROBUST_LIST_LIMIT: usize = 2048;

/// The robust mutexes that a thread holds, from the list that the kernel would clean up at its end.
pub(super) fn held_by(observations: &Observations<'_>, thread: &OsThread) -> Vec<Observation> {
    if !observations.libc.may_be_glibc() {
        return Vec::new();
    }
    robust_list(observations, thread)
        .into_iter()
        .filter_map(|at| {
            let mutex = Mutex::read(observations, at)?;
            let seen = mutex.observation(observations, at);
            matches!(seen.owner, Owner::Thread(tid) if tid == thread.tid).then_some(seen)
        })
        .collect()
}

/// The mutexes on a thread's robust list; each entry points into the mutex, at the list's `next`.
// Source: Linux uapi/linux/futex.h struct robust_list_head; glibc nptl/descr.h and musl pthread_mutex_trylock.c both
// link through the member 32 bytes into the mutex. The lowest bit marks a PI mutex.
pub(super) fn robust_list(observations: &Observations<'_>, thread: &OsThread) -> Vec<Addr> {
    let head = observations.libc.robust_list.and_then(|list| list.of(*thread.thread_pointer.as_ref().ok()?).ok());
    let Some(head) = head else { return Vec::new() };
    let mut mutexes = Vec::new();
    let mut at = head;
    while mutexes.len() < ROBUST_LIST_LIMIT {
        let Ok(next) = observations.memory().ptr(at) else { break };
        at = Addr(next.0 & !1);
        if at == head || at.0 == 0 {
            break;
        }
        let Some(mutex) = at.minus(LIST_NEXT) else { break };
        mutexes.push(mutex);
    }
    mutexes
}
