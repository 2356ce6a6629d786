//! What a thread waits for, by what it says itself, by the methods that it is in, and by the objects that its stack refers to.
//!
//! Input: a thread's entry in its list of waits, the part of its stack in which it waits. Output: the object and what it is.

use super::around::Surroundings;
use super::blocking::{Blocking, On};
use super::kinds;
use super::stack::Part;
use super::wait::Waited;
use crate::model::{Addr, LockKind, Tid};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;

const HANDLE: &str = "System.Threading.WaitHandle";
const SAFE_HANDLE: &str = "Microsoft.Win32.SafeHandles.SafeWaitHandle";

/// Says what a thread waits for.
type Recognise = fn(&Seen<'_, '_>) -> Option<Waited>;

/// Methods that wait, by their beginnings, and what a wait in them is that the thread does not tell itself.
// Source: dotnet/runtime src/libraries/System.Private.CoreLib and src/coreclr/System.Private.CoreLib, System/Threading, of 8.0 to 10.0.
const METHODS: &[(&str, Recognise)] = &[
    ("System.Threading.WaitHandle.WaitOne", handle),
    ("System.Threading.WaitHandle.Wait", handles),
    (JOIN, joined),
    (NATIVE_JOIN, joined),
    ("System.Threading.Thread.Sleep", |_| Some(Waited::Sleep)),
    ("System.Threading.Thread.UninterruptibleSleep", |_| Some(Waited::Sleep)),
    ("System.Threading.LowLevelLifoSemaphore.", |_| Some(Waited::Work("work, as a thread of the pool"))),
];
const JOIN: &str = "System.Threading.Thread.Join";
/// What the compiler makes of the native method beneath it.
const NATIVE_JOIN: &str = "System.Threading.Thread.<Join";

/// Whether a method waits for the end of a thread.
pub(in crate::runtimes::coreclr) fn is_join(method: &str) -> bool {
    method.starts_with(JOIN) || method.starts_with(NATIVE_JOIN)
}

/// What is looked at.
pub(in crate::runtimes::coreclr) struct Seen<'p, 'a> {
    /// The part of the stack.
    pub(in crate::runtimes::coreclr) part: &'p Part<'a>,
    /// What static fields refer to.
    pub(in crate::runtimes::coreclr) around: &'p Surroundings,
    /// The thread.
    pub(in crate::runtimes::coreclr) tid: Tid,
    /// The thread's own object.
    pub(in crate::runtimes::coreclr) own: Addr,
}

/// What a thread waits for that says so itself. `object`: the object of a Monitor.
pub(in crate::runtimes::coreclr) fn told(seen: &Seen<'_, '_>, found: Blocking, object: Addr) -> Waited {
    let (kind, address) = match found.on {
        On::Lock(lock) => (kinds::LOCK, lock),
        // What takes its own Monitor is about to go on, but for a value that another thread makes.
        On::Enter(_) => match seen.around.outermost(seen.part, object) {
            Some((lazy, kinds::LAZY)) => (kinds::LAZY, lazy),
            _ => (kinds::MONITOR, object),
        },
        On::Pulse(_) => pulse(seen, object),
    };
    Waited::Lock { kind, address }
}

/// What a wait for a pulse stands for.
fn pulse(seen: &Seen<'_, '_>, object: Addr) -> (LockKind, Addr) {
    // Events that tasks set when they end: of several tasks the event stands for them, of one where that is not found.
    let event =
        |class| seen.part.of_class(class).find(|event| event.address("m_lock").is_ok_and(|lock| lock == object));
    if let Some(all) = event("System.Threading.Tasks.Task+SetOnCountdownMres") {
        return (kinds::TASKS, all.at);
    }
    let Some((address, kind)) = seen.around.outermost(seen.part, object) else { return (kinds::MONITOR_WAIT, object) };
    if let Some(semaphore) = queued(seen, address, kind) {
        return (kinds::SEMAPHORE_SLIM, semaphore);
    }
    let stands_for_task = event("System.Threading.Tasks.Task+SetOnInvokeMres").is_some_and(|event| event.at == address);
    (if stands_for_task { kinds::TASK } else { kind }, address)
}

/// The semaphore whose queue of asynchronous waits a task is in: who finds others there waits behind them.
fn queued(seen: &Seen<'_, '_>, task: Addr, kind: LockKind) -> Option<Addr> {
    /// Most tasks of a queue that are looked at.
    const MAX_QUEUE: usize = 1 << 12;
    let part = seen.part;
    let node = part.of_class("System.Threading.SemaphoreSlim+TaskNode").find(|node| node.at == task)?;
    if kind != kinds::TASK {
        return None;
    }
    let holds = |semaphore: &&Instance<'_>| {
        let mut next = semaphore.reference("m_asyncHead");
        for _ in 0..MAX_QUEUE {
            match next {
                Ok(Some(node)) if node.at == task => return true,
                Ok(Some(node)) => next = node.reference("Next"),
                _ => return false,
            }
        }
        false
    };
    let mut known = seen.around.semaphores().iter().filter_map(|at| node.types.object(*at).ok());
    if let Some(known) = known.find(|semaphore| holds(&semaphore)) {
        return Some(known.at);
    }
    part.of_class("System.Threading.SemaphoreSlim").find(holds).map(|semaphore| semaphore.at)
}

