//! Who has a `Mutex`: what the runtime's layer above the operating system keeps of it while a thread waits.
//!
//! Input: a waiting thread. Output: the owner that the mutex records. Neither an export nor a description leads there: the thread's structure is looked
//! for among what its stack refers to, and is known by that it, its wait, the wait's entry in the mutex's list, and the mutex refer to each other.
//! Sources: dotnet/runtime src/coreclr/pal/src/include/pal/synchobjects.hpp, ThreadWaitInfo; src/coreclr/pal/src/synchmgr/synchmanager.hpp,
//! WaitingThreadsListNode and CSynchData; places measured on 8.0.33, 9.0.22 and 10.0.14.

use rustc_hash::FxHashSet;

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// Bytes of a stack, and of a thread's structure, that are searched; words of the stack that are followed.
const STACK: u64 = 64 << 10;
const THREAD: u64 = 0x400;
const MAX_FOLLOWED: usize = 1 << 12;
/// Entries of lists that are passed for one thread.
const MAX_WAITERS: usize = 1 << 16;
/// What `CSynchData` calls a mutex. Source: pal/src/include/pal/corunix.hpp, enum PalObjectTypeId.
const MUTEX: u32 = 2;

/// Who has a mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// The thread, by the id that the process knows it by; 0 where nobody has it.
    pub(super) tid: u32,
    /// How often it has it.
    pub(super) count: u32,
}

/// Places in the structures, in bytes.
struct Layout {
    /// From the wait to what refers to the thread.
    thread: u64,
    /// In the wait: how many objects it is for, the entries in their lists.
    objects: u64,
    entries: u64,
    /// In an entry: the thread's id, the object, the wait.
    tid: u64,
    object: u64,
    wait: u64,
    /// In an object: its kind; how often it is owned, in front of the ids of the process and the thread that own it.
    kind: u64,
    owned: u64,
}

const EIGHT: Layout =
    Layout { thread: 0x10, objects: 8, entries: 0x18, tid: 0x18, object: 0x30, wait: 0x38, kind: 0x24, owned: 0x30 };
/// Without what other processes share.
const TEN: Layout =
    Layout { thread: 8, objects: 4, entries: 0x10, tid: 0x10, object: 0x28, wait: 0x30, kind: 0x14, owned: 0x20 };

/// Who has the one mutex that a thread waits for. `tid`: the thread's id as the process knows it; `sp`: where its stack ends.
pub(super) fn owner(clr: &Clr, tid: u32, sp: Addr) -> Known<Owned> {
    let layout = match clr.major() {
        Some(8 | 9) => &EIGHT,
        Some(10) => &TEN,
        _ => return Err(Gap::NoLayout("what this version of .NET keeps of a mutex".to_owned())),
    };
    found(clr, layout, tid, sp)
}

fn found(clr: &Clr, layout: &Layout, tid: u32, sp: Addr) -> Known<Owned> {
    let memory = clr.memory();
    let stack = memory.slice_up_to(sp, STACK)?;
    let on_stack = sp..plus(sp, stack.len() as u64)?;
    let mut seen = FxHashSet::default();
    let (mut found, mut left): (Option<Owned>, usize) = (None, MAX_WAITERS);
    for thread in memory.pointers(stack) {
        if on_stack.contains(&thread) || !thread.is_aligned(8) || seen.len() >= MAX_FOLLOWED || !seen.insert(thread) {
            continue;
        }
        let Ok(fields) = memory.slice(thread, THREAD) else { continue };
        // Nothing else refers to itself where a wait has the thread that waits.
        let places = (0u64..).step_by(8).zip(memory.pointers(fields)).filter(|(_, to)| *to == thread);
        for (offset, _) in places {
            let wait = plus(thread, offset)?.minus(layout.thread);
            let Some(Ok(owned)) = wait.map(|wait| layout.owned_by(clr, wait, tid, &mut left)) else { continue };
            if found.is_some_and(|found| found != owned) {
                return Err(Gap::NotRecorded("who has it: its stack leads to several mutexes".to_owned()));
            }
            found = Some(owned);
        }
    }
    found.ok_or_else(|| {
        Gap::NotRecorded("who has it: what the runtime keeps of the wait was not found from the stack".to_owned())
    })
}

