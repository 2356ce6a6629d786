//! What a request awaits that no thread runs at the moment.

use rustc_hash::FxHashMap;

use super::served::PROCESSES;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::tasks::{Pending, Step};
use crate::runtimes::coreclr::types::Types;
use crate::runtimes::coreclr::unread::Unread;

/// The stacks of asynchronous methods that serve requests.
pub(super) struct Suspended {
    /// By the connection's object: positions in [`Pending::listed`].
    pub(super) by: FxHashMap<Addr, usize>,
    /// Methods of which it cannot be read whose requests they process.
    pub(super) unread: Unread,
}

/// Looks for them.
pub(super) fn stacks(types: Types<'_>, pending: &Pending) -> Suspended {
    let mut found = Suspended { by: FxHashMap::default(), unread: Unread::default() };
    for (index, stack) in pending.listed().enumerate() {
        for step in pending.of(stack) {
            match connection(types, step) {
                Ok(None) => {}
                Ok(Some(connection)) => {
                    found.by.entry(connection).or_insert(index);
                    break;
                }
                Err(gap) => found.unread.add(&gap),
            }
        }
    }
    found
}

/// The connection whose requests a method processes.
fn connection(types: Types<'_>, step: &Step) -> Known<Option<Addr>> {
    if !step.type_name.as_deref().is_some_and(|name| name.starts_with(PROCESSES)) {
        return Ok(None);
    }
    let machine = types.object(step.address)?.inner("StateMachine")?;
    machine.address("<>4__this").map(Some)
}
