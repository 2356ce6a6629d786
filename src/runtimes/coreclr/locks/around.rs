//! What an object that a thread waits on is a part of: a semaphore waits on a Monitor of its own, a countdown on an event.
//!
//! Input: the object, the objects that the thread's stack refers to, those of static fields. Output: the outermost of them that holds it in a
//! field of its own, so that it is exact although the stack is searched.

use rustc_hash::FxHashMap;

use super::kinds;
use super::names::{is_of_framework, references};
use super::stack::Part;
use crate::model::{Addr, LockKind};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;

/// A class that waits on objects of its own: its name, the fields that hold them, what a wait for it is.
struct Around {
    class: &'static str,
    fields: &'static [&'static str],
    kind: LockKind,
}

const fn around(class: &'static str, fields: &'static [&'static str], kind: LockKind) -> Around {
    Around { class, fields, kind }
}

// Source: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading, System.Threading and System.Collections.Concurrent of 8.0 to 10.0.
const AROUND: &[Around] = &[
    around("System.Threading.Tasks.Task", &["m_continuationObject"], kinds::TASK),
    around("System.Threading.ManualResetEventSlim", &["m_lock"], kinds::EVENT_SLIM),
    around("System.Threading.SemaphoreSlim", &["m_lockObjAndDisposed"], kinds::SEMAPHORE_SLIM),
    around("System.Threading.CountdownEvent", &["_event"], kinds::COUNTDOWN),
    around("System.Threading.Barrier", &["_oddEvent", "_evenEvent"], kinds::BARRIER),
    around(
        "System.Collections.Concurrent.BlockingCollection",
        &["_freeNodes", "_occupiedNodes"],
        kinds::BLOCKING_COLLECTION,
    ),
    around("System.Threading.ReaderWriterLock", &["_readerEvent", "_writerEvent"], kinds::RWLOCK),
    around(
        "System.Threading.ReaderWriterLockSlim",
        &["_writeEvent", "_readEvent", "_upgradeEvent", "_waitUpgradeEvent"],
        kinds::RWLOCK_SLIM,
    ),
    around("System.Threading.Lock", &["_waitEvent"], kinds::LOCK),
    around("System.Lazy", &["_state"], kinds::LAZY),
    around("System.Threading.Mutex", &["_waitHandle"], kinds::MUTEX),
    around("System.Threading.Semaphore", &["_waitHandle"], kinds::SEMAPHORE),
    around("System.Threading.EventWaitHandle", &["_waitHandle"], kinds::EVENT),
];

/// Most that are around one another, and most elements of a list that are looked at.
const MAX_DEPTH: usize = 5;
const MAX_LIST: u32 = 1 << 12;

/// What objects are a part of by static fields: those that these refer to, and those that the latter's fields refer to.
#[derive(Default)]
pub(in crate::runtimes::coreclr) struct Surroundings {
    of: FxHashMap<Addr, (Addr, LockKind)>,
    /// Semaphores among them.
    semaphores: Vec<Addr>,
}

impl Surroundings {
    /// Looks at the static fields of the program.
    pub(in crate::runtimes::coreclr) fn of_statics(types: Types<'_>) -> Surroundings {
        let mut all = Surroundings::default();
        let statics = types.all_statics().ok();
        for known in statics.iter().flat_map(|all| all.iter()).filter(|known| !is_of_framework(&known.name)) {
            let Ok(object) = types.object(known.to) else { continue };
            all.add(&object);
            for (_, to) in references(&object) {
                types.object(to).into_iter().for_each(|part| all.add(&part));
            }
        }
        all
    }

    /// Semaphores that static fields refer to.
    pub(in crate::runtimes::coreclr) fn semaphores(&self) -> &[Addr] {
        &self.semaphores
    }

    fn add(&mut self, outer: &Instance<'_>) {
        let Some(around) = AROUND.iter().find(|around| outer.is_a(around.class)) else { return };
        let held = around.fields.iter().filter_map(|field| outer.address(field).ok()).filter(|held| held.0 != 0);
        if around.kind == kinds::SEMAPHORE_SLIM {
            self.semaphores.push(outer.at);
        }
        self.of.extend(held.map(|held| (held, (outer.at, around.kind))));
    }

    /// The outermost object that an object is a part of, and what a wait for it is; `None` where it is part of none.
    pub(in crate::runtimes::coreclr) fn outermost(&self, part: &Part<'_>, object: Addr) -> Option<(Addr, LockKind)> {
        let mut found = None;
        let mut seen = vec![object];
        for _ in 0..MAX_DEPTH {
            let at = *seen.last()?;
            // The stack may still have objects that the collector has moved since: what a static field refers to goes first.
            let on_stack = || part.objects().find_map(|candidate| Some((candidate.at, kind(candidate, at)?)));
            let Some((outer, kind)) = self.of.get(&at).copied().or_else(on_stack) else { break };
            if seen.contains(&outer) {
                break;
            }
            seen.push(outer);
            found = Some((outer, kind));
            // What goes on with another task is no part of it: the wait is for the first.
            if kind == kinds::TASK {
                break;
            }
        }
        found
    }
}

/// What a wait for an object is that holds another in a field of its own.
fn kind(candidate: &Instance<'_>, held: Addr) -> Option<LockKind> {
    let around = AROUND.iter().find(|around| candidate.is_a(around.class))?;
    let holds = |field: &&str| candidate.address(field).is_ok_and(|address| address == held);
    let is_around = around.fields.iter().any(holds) || (around.kind == kinds::TASK && continues_with(candidate, held));
    is_around.then_some(around.kind)
}

/// Whether what goes on when a task has ended is in a list with others.
fn continues_with(task: &Instance<'_>, wanted: Addr) -> bool {
    let Ok(Some(list)) = task.reference("m_continuationObject") else { return false };
    if !list.is_a("System.Collections.Generic.List") {
        return false;
    }
    let Ok(Some(items)) = list.reference("_items") else { return false };
    let memory = items.types.clr.memory();
    let count = items.len().unwrap_or(0).min(MAX_LIST);
    (0..count).any(|index| items.element(index).is_ok_and(|slot| memory.ptr(slot) == Ok(wanted)))
}