impl Layout {
    /// Who has the mutex of a wait for one, of which every part leads to the next; fails where one does not.
    fn owned_by(&self, clr: &Clr, wait: Addr, tid: u32, left: &mut usize) -> Known<Owned> {
        let memory = clr.memory();
        let no = || Gap::Corrupt(format!("no wait for a mutex at {wait}"));
        let sure = |holds: bool| if holds { Ok(()) } else { Err(no()) };
        sure(memory.u32(plus(wait, self.objects)?)? == 1)?;
        let entry = memory.ptr(plus(wait, self.entries)?)?;
        sure(memory.ptr(plus(entry, self.wait)?)? == wait && memory.u32(plus(entry, self.tid)?)? == tid)?;
        let mutex = memory.ptr(plus(entry, self.object)?)?;
        sure(memory.u32(plus(mutex, self.kind)?)? == MUTEX)?;
        let mut next = memory.ptr(mutex)?;
        while *left > 0 {
            *left = left.saturating_sub(1);
            if next == entry {
                let (count, tid) = (plus(mutex, self.owned)?, plus(mutex, self.owned.saturating_add(8))?);
                return Ok(Owned { count: memory.u32(count)?, tid: memory.u32(tid)? });
            }
            next = memory.ptr(next)?;
        }
        Err(no())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Memory, Origin, Segment};
    use symbols::FileBytes;

    const THREAD_AT: u64 = 0x2000;
    const FIELD: u64 = 0x1a8;
    const ENTRY: u64 = 0x3000;
    const BEFORE: u64 = 0x3100;
    const OBJECT: u64 = 0x3200;

    /// Who has the mutex that thread 7 waits for, of a stack that leads to its thread; `change` damages words before that.
    fn told(layout: &Layout, change: &[(u64, u64)]) -> Known<Owned> {
        let wait = THREAD_AT + FIELD - layout.thread;
        let mut words = vec![
            (THREAD_AT + FIELD, THREAD_AT),
            (wait + layout.entries, ENTRY),
            (ENTRY + layout.wait, wait),
            (ENTRY + layout.object, OBJECT),
            // Another thread waits, too: its entry stands before.
            (OBJECT, BEFORE),
            (BEFORE, ENTRY),
        ];
        let halves = [
            (wait + layout.objects, 1),
            (ENTRY + layout.tid, 7),
            (OBJECT + layout.kind, MUTEX),
            (OBJECT + layout.owned, 2),
            (OBJECT + layout.owned + 4, 4),
            (OBJECT + layout.owned + 8, 5),
        ];
        let mut bytes = vec![0; 0x2000];
        words.extend(change);
        let at = |address: u64| usize::try_from(address - THREAD_AT).unwrap();
        for (address, half) in halves {
            bytes[at(address)..][..4].copy_from_slice(&half.to_le_bytes());
        }
        for (address, word) in words {
            bytes[at(address)..][..8].copy_from_slice(&word.to_le_bytes());
        }
        let stack = [1, 0x1008, THREAD_AT, THREAD_AT].iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
        let segment = |start, bytes| Segment { start, bytes: FileBytes::from_vec(bytes), origin: Origin::Dump };
        let segments = vec![segment(Addr(0x1000), stack), segment(Addr(THREAD_AT), bytes)];
        found(&Clr::by_hand(9, Memory::new(segments, Vec::new()), &[]), layout, 7, Addr(0x1000))
    }

    #[test]
    fn the_owner_is_what_the_mutex_of_the_wait_records() {
        let owned = Ok(Owned { tid: 5, count: 2 });
        for (major, layout) in [(8, &EIGHT), (10, &TEN)] {
            assert_eq!(told(layout, &[]), owned, "{major}");
            // Its entry leads to another wait; the mutex's list to nothing, or in a circle; the thread is not the one that waits.
            let changes = [
                (ENTRY + layout.wait, 0),
                (BEFORE, 0),
                (BEFORE, BEFORE),
                (ENTRY + layout.tid, 8),
                (THREAD_AT + FIELD, 8),
            ];
            for change in changes {
                assert!(told(layout, &[change]).is_err(), "{major}: {change:x?}");
            }
        }
    }
}
