//! Where a recorded holder is that is no thread of the dump: in another process, in the process that this one was forked from, or ended.
//!
//! Input: locks whose owner field names no thread of the dump; where their memory is mapped; what the kernel told of that id when the
//! dump was taken (our own note, [`crate::capture::facts`]). Output: the likeliest explanation, and whether it is recorded.

use rustc_hash::FxHashSet;

use super::kinds;
use super::{glibc_mutex, glibc_rwlock, musl};
use crate::model::{Absence, Absent, Addr, Evidence, Gap, Lock, Owner, Tid};
use crate::runtimes::native::observations::Observations;
use crate::runtimes::native::waits::Activity;

// Source: Linux include/linux/threads.h, PID_MAX_LIMIT on 64-bit machines. glibc and musl write larger numbers into a robust mutex that
// nobody can recover (glibc nptl/pthreadP.h, PTHREAD_MUTEX_NOTRECOVERABLE; musl pthread_mutex_trylock.c, 0x3fffffff).
const PID_MAX_LIMIT: u32 = 0x40_0000;

/// Explains every holder that is not in the dump.
pub(super) fn explain(observations: &Observations<'_>, locks: &mut [Lock]) {
    let private_waits: FxHashSet<Tid> = observations
        .scene
        .threads
        .iter()
        .enumerate()
        .filter(|(index, _)| {
            let activity = observations.situation(*index).map(|situation| &situation.activity);
            matches!(activity, Some(Activity::Futex(futex)) if futex.private)
        })
        .map(|(_, thread)| thread.tid)
        .collect();
    for lock in locks.iter_mut().filter(|lock| lock.evidence == Evidence::OWNER_GONE) {
        // 0: the lock says itself that its holder has ended.
        let Some(id) = recorded(observations, lock).filter(|id| *id != 0) else { continue };
        if id >= PID_MAX_LIMIT {
            let words = format!("the owner field holds {id:#x}, which is no thread's id");
            (lock.owner, lock.evidence) = (Owner::Unknown(Gap::Absent(words)), Evidence::WAIT);
            continue;
        }
        let shared = is_shared(observations, lock.address).or_else(|| {
            // Who waits so has said that the memory is private.
            lock.waiters.iter().any(|waiter| private_waits.contains(waiter)).then_some(false)
        });
        let absent = judge(observations, id, shared);
        lock.owner = Owner::Unknown(Gap::Absent(words(&absent)));
        lock.absent = Some(absent);
    }
}

/// Says of holders that cannot be told that they may be of another process.
pub(super) fn widen(observations: &Observations<'_>, locks: &mut [Lock]) {
    let is_untold = |lock: &&mut Lock| lock.absent.is_none() && lock.read_by.is_empty() && !lock.waiters.is_empty();
    for lock in locks.iter_mut().filter(is_untold) {
        let shared = || is_shared(observations, lock.address) == Some(true);
        if let Owner::Unknown(Gap::NotRecorded(words)) = &mut lock.owner
            && shared()
        {
            words.push_str("; other processes share its memory, and may hold it");
        }
    }
}

/// The id in the lock's own memory.
fn recorded(observations: &Observations<'_>, lock: &Lock) -> Option<u32> {
    match lock.kind {
        _ if observations.libc.is_musl() => musl::owner_id(observations, lock.address),
        kinds::RWLOCK => glibc_rwlock::writer_id(observations, lock.address),
        _ => glibc_mutex::recorded_id(observations, lock.address),
    }
}

/// Whether other processes may have the memory at an address too; `None` where the dump does not tell.
// Shared memory has a file in the kernel, named or not, so that lists of mapped files have it, and mappings of files that are neither a
// module's nor shared memory's may be of either kind. Source: Linux mm/shmem.c, shmem_zero_setup; fs/binfmt_elf.c, fill_files_note.
fn is_shared(observations: &Observations<'_>, address: Addr) -> Option<bool> {
    let capture = &observations.scene.target.capture;
    if let Some(mapping) = capture.facts.as_ref().and_then(|facts| facts.mapping_at(address.0)) {
        return Some(mapping.access.ends_with('s'));
    }
    if observations.is_private(address) {
        return Some(false);
    }
    let files = capture.files.as_ref()?;
    files.iter().any(|file| file.contains(&address)).then_some(true)
}

