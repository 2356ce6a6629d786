//! What a stack of asynchronous methods waits for at its inner end: a delay, a semaphore, a channel, a socket, a request.
//!
//! Input: an object that is awaited and awaits nothing itself. Output: an [`Awaited`]. Specification: the classes of dotnet/runtime
//! src/libraries that are named here, of 8.0 to 10.0.

use rustc_hash::FxHashMap;

use super::gather::{Gathered, Holds};
use super::status::Status;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;

/// Most that wait for one semaphore.
const MAX_WAITERS: usize = 1 << 20;

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// `delay`, `semaphore`, `channel`, `socket`, `pipe`, `file`, `timer`: what they stand for; `task-run`: a task with code of its own;
    /// `completion-source`; `when-all`, `when-any`; `wait-async`: `Task.WaitAsync`; `unwrap`: a task within a task; `task`: another; `source`: what
    /// is no task; `continuation`: what was awaited has ended, and the method was not called again yet; `yield`: `Task.Yield`, the same;
    /// `running`; `ended`; `circle`: what is awaited waits itself for who awaits it; `unknown`: it cannot be read.
    pub kind: &'static str,
    /// The object; `None` where there is none.
    pub address: Option<Addr>,
    /// What it is called: a static field that leads to it, a length of time, a request, else its class.
    pub name: Option<String>,
}

impl Awaited {
    /// `completion-source Shop.Store.Answer`.
    pub fn words(&self) -> String {
        [Some(self.kind), self.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Kinds of classes by the beginnings of their names.
const KINDS: [(&str, &str); 14] = [
    ("System.Threading.Tasks.Task+DelayPromise", "delay"),
    ("System.Threading.SemaphoreSlim+TaskNode", "semaphore"),
    ("System.Threading.Channels.", "channel"),
    ("System.Net.Sockets.", "socket"),
    ("System.IO.Pipelines.", "pipe"),
    ("System.IO.", "file"),
    ("Microsoft.Win32.SafeHandles.SafeFileHandle", "file"),
    ("System.Threading.PeriodicTimer", "timer"),
    ("System.Threading.Tasks.Task+WhenAllPromise", "when-all"),
    ("System.Threading.Tasks.Task+WhenAnyPromise", "when-any"),
    ("System.Threading.Tasks.Task+TwoTaskWhenAnyPromise", "when-any"),
    ("System.Threading.Tasks.TaskFactory+CompleteOnInvokePromise", "when-any"),
    ("System.Threading.Tasks.Task+CancellationPromise", "wait-async"),
    ("System.Threading.Tasks.UnwrapPromise", "unwrap"),
];

/// What is known of leaves.
pub(super) struct Leaves<'a> {
    types: Types<'a>,
    /// Objects that know a task, by the task.
    holders: FxHashMap<Addr, (Addr, Holds)>,
}

impl<'a> Leaves<'a> {
    pub(super) fn of(types: Types<'a>, gathered: &Gathered) -> Leaves<'a> {
        let mut holders = FxHashMap::default();
        for (at, holds) in &gathered.holders {
            let Ok(holder) = types.object(*at) else { continue };
            match holds {
                Holds::Source => {
                    let task = holder.address("_task");
                    holders.extend(task.ok().map(|task| (task, (*at, *holds))));
                }
                Holds::Semaphore => add_waiters(&holder, &mut holders),
            }
        }
        holders.remove(&Addr(0));
        Leaves { types, holders }
    }

    /// Whether an object is a task.
    pub(super) fn is_task(&self, at: Addr) -> bool {
        self.types.table_of(at).is_ok_and(|table| self.types.derives(table, "System.Threading.Tasks.Task"))
    }

    /// What an object is that is waited for.
    pub(super) fn awaited(&self, at: Addr, status: Option<Status>) -> Awaited {
        let Ok(object) = self.types.object(at) else {
            return Awaited { kind: "unknown", address: Some(at), name: None };
        };
        let kind = KINDS.iter().find(|(name, _)| object.name().starts_with(name)).map(|(_, kind)| *kind);
        let kind = kind.unwrap_or(match (self.holders.contains_key(&at), status) {
            (true, _) => "completion-source",
            (false, Some(_)) if object.address("m_action").is_ok_and(|action| action.0 != 0) => "task-run",
            (false, Some(_)) => "task",
            (false, None) => "source",
        });
        let own = match kind {
            "delay" => due(&object).ok(),
            "task-run" => status.map(|status| status.name().to_owned()),
            _ => None,
        };
        Awaited { kind, address: Some(at), name: own.or_else(|| self.name(&object)) }
    }

    /// A task that has ended, and was awaited by what was not called again yet.
    pub(super) fn ended(&self, kind: &'static str, at: Addr) -> Awaited {
        Awaited { kind, address: Some(at), name: self.types.object(at).ok().and_then(|object| self.name(&object)) }
    }

    /// The static field that leads to an object, else its class.
    fn name(&self, object: &Instance<'_>) -> Option<String> {
        let holder = self.holders.get(&object.at).map(|(holder, _)| *holder);
        let named = holder.into_iter().chain([object.at]).find_map(|at| self.types.static_to(at));
        named.map(|name| name.to_string()).or_else(|| object.class.name.as_ref().ok().map(ToString::to_string))
    }
}

/// The tasks of those that wait for a semaphore.
fn add_waiters(semaphore: &Instance<'_>, holders: &mut FxHashMap<Addr, (Addr, Holds)>) {
    let mut next = semaphore.reference("m_asyncHead");
    for _ in 0..MAX_WAITERS {
        let Ok(Some(node)) = next else { return };
        if holders.insert(node.at, (semaphore.at, Holds::Semaphore)).is_some() {
            return;
        }
        next = node.reference("Next");
    }
}

/// How long a delay is.
fn due(delay: &Instance<'_>) -> Known<String> {
    /// Source: dotnet/runtime System/Threading/Timeout.cs, UnsignedInfinite.
    const NEVER: u32 = u32::MAX;
    // `Task.Delay(-1)` has no timer.
    let Some(timer) = delay.reference("_timer")? else { return Ok("for ever".to_owned()) };
    let timer = if timer.is_a("System.Threading.TimerQueueTimer") { Some(timer) } else { queued(&timer)? };
    Ok(match timer.map(|timer| timer.u32("_dueTime")).transpose()? {
        None | Some(NEVER) => "for ever".to_owned(),
        Some(due) => format!("{due} ms"),
    })
}

/// What a timer's wrappers lead to.
fn queued<'a>(timer: &Instance<'a>) -> Known<Option<Instance<'a>>> {
    match timer.reference("_timer")? {
        Some(inner) if inner.is_a("System.Threading.TimerQueueTimer") => Ok(Some(inner)),
        Some(inner) => inner.reference("_timer"),
        None => Ok(None),
    }
}
