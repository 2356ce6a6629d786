//! What a request awaits that no thread runs at the moment.

use rustc_hash::FxHashMap;

use super::served::PROCESSES;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::tasks::{Pending, Step};
use crate::runtimes::coreclr::types::Types;

/// The stacks of asynchronous methods that serve requests, by the connection's object: positions in [`Pending::listed`].
pub(super) fn stacks(types: Types<'_>, pending: &Pending) -> FxHashMap<Addr, usize> {
    let mut found = FxHashMap::default();
    for (index, stack) in pending.listed().enumerate() {
        let mut served = pending.of(stack).filter_map(|step| connection(types, step).ok().flatten());
        if let Some(connection) = served.next() {
            found.entry(connection).or_insert(index);
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