fn judge(observations: &Observations<'_>, id: u32, shared: Option<bool>) -> Absent {
    let capture = &observations.scene.target.capture;
    let process = &capture.process;
    let facts = capture.facts.as_ref();
    let told = facts.and_then(|facts| facts.other(id));
    let own = process.pid.as_ref().ok().copied();
    // A thread that did not stop has no registers in the dump, but the kernel told of it.
    let lost =
        facts.is_some_and(|facts| facts.threads.iter().any(|thread| thread.inner_tid.unwrap_or(thread.tid) == id));
    let seen = Seen {
        id,
        shared,
        alive: told.map(|other| other.alive).or(lost.then_some(true)),
        pid: if lost { own } else { told.and_then(|other| other.pid) },
        shares: told.is_some_and(|other| other.shares),
        // 0: a process outside of the namespace.
        parent: process.parent.as_ref().ok().copied().filter(|parent| *parent != 0),
        own,
        own_inside: own_inside(observations),
        translated: observations.tids.translated,
        lowest: observations.tids.range().map(|(lowest, _)| lowest),
    };
    let (why, certain) = seen.why();
    let of_parent = why == Absence::BeforeFork && seen.pid.is_none() && !seen.translated && Some(id) == seen.parent;
    Absent {
        tid: id,
        why,
        certain,
        alive: seen.alive,
        pid: seen.pid.or_else(|| of_parent.then_some(id)),
        process: told.map(|other| other.name.clone()).filter(|name| !name.is_empty()),
        shared,
    }
}

/// The process's own id in its own numbering.
fn own_inside(observations: &Observations<'_>) -> Option<u32> {
    let capture = &observations.scene.target.capture;
    let pid = capture.process.pid.as_ref().ok().copied()?;
    if !observations.tids.translated {
        return Some(pid);
    }
    let facts = capture.facts.as_ref()?;
    facts.threads.iter().find(|thread| thread.tid == pid)?.inner_tid
}

/// What is known of a holder that is not in the dump.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: u32,
    shared: Option<bool>,
    alive: Option<bool>,
    /// The process that has a thread of this id.
    pid: Option<u32>,
    /// Whether that process has the same memory.
    shares: bool,
    parent: Option<u32>,
    own: Option<u32>,
    /// The process's id as it knows it itself.
    own_inside: Option<u32>,
    translated: bool,
    /// The lowest id of its threads.
    lowest: Option<u32>,
}

impl Seen {
    fn why(&self) -> (Absence, bool) {
        // A first thread that has ended still is one of the process, which the kernel says of no other.
        let of_own = self.pid.is_some() && self.pid == self.own;
        if of_own && self.alive == Some(true) {
            return (Absence::Unknown, false);
        }
        if Some(self.id) == self.own_inside || of_own {
            return (Absence::FirstThread, true);
        }
        match self.shared {
            Some(true) => match self.alive {
                Some(true) => (Absence::OtherProcess, self.shares),
                Some(false) => (Absence::Ended, false),
                None => (Absence::OtherProcess, false),
            },
            None => (Absence::Unknown, false),
            Some(false) => self.in_private_memory(),
        }
    }

    /// Nobody but this process, and who it is a copy of, has written there.
    fn in_private_memory(&self) -> (Absence, bool) {
        let parents_thread = self.pid.is_some() && self.pid == self.parent;
        let parent = !self.translated && self.parent == Some(self.id);
        if parents_thread || parent {
            return (Absence::BeforeFork, true);
        }
        // Ids are given in ascending order until they wrap: what is older than the process was no thread of it.
        let have_wrapped = self.own_inside.zip(self.lowest).is_some_and(|(own, lowest)| lowest < own);
        let is_older = self.own_inside.is_some_and(|own| self.id < own) && !have_wrapped;
        if is_older { (Absence::BeforeFork, false) } else { (Absence::Ended, false) }
    }
}

