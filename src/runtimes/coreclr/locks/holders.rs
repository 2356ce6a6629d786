//! Who holds a lock, by what the lock records of its owner: an id of the OS, a managed id, a thread's structure.

use rustc_hash::FxHashMap;

use crate::model::{Absence, Absent, Addr, Evidence, Gap, Owner, Tid};
use crate::runtimes::coreclr::threads::{ManagedThread, ManagedThreads};

/// The runtime's threads by what locks record of them.
pub(in crate::runtimes::coreclr) struct Holders<'a> {
    by_id: FxHashMap<u32, &'a ManagedThread>,
    by_address: FxHashMap<Addr, &'a ManagedThread>,
    by_tid: FxHashMap<Tid, &'a ManagedThread>,
    /// Why a thread may be missing of the list; `None` where all of them are there.
    unread: Option<Gap>,
}

/// What a lock says of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Held {
    /// Who it is.
    pub(in crate::runtimes::coreclr) owner: Owner,
    /// How often the owner has taken it; `None` where nobody has, or it cannot be told.
    pub(in crate::runtimes::coreclr) recursion: Option<u32>,
    /// How that is known.
    pub(in crate::runtimes::coreclr) evidence: Evidence,
    /// The owner, where it is no thread any more.
    pub(in crate::runtimes::coreclr) absent: Option<Absent>,
    /// How many have it for reading; `None` for kinds without readers.
    pub(in crate::runtimes::coreclr) readers: Option<u32>,
    /// Those of them that are known, in ascending order.
    pub(in crate::runtimes::coreclr) read_by: Vec<Tid>,
}

impl Held {
    fn of(owner: Owner, recursion: Option<u32>, evidence: Evidence) -> Held {
        Held { owner, recursion, evidence, absent: None, readers: None, read_by: Vec::new() }
    }

    /// Nobody has it.
    pub(in crate::runtimes::coreclr) fn free(evidence: Evidence) -> Held {
        Held::of(Owner::None, None, evidence)
    }

    /// It cannot be told who has it.
    pub(in crate::runtimes::coreclr) fn unknown(gap: Gap) -> Held {
        Held::of(Owner::Unknown(gap), None, Evidence::WAIT)
    }

    /// A thread that follows from something beside the lock.
    pub(in crate::runtimes::coreclr) fn inferred(tid: Tid, evidence: Evidence) -> Held {
        Held::of(Owner::Inferred(tid), None, evidence)
    }

    /// The same with who has it for reading.
    pub(in crate::runtimes::coreclr) fn read(self, readers: u32, read_by: Vec<Tid>) -> Held {
        Held { readers: Some(readers), read_by, ..self }
    }

    /// Whether somebody has it.
    pub(in crate::runtimes::coreclr) fn is_held(&self) -> bool {
        self.owner != Owner::None
    }
}

impl<'a> Holders<'a> {
    /// Those of a list.
    pub(in crate::runtimes::coreclr) fn of(list: &'a ManagedThreads) -> Holders<'a> {
        let threads = list.threads.iter();
        Holders {
            by_id: threads.clone().filter_map(|thread| Some((thread.id.clone().ok()?, thread))).collect(),
            by_address: threads.clone().map(|thread| (thread.address, thread)).collect(),
            by_tid: threads.filter_map(|thread| Some((thread.tid.clone().ok()??, thread))).collect(),
            unread: list.unread(),
        }
    }

    /// The thread of an OS id.
    pub(in crate::runtimes::coreclr) fn of_tid(&self, tid: Tid) -> Option<&'a ManagedThread> {
        self.by_tid.get(&tid).copied()
    }

    /// The thread of a managed id.
    pub(in crate::runtimes::coreclr) fn of_id(&self, id: u32) -> Option<&'a ManagedThread> {
        self.by_id.get(&id).copied()
    }

    /// The thread of a structure.
    pub(in crate::runtimes::coreclr) fn of_address(&self, address: Addr) -> Option<&'a ManagedThread> {
        self.by_address.get(&address).copied()
    }

    /// Why a thread may be missing; `None` where all of them are there.
    pub(in crate::runtimes::coreclr) fn unread(&self) -> Option<&Gap> {
        self.unread.as_ref()
    }

    /// The holder with an OS id.
    pub(in crate::runtimes::coreclr) fn by_tid(&self, tid: u32, recursion: u32, evidence: Evidence) -> Held {
        let recursion = Some(recursion);
        match (self.of_tid(Tid(tid)), &self.unread) {
            (Some(_), _) => Held::of(Owner::Thread(Tid(tid)), recursion, evidence),
            (None, None) => ended(tid, recursion),
            (None, Some(gap)) => Holders::unlisted(format!("held by thread {tid}"), gap, recursion, evidence),
        }
    }

    /// The holder that is one of the runtime's threads; `found` is `None` where the lock names none that it has.
    pub(in crate::runtimes::coreclr) fn by_thread(
        &self,
        found: Option<&ManagedThread>,
        recursion: Option<u32>,
        evidence: Evidence,
    ) -> Held {
        match (found.map(|thread| thread.tid.clone()), &self.unread) {
            (Some(Ok(Some(tid))), _) => Held::of(Owner::Thread(tid), recursion, evidence),
            (Some(Err(gap)), _) => Held { evidence, recursion, ..Held::unknown(gap) },
            (Some(Ok(None)), _) | (None, None) => {
                let words = "held by a thread that has ended".to_owned();
                Held::of(Owner::Unknown(Gap::Absent(words)), recursion, Evidence::OWNER_GONE)
            }
            (None, Some(gap)) => Holders::unlisted("somebody has it".to_owned(), gap, recursion, evidence),
        }
    }

    /// A holder that may be one of the threads that could not be read.
    fn unlisted(who: String, gap: &Gap, recursion: Option<u32>, evidence: Evidence) -> Held {
        let words = format!("{who}, who is none of the managed threads that could be read: {gap}");
        Held::of(Owner::Unknown(Gap::Absent(words)), recursion, evidence)
    }
}

/// A holder that is not in the runtime's list. No other process has the memory of its objects.
fn ended(tid: u32, recursion: Option<u32>) -> Held {
    let absent =
        Absent { tid, why: Absence::Ended, certain: true, alive: None, pid: None, process: None, shared: Some(false) };
    let words = format!("held by thread {tid}, which has ended");
    let owner = Owner::Unknown(Gap::Absent(words));
    Held { absent: Some(absent), ..Held::of(owner, recursion, Evidence::OWNER_GONE) }
}
