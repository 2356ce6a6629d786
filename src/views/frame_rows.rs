//! A frame as a row: index, how it was found, function, source line, module.

use std::sync::Arc;

use crate::error::Error;
use crate::model::{FrameKind, NamedFrame, Subject, Tid, Trust};
use crate::report::section::{Cell, Row, Tone, Value};

/// Why there is no frame of that number.
pub(super) fn no_frame(tid: Tid, index: usize, count: usize) -> Error {
    Error::Failed(format!("thread {tid} has no frame {index}: there are {count}, counted from 0"))
}

/// The source position of a frame, marked where it is near the true one; `None` where none is known.
pub(super) fn source(frame: &NamedFrame) -> Option<Cell> {
    Some(position(frame.file.as_ref()?, frame.line, frame.approximate))
}

/// A source position, marked where it is near the true one.
pub(super) fn position(file: &Arc<str>, line: Option<u32>, approximate: bool) -> Cell {
    let file = Arc::clone(file);
    if approximate {
        Cell::new(Value::Near(file, line)).tone(Tone::Guess)
    } else {
        Cell::new(Value::Source(file, line))
    }
}

/// The row of a frame.
pub(super) fn frame_row(tid: Tid, frame: &NamedFrame) -> Row {
    let mark = match (frame.kind, frame.trust) {
        (FrameKind::Inline, _) => Cell::text("i").tone(Tone::Dim),
        (FrameKind::Signal, _) => Cell::text("!").tone(Tone::Bad),
        (_, Trust::Scan) => Cell::text("s").tone(Tone::Guess),
        (_, Trust::FramePointer) => Cell::text("f").tone(Tone::Guess),
        _ => Cell::NONE,
    };
    let function = match (&frame.function, frame.kind) {
        (Some(function), _) => {
            Cell::new(Value::Function(Arc::clone(function))).tone(if frame.own { Tone::Plain } else { Tone::Dim })
        }
        (None, FrameKind::Signal) => Cell::text("<signal handler called>").tone(Tone::Bad),
        (None, FrameKind::Stub) => Cell::text("<call of another module>").tone(Tone::Dim),
        (None, _) => Cell::new(Value::Addr(frame.pc)).tone(Tone::Dim),
    };
    let source = source(frame).unwrap_or(Cell::NONE);
    let module = match &frame.module {
        Some(module) => Cell::text(Arc::clone(module)).tone(Tone::Dim),
        None => Cell::text("no module").tone(Tone::Guess),
    };
    Row::about(
        Subject::Frame(tid, frame.index),
        vec![Cell::new(Value::Count(frame.index as u64)).tone(Tone::Dim), mark, function, source, module],
    )
}
