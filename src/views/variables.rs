//! Frames with their arguments and local variables, for `stack -a`.

use schemars::JsonSchema;
use serde::Serialize;

use super::frame_rows::frame_row;
use crate::model::{NamedFrame, Subject, Tid, Variable, VariableKind};
use crate::report::section::{Cell, Column, Row, Table, Tone, Value};

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

/// Frames, each with its variables below it: their name stands below the function's, their value below the source line.
pub fn table(tid: Tid, frames: &[FrameVariables]) -> Table {
    let mut rows = Vec::new();
    for FrameVariables { frame, variables } in frames {
        rows.push(frame_row(tid, frame));
        rows.extend(variables.iter().flatten().map(|variable| variable_row(tid, frame.index, variable)));
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

fn variable_row(tid: Tid, frame: usize, variable: &Variable) -> Row {
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
    Row::about(Subject::Frame(tid, frame), cells)
}
