//! `printexception`: exceptions in flight and the fatal signal, with message and stack.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Answer, Answered, Draw, Query, View, parse_addr};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Detail, Exception, ExceptionKind, NamedFrame, Phase, Subject, Tid};
use crate::report::section::{Body, Cell, Row, Section, Tone, Value};
use crate::session::Session;

/// The view.
pub const VIEW: View = View {
    name: "printexception",
    aliases: &["pe", "exceptions"],
    pane: Some("Exceptions"),
    doc: "Exceptions: type, message, inner exceptions, stack; the fatal signal where that is what happened",
    help: "printexception [-lines] [ADDR]\n\n  -lines  with source lines\n  ADDR    only the exception object at this \
           address\n\nSIGABRT in 4711 main (fatal)\n  std::runtime_error: bad request\n    at parse_header(Request&)  \
           parse.cpp:77",
    build,
    schema: || schemars::schema_for!(Exceptions),
};

/// Exceptions, the fatal one first.
#[derive(Serialize, JsonSchema)]
pub struct Exceptions {
    /// Every exception in flight, and the fatal signal.
    pub exceptions: Vec<ExceptionRow>,
}

/// An exception as shown.
#[derive(Serialize, JsonSchema)]
pub struct ExceptionRow {
    /// The thread that has it in flight; null when none has.
    pub tid: Option<Tid>,
    /// What it is.
    pub kind: ExceptionKind,
    /// Its type; null when it could not be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Its message; null when it has none or it could not be read.
    pub message: Option<String>,
    /// Why the message is not known; null when it is, or when there is none.
    pub message_unknown: Option<String>,
    /// The exception object, or the faulting address.
    pub address: Option<Addr>,
    /// Whether it ended the process.
    pub fatal: bool,
    /// Its stack, innermost first.
    pub frames: Vec<NamedFrame>,
    /// The exception nested in it.
    pub inner: Option<Box<ExceptionRow>>,
    /// What only its kind has: the fault of a signal, how far a C++ exception has come, where an assertion or a panic stands.
    pub detail: Detail,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    query.only(&["lines"])?;
    let wanted = query.positional().next().map(parse_addr).transpose()?;
    let known = session.exceptions(job)?;
    let chosen = known.value.iter().filter(|exception| wanted.is_none() || exception.address == wanted);
    let exceptions: Vec<ExceptionRow> = chosen.map(ExceptionRow::of).collect();
    match wanted {
        Some(address) if exceptions.is_empty() => Err(Error::Failed(format!("no exception object at {address}"))),
        _ => Ok(Box::new(Answered { data: Exceptions { exceptions }, problems: known.problems.clone() })),
    }
}

/// Deepest chain of nested exceptions that is shown.
const MAX_NESTED: usize = 32;

impl ExceptionRow {
    fn of(exception: &Exception) -> ExceptionRow {
        ExceptionRow::nested(exception, MAX_NESTED)
    }

    fn nested(exception: &Exception, depth: usize) -> ExceptionRow {
        let inner = exception.inner.as_deref().filter(|_| depth > 0);
        ExceptionRow {
            tid: exception.tid,
            kind: exception.kind,
            type_name: exception.type_name.clone().ok(),
            message: exception.message.clone().ok().flatten(),
            message_unknown: exception.message.as_ref().err().map(ToString::to_string),
            address: exception.address,
            fatal: exception.fatal,
            frames: exception.frames.clone(),
            detail: exception.detail.clone(),
            inner: inner.map(|inner| Box::new(ExceptionRow::nested(inner, depth.saturating_sub(1)))),
        }
    }

    fn title(&self, label: &str) -> Row {
        let name = self.type_name.as_deref().unwrap_or("exception of unknown type");
        let mut cells = vec![Cell::text(label).tone(if self.fatal { Tone::Bad } else { Tone::Strong })];
        cells.push(Cell::new(Value::Function(name.into())).tone(Tone::Strong));
        match (&self.message, &self.message_unknown) {
            (Some(message), _) => cells.push(Cell::text(format!(": {message}"))),
            (None, Some(reason)) => cells.push(Cell::unknown(format!("message unknown: {reason}"))),
            (None, None) => {}
        }
        match &self.detail {
            Detail::Panic { place: Ok(place) } => cells.push(Cell::text(format!(", at {place}"))),
            Detail::Cxx { phase: Phase::Caught, .. } if self.tid.is_some() => cells.push(Cell::text(", being handled")),
            Detail::Cxx { phase: Phase::InFlight, .. } => cells.push(Cell::text(", on its way to a handler")),
            Detail::Cxx { ended: Some(reason), .. } => cells.push(Cell::text(format!("; {reason}"))),
            Detail::Signal { fault: Some(fault), .. } if fault.freed.is_some() => {
                cells.push(Cell::text("; the pointer came from freed memory").tone(Tone::Guess));
            }
            Detail::Signal { handler: Some(handler), .. } => cells.push(Cell::text(format!("; handled by {handler}"))),
            _ => {}
        }
        if let Some(tid) = self.tid {
            cells.push(Cell::text(format!("in thread {tid}")).tone(Tone::Dim));
        }
        Row { cells, subject: self.tid.map(Subject::Thread) }
    }
}

impl Draw for Exceptions {
    fn draw(&self) -> Section {
        let mut bodies = Vec::new();
        if self.exceptions.is_empty() {
            bodies.push(Body::Lines(vec![Row::text("No exception is in flight, and no signal ended the process.")]));
        }
        for exception in &self.exceptions {
            let mut lines = vec![exception.title(if exception.fatal { "✗" } else { "•" })];
            let mut inner = exception.inner.as_deref();
            while let Some(nested) = inner {
                lines.push(nested.title("  caused by"));
                inner = nested.inner.as_deref();
            }
            bodies.push(Body::Lines(lines));
            if let Some(tid) = exception.tid {
                bodies.push(Body::Table(super::stack::table(tid, &exception.frames)));
            }
        }
        Section { bodies, ..Section::default() }
    }
}