/// What a thread waits for that says nothing, by the method that it is in: `called`, where the stack does not show it.
pub(in crate::runtimes::coreclr) fn by_method(seen: &Seen<'_, '_>, called: Option<&str>) -> Option<Waited> {
    let innermost = called.unwrap_or_else(|| seen.part.innermost());
    let (_, wait) = METHODS.iter().find(|(beginning, _)| innermost.starts_with(beginning))?;
    wait(seen)
}

/// The handle that a thread waits for: of those that its stack refers to the one whose native handle it refers to as well. Of several of
/// which that is not so any may be it, and none is told.
fn handle(seen: &Seen<'_, '_>) -> Option<Waited> {
    let part = seen.part;
    let for_lock = part.calls("System.Threading.Lock.");
    if let Some(lock) = taken_lock(seen).filter(|_| for_lock) {
        return Some(Waited::Lock { kind: kinds::LOCK, address: lock });
    }
    if part.calls("System.Threading.TimerQueue.TimerThread") {
        return Some(Waited::Work("the next timer"));
    }
    if part.calls("System.Threading.PortableThreadPool+GateThread.") {
        return Some(Waited::Work("time, to look after the thread pool"));
    }
    let candidates = part.of_class(HANDLE).chain(part.of_class(SAFE_HANDLE));
    let scored: Vec<(usize, &Instance<'_>)> = candidates.map(|candidate| (score(part, candidate), candidate)).collect();
    let most = scored.iter().map(|(score, _)| *score).max()?;
    let mut best = scored.iter().filter(|(score, _)| *score == most).map(|(_, handle)| *handle);
    let handle = best.next()?;
    if most == 0 && best.next().is_some() {
        return None;
    }
    let (address, kind) = seen.around.outermost(part, handle.at).unwrap_or_else(|| (handle.at, kind_of_handle(handle)));
    (kind == kinds::LOCK || !for_lock).then_some(Waited::Lock { kind, address })
}

/// How much of what a wait for a handle needs is on the stack: the object that owns the native handle, and that itself.
fn score(part: &Part<'_>, handle: &Instance<'_>) -> usize {
    let is_native = |owner: &Instance<'_>| {
        owner.address("handle").is_ok_and(|native| native.0 != 0 && part.beneath.contains(&native))
    };
    if handle.is_a(SAFE_HANDLE) {
        return usize::from(is_native(handle)).saturating_mul(2);
    }
    let Ok(Some(owner)) = handle.reference("_waitHandle") else { return 0 };
    let on_stack = part.objects().any(|object| object.at == owner.at);
    usize::from(on_stack).saturating_add(usize::from(is_native(&owner)).saturating_mul(2))
}

fn kind_of_handle(handle: &Instance<'_>) -> LockKind {
    if handle.is_a("System.Threading.Mutex") {
        kinds::MUTEX
    } else if handle.is_a("System.Threading.Semaphore") {
        kinds::SEMAPHORE
    } else {
        kinds::EVENT
    }
}

/// The array of handles of `WaitAny` and `WaitAll`.
fn handles(seen: &Seen<'_, '_>) -> Option<Waited> {
    let array = |name| seen.part.objects().find(|object| object.name() == name);
    let array =
        array("System.Threading.WaitHandle[]").or_else(|| array("Microsoft.Win32.SafeHandles.SafeWaitHandle[]"))?;
    Some(Waited::Lock { kind: kinds::HANDLES, address: array.at })
}

/// The handles in such an array, each the object that owns it, as far as it is known.
pub(in crate::runtimes::coreclr) fn elements(types: Types<'_>, around: &Surroundings, array: Addr) -> Vec<Addr> {
    /// Source: dotnet/runtime WaitHandle.cs, MaxWaitHandles.
    const MAX_HANDLES: u32 = 64;
    let Ok(array) = types.object(array) else { return Vec::new() };
    let count = array.len().unwrap_or(0).min(MAX_HANDLES);
    let element = |index| types.clr.memory().ptr(array.element(index).ok()?).ok().filter(|at| at.0 != 0);
    let nothing = Part::default();
    let outer = |at| around.outermost(&nothing, at).map_or(at, |(outer, _)| outer);
    (0..count).filter_map(element).map(outer).collect()
}

/// The one lock on the stack that another thread has and somebody waits for. Who has one himself takes it again without waiting.
fn taken_lock(seen: &Seen<'_, '_>) -> Option<Addr> {
    // Source: dotnet/runtime System/Threading/Lock.cs, State: IsLockedMask, WaiterCountIncrement.
    const LOCKED: u32 = 1;
    const WAITERS: u32 = !0x7f;
    let is_wanted = |lock: &&Instance<'_>| {
        let is_waited = lock.u32("_state").is_ok_and(|state| state & LOCKED != 0 && state & WAITERS != 0);
        is_waited && lock.u32("_owningThreadId").is_ok_and(|owner| owner != seen.tid.0)
    };
    let mut wanted = seen.part.of_class("System.Threading.Lock").filter(is_wanted);
    let (one, None) = (wanted.next()?, wanted.next()) else { return None };
    Some(one.at)
}

/// The thread whose end is waited for: the only other one that the stack refers to.
fn joined(seen: &Seen<'_, '_>) -> Option<Waited> {
    let mut others = seen.part.of_class("System.Threading.Thread").filter(|thread| thread.at != seen.own);
    let (one, None) = (others.next()?, others.next()) else { return None };
    Some(Waited::Lock { kind: kinds::JOIN, address: one.at })
}
