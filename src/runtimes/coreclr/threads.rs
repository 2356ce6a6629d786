//! The runtime's own list of threads.
//!
//! Input: the runtime. Output: a [`ManagedThread`] for each entry. Specification: dotnet/runtime docs/design/datacontracts/Thread.md.

use rustc_hash::FxHashSet;

use super::clr::Clr;
use super::objects;
use super::types::Types;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, Tid};

/// Most threads of a list.
const MAX_THREADS: u32 = 1 << 20;

/// One of the runtime's threads.
#[derive(Clone, Debug)]
pub struct ManagedThread {
    /// The runtime's structure.
    pub address: Addr,
    /// The managed id: `Thread.ManagedThreadId`.
    pub id: Known<u32>,
    /// The OS's id; `Ok(None)` for one that was not started, or has ended.
    pub tid: Known<Option<Tid>>,
    /// What the program called it; `Ok(None)` where it did not.
    pub name: Known<Option<String>>,
    /// Its state word.
    pub state: Known<u32>,
    /// Whether the collector need not wait for it: it runs no managed code.
    pub preemptive: Known<bool>,
    /// Whether it runs finalizers.
    pub finalizer: bool,
    /// Whether it has stopped the others to collect.
    pub collecting: bool,
    /// The exception that it threw last; `Ok(None)` where it has thrown none.
    pub last_exception: Known<Option<Thrown>>,
}

/// An exception object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thrown {
    /// Its address.
    pub address: Addr,
    /// Its type's name; a gap where that cannot be read.
    pub type_name: Known<String>,
}

/// The list, in its order.
#[derive(Clone, Debug)]
pub struct ManagedThreads {
    /// Its threads.
    pub threads: Vec<ManagedThread>,
    /// How many the runtime counts; a gap where it cannot be read.
    pub count: Known<u32>,
    /// Why the list ends early; `None` where it is whole.
    pub cut: Option<Gap>,
}

impl ManagedThreads {
    /// Why one of the runtime's threads may not be among them, or not be told by its OS id; `None` where all are there.
    pub fn unread(&self) -> Option<Gap> {
        let (listed, count) = (self.threads.len(), self.count.as_ref().map(|count| *count as usize));
        let missing = |count: usize| Gap::Corrupt(format!("the runtime counts {count} threads, its list has {listed}"));
        let uncounted = || match count {
            Ok(count) if listed >= count => None,
            Ok(count) => Some(missing(count)),
            Err(gap) => Some(gap.clone()),
        };
        let unnamed = || self.threads.iter().find_map(|thread| thread.tid.as_ref().err().cloned());
        self.cut.clone().or_else(uncounted).or_else(unnamed)
    }
}

/// Words for the bits of a state word, as SOS has them.
// Source: dotnet/runtime src/coreclr/vm/threads.h, enum ThreadState, of 8.0 to 10.0; dotnet/diagnostics src/SOS/Strike/strike.cpp, ThreadStates.
const STATES: [(u32, &str); 23] = [
    (0x1, "abort requested"),
    (0x2, "GC suspend pending"),
    (0x8, "debug suspend pending"),
    (0x10, "GC on transitions"),
    (0x20, "legal to join"),
    (0x40, "executing on alternate stack"),
    (0x80, "hijacked by the GC"),
    (0x200, "background"),
    (0x400, "unstarted"),
    (0x800, "dead"),
    (0x1000, "CLR owns"),
    (0x2000, "CoInitialized"),
    (0x4000, "in single threaded apartment"),
    (0x8000, "in multi threaded apartment"),
    (0x1_0000, "reported dead"),
    (0x2_0000, "fully initialized"),
    (0x8_0000, "sync suspended"),
    (0x10_0000, "debug will sync"),
    (0x20_0000, "stack crawl needed"),
    (POOL_WORKER, "thread pool worker"),
    (0x200_0000, "interruptible"),
    (0x4000_0000, "failed to start"),
    (0x8000_0000, "detached"),
];
const POOL_WORKER: u32 = 0x100_0000;

/// A state word in words; bits without one are told as a number.
pub fn words(state: u32) -> Vec<String> {
    let named = STATES.iter().filter(|(bit, _)| state & bit != 0);
    let rest = STATES.iter().fold(state, |rest, (bit, _)| rest & !bit);
    let rest = (rest != 0).then(|| format!("{rest:#x}"));
    named.map(|(_, word)| (*word).to_owned()).chain(rest).collect()
}

/// Whether a state word is a pool worker's.
pub fn is_pool_worker(state: u32) -> bool {
    state & POOL_WORKER != 0
}

