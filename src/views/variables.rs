//! Frames with their arguments and local variables, for `stack -a`.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use schemars::JsonSchema;
use serde::Serialize;

use super::frame_rows::frame_row;
use crate::model::{self, Addr, NamedFrame, Subject, Tid, Variable, VariableKind};
use crate::report::section::{Cell, Column, Row, Table, Tone, Value};

/// A frame and what its function was given and keeps.
#[derive(Serialize, JsonSchema)]
pub struct FrameVariables {
    /// The frame.
    #[serde(flatten)]
    pub frame: NamedFrame,
    /// With `-a`: arguments and local variables in scope, in the order of the source; null where no debug information tells
    /// them or the frame's registers were not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<Option<Vec<Variable>>>,
    /// With `-r`: the frame's registers, by name, null for one that could not be recovered; null where none were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registers: Option<Option<BTreeMap<&'static str, Option<Addr>>>>,
}

/// Frames, each with its variables below it: their name stands below the function's, their value below the source line.
/// `locks` are the addresses of locks that are known.
pub fn table(tid: Tid, frames: &[FrameVariables], locks: &FxHashSet<Addr>) -> Table {
    let mut rows = Vec::new();
    for FrameVariables { frame, variables, registers } in frames {
        rows.push(frame_row(tid, frame));
        let variables = variables.iter().flatten().flatten();
        rows.extend(variables.map(|variable| variable_row(tid, frame.index, variable, locks)));
        if let Some(registers) = registers {
            rows.push(register_row(tid, frame.index, registers.as_ref()));
        }
    }
    let columns = vec![
        Column::right("#"),
        Column::left(""),
        Column::wide("Function, variable", 2).rank(1).min(20),
        Column::wide("Source, value", 3).rank(1).min(20),
        Column::wide("Module, type", 1).rank(4),
    ];
    Table::new(columns, rows)
}

/// The registers of a frame that are known, below its function.
fn register_row(tid: Tid, frame: usize, registers: Option<&BTreeMap<&'static str, Option<Addr>>>) -> Row {
    let known = registers.into_iter().flatten().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
    let known: Vec<String> = known.collect();
    let cell = if known.is_empty() {
        Cell::unknown("no register of the frame was recovered")
    } else {
        Cell::text(format!("  {}", known.join("  "))).tone(Tone::Dim)
    };
    Row::about(Subject::Frame(tid, frame), vec![Cell::NONE, Cell::NONE, cell, Cell::NONE, Cell::NONE])
}

fn variable_row(tid: Tid, frame: usize, variable: &Variable, locks: &FxHashSet<Addr>) -> Row {
    let kind = match variable.kind {
        VariableKind::Argument => "arg",
        VariableKind::Local => "local",
    };
    let Variable { value, .. } = variable;
    let shown = match &value.content {
        Ok(_) => Cell::text(value.to_string()),
        Err(gap) => Cell::unknown(gap),
    };
    let cells = vec![
        Cell::NONE,
        Cell::text(kind).tone(Tone::Dim),
        Cell::text(format!("  {}", variable.name.as_deref().unwrap_or("(unnamed)"))),
        shown,
        Cell::new(Value::Type(value.ty.as_ref().map_or("?", |ty| &*ty.name).into())).tone(Tone::Dim),
    ];
    Row::about(opens(value, locks).unwrap_or(Subject::Frame(tid, frame)), cells)
}

/// What a value leads to: the lock that it is or points to, else the memory that it points to.
fn opens(value: &model::Value, locks: &FxHashSet<Addr>) -> Option<Subject> {
    let to = value.address();
    let lock = to.into_iter().chain(value.location).find(|address| locks.contains(address));
    lock.map(Subject::Lock).or_else(|| to.map(Subject::Memory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::{Behind, Content, Pointer, Scalar};

    #[test]
    fn a_pointer_opens_the_lock_or_the_memory_that_it_leads_to() {
        let locks: FxHashSet<Addr> = [Addr(0x4000)].into_iter().collect();
        let value = |at: u64, content| model::Value { ty: None, location: Some(Addr(at)), content: Ok(content) };
        let pointer = |to: u64| {
            let (to, behind) = (Addr(to), Behind::Nothing);
            value(0x7000, Content::Pointer(Pointer { to, pointee: None, is_reference: false, behind }))
        };
        assert_eq!(opens(&pointer(0x4000), &locks), Some(Subject::Lock(Addr(0x4000))));
        assert_eq!(opens(&pointer(0x4008), &locks), Some(Subject::Memory(Addr(0x4008))));
        assert_eq!(opens(&pointer(0), &locks), None, "a null pointer leads nowhere");
        let number = Content::Scalar(Scalar::Signed(1));
        assert_eq!(opens(&value(0x4000, number.clone()), &locks), Some(Subject::Lock(Addr(0x4000))));
        assert_eq!(opens(&value(0x7000, number), &locks), None);
    }
}
