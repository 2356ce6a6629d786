//! What a thread says that it waits for: a list on its own stack that the runtime keeps for debuggers.
//!
//! Input: a thread of the runtime. Output: the innermost entry. Specification: dotnet/runtime src/coreclr/vm/threads.h, DebugBlockingItem
//! (8 and 9); src/coreclr/vm/threaddebugblockinginfo.h and System.Private.CoreLib/src/System/Threading/ThreadBlockingInfo.cs (10).

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::Clr;
use crate::runtimes::coreclr::types::{Held, Types};

/// An entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Blocking {
    /// What is waited for.
    pub(in crate::runtimes::coreclr) on: On,
    /// Milliseconds after which the wait ends by itself.
    pub(in crate::runtimes::coreclr) limit_ms: Option<u32>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum On {
    /// To take the lock in a SyncBlock.
    Enter(Addr),
    /// For a pulse of the object with a SyncBlock.
    Pulse(Addr),
    /// To take a `System.Threading.Lock`, an object.
    Lock(Addr),
}

/// What a thread waits for; `Ok(None)` where it has said nothing.
pub(in crate::runtimes::coreclr) fn of(types: Types<'_>, thread: Addr) -> Known<Option<Blocking>> {
    let clr = types.clr;
    // Since .NET 10 the list that managed code keeps has all; before it has waits for `Lock` alone.
    match clr.layout.offset("ThreadLocalData", "BlockingInfo") {
        Ok(_) => managed(clr, thread),
        // Where the names of its fields are not in the dump, waits for `Lock` are told by what is on the stack.
        Err(_) => Ok(native(clr, thread)?.or_else(|| by_name(types, thread).ok().flatten())),
    }
}

/// The first entry of managed code's list, by the names of its fields: .NET 9 has no layout for it, 8 no such list.
fn by_name(types: Types<'_>, thread: Addr) -> Known<Option<Blocking>> {
    let Some(table) = types.find_in_core("System.Threading.ThreadBlockingInfo")? else { return Ok(None) };
    let fields = types.fields(table)?;
    let Some(first) = fields.iter().find(|field| field.held == Held::Thread && &*field.name == "t_first") else {
        return Ok(None);
    };
    let Some(at) = types.thread_static_place(thread, table, first)? else { return Ok(None) };
    let at = types.clr.memory().ptr(at)?;
    if at.0 == 0 {
        return Ok(None);
    }
    let entry = types.structure(table, at)?;
    let place = |name| entry.place(name);
    entry_at(types.clr, place("_objectPtr")?, place("_objectKind")?, place("_timeoutMs")?).map(Some)
}

fn native(clr: &Clr, thread: Addr) -> Known<Option<Blocking>> {
    const ENTER: u32 = 0;
    const WAIT: u32 = 1;
    let item = clr.ptr(thread, "Thread", "DebugBlockingItem")?;
    if item.0 == 0 {
        return Ok(None);
    }
    let block = clr.ptr(item, "DebugBlockingItem", "Monitor")?;
    let on = match clr.u32(item, "DebugBlockingItem", "Type")? {
        ENTER => On::Enter(block),
        WAIT => On::Pulse(block),
        other => return Err(Gap::Corrupt(format!("a wait of kind {other} at {item}"))),
    };
    Ok(Some(Blocking { on, limit_ms: limit(clr.u32(item, "DebugBlockingItem", "Timeout")?) }))
}

fn managed(clr: &Clr, thread: Addr) -> Known<Option<Blocking>> {
    let data = clr.ptr(thread, "Thread", "ThreadLocalDataPtr")?;
    if data.0 == 0 {
        return Ok(None);
    }
    let entry = clr.ptr(data, "ThreadLocalData", "BlockingInfo")?;
    if entry.0 == 0 {
        return Ok(None);
    }
    let place = |member| clr.at(entry, "ThreadBlockingInfo", member);
    entry_at(clr, place("Object")?, place("Kind")?, place("Timeout")?).map(Some)
}

/// An entry whose fields are at these places.
fn entry_at(clr: &Clr, object: Addr, kind: Addr, timeout: Addr) -> Known<Blocking> {
    // Source: ThreadBlockingInfo.cs, enum ObjectKind.
    const MONITOR_ENTER: u32 = 0;
    const MONITOR_WAIT: u32 = 1;
    const LOCK: u32 = 2;
    let memory = clr.memory();
    let to = memory.ptr(object)?;
    let on = match memory.u32(kind)? {
        MONITOR_ENTER => On::Enter(to),
        MONITOR_WAIT => On::Pulse(to),
        // The address of a local variable that holds the object.
        LOCK => On::Lock(memory.ptr(to)?),
        other => return Err(Gap::Corrupt(format!("a wait of kind {other} at {object}"))),
    };
    Ok(Blocking { on, limit_ms: limit(memory.u32(timeout)?) })
}

/// -1: for ever.
fn limit(timeout: u32) -> Option<u32> {
    (timeout != u32::MAX).then_some(timeout)
}
