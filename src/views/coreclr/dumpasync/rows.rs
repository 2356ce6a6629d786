//! The stacks that were asked for, as rows.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::answer::{AwaitedRow, FieldRow, FrameRow, StackRow};
use crate::model::{Addr, Value};
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

/// The stacks that are wanted, with the lines of their methods.
pub(super) fn stacks(runtime: &CoreClr, pending: &Pending, wanted: &Wanted<'_>, with_fields: bool) -> Vec<StackRow> {
    let mut rows = Rows { runtime, pending, with_fields, places: FxHashMap::default() };
    pending.stacks.iter().filter(|stack| wanted.takes(pending, stack)).map(|stack| rows.stack(stack)).collect()
}

/// File and line.
type Line = Option<(Arc<str>, u32)>;

struct Rows<'a> {
    runtime: &'a CoreClr,
    pending: &'a Pending,
    with_fields: bool,
    /// Lines by state machine and state: many methods are suspended in few places.
    places: FxHashMap<(Addr, Option<i32>), Line>,
}

impl Rows<'_> {
    fn stack(&mut self, stack: &AsyncStack) -> StackRow {
        let awaits = &stack.awaits;
        let pending = self.pending;
        StackRow {
            count: 1,
            frames: pending.of(stack).map(|step| self.frame(step)).collect(),
            awaits: AwaitedRow { kind: awaits.kind, address: awaits.address, name: awaits.name.clone() },
            threads: stack.threads(),
        }
    }

    fn frame(&mut self, step: &Step) -> FrameRow {
        let runtime = self.runtime;
        let place = self.places.entry((step.table, step.state)).or_insert_with(|| place(runtime, step)).clone();
        let (file, line) = place.unzip();
        let fields = || runtime.fields_of(step).into_iter().map(|(name, value)| field(name, &value)).collect();
        FrameRow {
            address: step.address,
            type_name: step.type_name.clone(),
            method: step.method.clone(),
            state: step.state,
            status: step.status.map(Status::name),
            file,
            line,
            fields: (self.with_fields && step.is_method).then(fields),
            unread: step.gap.as_ref().map(ToString::to_string),
        }
    }
}

/// Where a method is suspended; `None` where no PDB tells it.
fn place(runtime: &CoreClr, step: &Step) -> Option<(Arc<str>, u32)> {
    let state = step.state.and_then(|state| u32::try_from(state).ok())?;
    let line = runtime.suspended(step.table, state).ok()??;
    Some((line.file, line.line))
}

fn field(name: Arc<str>, value: &Value) -> FieldRow {
    FieldRow {
        name,
        type_name: value.ty.as_ref().map(|ty| Arc::clone(&ty.name)),
        value: value.to_string(),
        address: value.address().filter(|address| address.0 != 0),
    }
}