/// The structures of all threads, as far as the list can be read.
pub(super) fn addresses(clr: &Clr) -> Vec<Addr> {
    let mut seen = FxHashSet::default();
    let mut all = Vec::new();
    let first = clr.thread_store().and_then(|store| clr.ptr(store, "ThreadStore", "FirstThreadLink"));
    let (Ok(mut link), Ok(offset)) = (first, clr.layout.offset("Thread", "LinkNext")) else { return all };
    while let Some(thread) = link.minus(offset).filter(|_| link.0 != 0 && all.len() < MAX_THREADS as usize) {
        if !seen.insert(link) {
            break;
        }
        all.push(thread);
        let Ok(next) = clr.memory().ptr(link) else { break };
        link = next;
    }
    all
}

/// Every thread of the runtime.
pub(super) fn list(types: Types<'_>, job: &Job) -> Result<ManagedThreads, Error> {
    let clr = types.clr;
    let mut all = ManagedThreads { threads: Vec::new(), count: Err(not_read()), cut: None };
    let (store, link) = match clr.thread_store().and_then(|store| Ok((store, clr.layout.offset("Thread", "LinkNext")?)))
    {
        Ok(found) => found,
        Err(gap) => {
            all.count = Err(gap.clone());
            all.cut = Some(gap);
            return Ok(all);
        }
    };
    all.count = clr.u32(store, "ThreadStore", "ThreadCount");
    let special = |name| clr.global(name).ok().filter(|thread| thread.0 != 0);
    let (finalizer, collecting) = (special("FinalizerThread"), special("GCThread"));
    let mut seen = FxHashSet::default();
    let mut meter = job.meter();
    let mut next = clr.ptr(store, "ThreadStore", "FirstThreadLink");
    loop {
        meter.add(1)?;
        let at = match next {
            Ok(Addr(0)) => break,
            Ok(at) => at,
            Err(gap) => {
                all.cut = Some(gap);
                break;
            }
        };
        let Some(address) = at.minus(link).filter(|_| seen.len() < MAX_THREADS as usize && seen.insert(at)) else {
            all.cut = Some(Gap::Corrupt(format!("the runtime's list of threads leads in a circle at {at}")));
            break;
        };
        let mut thread = read(types, address);
        thread.finalizer = finalizer == Some(address);
        thread.collecting = collecting == Some(address);
        all.threads.push(thread);
        next = clr.memory().ptr(at).map_err(Gap::from);
    }
    Ok(all)
}

fn not_read() -> Gap {
    Gap::NotRecorded("the runtime's list of threads".to_owned())
}

fn read(types: Types<'_>, address: Addr) -> ManagedThread {
    let clr = types.clr;
    let os = || {
        // The id has 64 bits since .NET 9; Linux's fit in 32.
        let id = clr.u32(address, "Thread", "OSId")?;
        Ok(Some(Tid(id)).filter(|tid| tid.0 != 0))
    };
    ManagedThread {
        address,
        id: clr.u32(address, "Thread", "Id"),
        tid: os(),
        name: name(clr, address),
        state: clr.u32(address, "Thread", "State"),
        preemptive: clr.u32(address, "Thread", "PreemptiveGCDisabled").map(|disabled| disabled == 0),
        finalizer: false,
        collecting: false,
        last_exception: last_exception(types, address),
    }
}

/// The thread's object; 0 where it has none.
pub(super) fn object(clr: &Clr, thread: Addr) -> Known<Addr> {
    let handle = clr.ptr(thread, "Thread", "GCHandle")?;
    if handle.0 == 0 { Ok(handle) } else { Ok(clr.memory().ptr(handle)?) }
}

/// The name in the thread's object.
fn name(clr: &Clr, thread: Addr) -> Known<Option<String>> {
    let object = object(clr, thread)?;
    if object.0 == 0 {
        return Ok(None);
    }
    let text = clr.ptr(object, "System.Threading.Thread", "_name")?;
    if text.0 == 0 { Ok(None) } else { objects::string(clr, text).map(Some) }
}

fn last_exception(types: Types<'_>, thread: Addr) -> Known<Option<Thrown>> {
    let clr = types.clr;
    let handle = clr.ptr(thread, "Thread", "LastThrownObject")?;
    if handle.0 == 0 {
        return Ok(None);
    }
    let address = clr.memory().ptr(handle)?;
    Ok((address.0 != 0).then(|| Thrown { address, type_name: types.of_object(address) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_word_is_told_bit_by_bit() {
        // `threadstate 3021220` of SOS, of a pool worker of specimen-9.0.22.
        let told = words(0x302_1220);
        let expected =
            ["legal to join", "background", "CLR owns", "fully initialized", "thread pool worker", "interruptible"];
        assert_eq!(told, expected);
        assert!(is_pool_worker(0x302_1220) && !is_pool_worker(0x202_1220));
        assert_eq!(words(0x400), ["unstarted"]);
        assert_eq!(words(0x0400_0004), ["0x4000004"]);
        assert!(words(0).is_empty());
    }
}
