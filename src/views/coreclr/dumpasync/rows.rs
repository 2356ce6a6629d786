//! The stacks that were asked for, as rows.

use super::answer::{AwaitedRow, FrameRow, StackRow};
use crate::model::Addr;
use crate::session::coreclr::{AsyncStack, CoreClr, Pending, Status, Step};

/// What was asked for.
pub(super) struct Wanted<'q> {
    pub(super) address: Option<Addr>,
    pub(super) table: Option<Addr>,
    pub(super) type_name: Option<&'q str>,
    /// Also tasks that are no method's.
    pub(super) with_tasks: bool,
}

impl Wanted<'_> {
    /// Whether a method or task is of the type that was asked for.
    pub(super) fn is_of_type(&self, step: &Step) -> bool {
        self.table.is_none_or(|table| table == step.table || table == step.own_table)
            && self.type_name.is_none_or(|wanted| step.type_name.as_deref().is_some_and(|name| name.contains(wanted)))
    }

    fn takes(&self, pending: &Pending, stack: &AsyncStack) -> bool {
        let mut steps = pending.of(stack);
        let is_there =
            |address| stack.awaits.address == Some(address) || pending.of(stack).any(|step| step.address == address);
        (self.with_tasks || pending.of(stack).any(|step| step.is_method))
            && self.address.is_none_or(is_there)
            && (self.table.is_none() && self.type_name.is_none() || steps.any(|step| self.is_of_type(step)))
    }
}

pub(super) fn stacks(runtime: &CoreClr, pending: &Pending, wanted: &Wanted<'_>) -> Vec<StackRow> {
    let taken = pending.stacks.iter().filter(|stack| wanted.takes(pending, stack));
    taken.map(|stack| row(runtime, pending, stack)).collect()
}

fn row(runtime: &CoreClr, pending: &Pending, stack: &AsyncStack) -> StackRow {
    let awaits = &stack.awaits;
    StackRow {
        count: 1,
        frames: pending.of(stack).map(|step| frame(runtime, step)).collect(),
        awaits: AwaitedRow { kind: awaits.kind, address: awaits.address, name: awaits.name.clone() },
        threads: stack.threads.clone(),
    }
}

fn frame(runtime: &CoreClr, step: &Step) -> FrameRow {
    let state = step.state.and_then(|state| u32::try_from(state).ok());
    let line = state.and_then(|state| runtime.suspended(step.table, state).ok()?);
    let (file, line) = line.map(|line| (line.file, line.line)).unzip();
    FrameRow {
        address: step.address,
        type_name: step.type_name.clone(),
        method: step.method.clone(),
        state: step.state,
        status: step.status.map(Status::name),
        file,
        line,
    }
}