/// `the lock names thread 4711, which is of process 4710 (shop)`.
fn words(absent: &Absent) -> String {
    let Absent { tid, alive, pid, process, .. } = absent;
    let of = match (pid, process) {
        (Some(pid), Some(name)) => format!(" of process {pid} ({name})"),
        (Some(pid), None) => format!(" of process {pid}"),
        (None, _) => String::new(),
    };
    match (absent.why, alive) {
        (Absence::OtherProcess, Some(true)) if pid.is_none() => {
            format!("held by thread {tid} of another process, which was alive")
        }
        (Absence::OtherProcess, Some(true)) => format!("held by thread {tid}{of}, which was alive"),
        (Absence::OtherProcess, _) => format!(
            "held by thread {tid} of another process that shares the memory; whether it is alive, the dump does not tell"
        ),
        (Absence::BeforeFork, _) if pid.is_none() => {
            format!("copied by fork while thread {tid}, which is older than this process, held it")
        }
        (Absence::BeforeFork, _) => format!("copied by fork while thread {tid}{of} held it"),
        (Absence::FirstThread, _) => format!("held by the process's first thread, {tid}, which has ended"),
        (Absence::Ended, Some(false)) => format!("held by thread {tid}, and no thread had that id any more"),
        (Absence::Ended, _) => format!("held by thread {tid}, which is not in the dump"),
        (Absence::Unknown, Some(true)) => format!("held by thread {tid} of this process, which the dump does not have"),
        (Absence::Unknown, _) => {
            format!("held by thread {tid}, which is not in the dump: it has ended, or is of another process")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock in private memory of process 500, which process 400 made; it names thread `id`.
    fn seen(id: u32) -> Seen {
        Seen {
            id,
            shared: Some(false),
            alive: None,
            pid: None,
            shares: false,
            parent: Some(400),
            own: Some(500),
            own_inside: Some(500),
            translated: false,
            lowest: Some(500),
        }
    }

    #[test]
    fn a_private_lock_that_names_an_older_thread_was_copied_by_fork() {
        assert_eq!(seen(400).why(), (Absence::BeforeFork, true), "the parent's first thread");
        assert_eq!(seen(402).why(), (Absence::BeforeFork, false), "older than the process, unless ids have wrapped");
        let parents = Seen { alive: Some(true), pid: Some(400), ..seen(90_000) };
        assert_eq!(parents.why(), (Absence::BeforeFork, true), "the kernel told whose thread it is");
        assert_eq!(seen(503).why(), (Absence::Ended, false));
        let wrapped = Seen { lowest: Some(101), ..seen(402) };
        assert_eq!(wrapped.why(), (Absence::Ended, false), "it has made threads since the ids wrapped");
    }

    #[test]
    fn the_first_thread_may_have_ended_before_the_others() {
        assert_eq!(seen(500).why(), (Absence::FirstThread, true));
        let inside = Seen { translated: true, own_inside: None, pid: Some(500), alive: Some(false), ..seen(6) };
        assert_eq!(inside.why(), (Absence::FirstThread, true), "by what the kernel told of its zombie");
        let lost = Seen { pid: Some(500), alive: Some(true), ..seen(500) };
        assert_eq!(lost.why(), (Absence::Unknown, false), "it is there, and could not be read");
    }

    #[test]
    fn a_shared_lock_is_held_by_another_process_unless_nobody_has_the_id() {
        let shared = Seen { shared: Some(true), ..seen(402) };
        assert_eq!(shared.why(), (Absence::OtherProcess, false), "nobody looked whether it is alive");
        assert_eq!(Seen { alive: Some(true), ..shared }.why(), (Absence::OtherProcess, false));
        let sharing = Seen { alive: Some(true), pid: Some(401), shares: true, ..shared };
        assert_eq!(sharing.why(), (Absence::OtherProcess, true));
        assert_eq!(Seen { alive: Some(false), ..shared }.why(), (Absence::Ended, false));
        assert_eq!(Seen { shared: None, ..shared }.why(), (Absence::Unknown, false));
    }

    #[test]
    fn ids_of_another_namespace_are_not_held_against_the_parents() {
        let inside = Seen { translated: true, own_inside: Some(7), lowest: Some(7), parent: Some(9), ..seen(9) };
        assert_eq!(inside.why(), (Absence::Ended, false), "9 is another process's id there");
        assert_eq!(Seen { id: 3, ..inside }.why(), (Absence::BeforeFork, false));
    }
}
