//! Frames with their arguments and local variables, for `stack -a`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{FrameKind, NamedFrame, Subject, Tid, Variable, VariableKind};
use crate::report::section::{Cell, Row, Tone, Value};

/// A frame and what its function was given and keeps.
#[derive(Serialize, JsonSchema)]
pub struct FrameVariables {
    /// The frame.
    #[serde(flatten)]
    pub frame: NamedFrame,
    /// With `-a`: arguments and local variables in scope, in the order of the source; null where no debug information tells
    /// them or the frame's registers were not kept.
    pub variables: Option<Vec<Variable>>,
}

/// Frames, each with its variables below it.
pub fn lines(tid: Tid, frames: &[FrameVariables]) -> Vec<Row> {
    let mut rows = Vec::new();
    for FrameVariables { frame, variables } in frames {
        rows.push(frame_row(tid, frame));
        for variable in variables.iter().flatten() {
            rows.push(variable_row(tid, frame.index, variable));
        }
    }
    rows
}

fn frame_row(tid: Tid, frame: &NamedFrame) -> Row {
    let function = match (&frame.function, frame.kind) {
        (Some(function), _) => Value::Function(Arc::clone(function)),
        (None, FrameKind::Signal) => Value::Text("<signal handler called>".into()),
        (None, _) => Value::Addr(frame.pc),
    };
    let mut cells = vec![
        Cell::new(Value::Count(frame.index as u64)).tone(Tone::Dim),
        Cell::text(if frame.kind == FrameKind::Inline { "i" } else { " " }).tone(Tone::Dim),
        Cell::new(function),
    ];
    if let Some(file) = &frame.file {
        cells.push(Cell::new(Value::Source(Arc::clone(file), frame.line)));
    }
    cells.extend(frame.module.as_ref().map(|module| Cell::text(Arc::clone(module)).tone(Tone::Dim)));
    Row::about(Subject::Frame(tid, frame.index), cells)
}

fn variable_row(tid: Tid, frame: usize, variable: &Variable) -> Row {
    let kind = match variable.kind {
        VariableKind::Argument => "     arg  ",
        VariableKind::Local => "     local",
    };
    let Variable { value, .. } = variable;
    let shown = match &value.content {
        Ok(_) => Cell::text(value.to_string()),
        Err(gap) => Cell::unknown(gap),
    };
    let cells = vec![
        Cell::text(kind).tone(Tone::Dim),
        Cell::new(Value::Type(value.ty.as_ref().map_or("?", |ty| &*ty.name).into())).tone(Tone::Dim),
        Cell::text(variable.name.as_deref().unwrap_or("(unnamed)")),
        Cell::text("=").tone(Tone::Dim),
        shown,
    ];
    Row::about(Subject::Frame(tid, frame), cells)
}
