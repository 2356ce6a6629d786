//! What is queued in a synchronization context.
//!
//! Every context has a queue of its own kind: what refers to a method's continuation and is reached from the context, but through no other
//! task or delegate, is taken to be it.

use rustc_hash::FxHashSet;

use super::shape::Role;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Walked;
use crate::runtimes::coreclr::threads;
use crate::runtimes::coreclr::types::{ClassKind, Types};

/// Most objects of a context that are looked at.
const MAX_OBJECTS: usize = 1 << 15;

/// The synchronization context of a thread of the runtime; `None` where it has none, or that cannot be read.
pub(super) fn of_thread(types: Types<'_>, thread: Addr) -> Option<Addr> {
    let object = threads::object(types.clr, thread).ok().filter(|object| object.0 != 0)?;
    let context = types.object(object).and_then(|object| object.address("_synchronizationContext"));
    context.ok().filter(|context| context.0 != 0)
}

/// Whether one of these is queued in a context.
pub(super) fn holds(types: Types<'_>, context: Addr, wanted: &FxHashSet<Addr>) -> bool {
    let mut seen: FxHashSet<Addr> = FxHashSet::default();
    let mut pending = vec![context];
    while let Some(at) = pending.pop() {
        if wanted.contains(&at) {
            return true;
        }
        if seen.len() >= MAX_OBJECTS || !seen.insert(at) {
            continue;
        }
        let Ok(object) = walked(types, at) else { continue };
        if at != context && !is_part(types, object.table) {
            continue;
        }
        if let Ok(Some(pattern)) = types.pattern(object.table) {
            pattern.each(types.clr.memory(), object, &mut |_, to| {
                if pending.len() < MAX_OBJECTS {
                    pending.push(to);
                }
            });
        }
    }
    false
}

/// Whether what an object refers to may be part of a queue.
fn is_part(types: Types<'_>, table: Addr) -> bool {
    let is_other = types.derives(table, "System.Threading.Thread");
    !is_other && types.shape(table).is_ok_and(|shape| matches!(shape.role, Role::Other | Role::List | Role::Sentinel))
}

/// An object with its size.
fn walked(types: Types<'_>, at: Addr) -> Known<Walked> {
    let table = types.table_of(at)?;
    let class = types.class(table)?;
    let count = match class.kind {
        ClassKind::Array { .. } | ClassKind::Text => types.clr.memory().u32(plus(at, 8)?)?,
        _ => 0,
    };
    let bytes = u64::from(class.component).saturating_mul(count.into()).saturating_add(class.base_size.into());
    Ok(Walked { at, table, bytes })
}
