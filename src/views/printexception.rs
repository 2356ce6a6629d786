//! `printexception`: exceptions in flight and the fatal signal, with message and stack.

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Arg, Arity, Draw, Kind, Needs, Query, View, threads};
use crate::error::Error;
use crate::job::Job;
use crate::model::{
    Addr, Detail, Exception, ExceptionFamily, ExceptionKind, NamedFrame, Phase, Subject, SubjectKind, Tid,
};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "printexception",
    aliases: &[Alias::of("pe"), Alias::of("exceptions")],
    needs: Needs::Process,
    home_of: &[SubjectKind::Exception],
    args: &[
        Arg::Implied("lines", "source lines stand in every stack, with and without it"),
        Arg::Operand("address", Kind::Address, Arity::Optional, "only the exception object at this address"),
        Arg::Value("n", Kind::Count, "only this one, counted from 0"),
        Arg::Flag("list", "a table, without their stacks"),
        Arg::Apart("n", &["address"]),
    ],
    pane: Some("Exceptions"),
    doc: "Exceptions: type, message, inner exceptions, stack; the fatal signal where that is what happened",
    help: "$ dumpscope demo -c 'printexception -n 1'
• shop::OutOfStock: out of stock: item 5, being handled in thread 4721
 #     Function                                Source            Module
 0     clock_nanosleep                                           orders-api
 1     nanosleep                                                 orders-api
 2     shop::Orders::retry                     orders.cc:30      orders-api
 3     shop::dispatch                          pool.cc:41        orders-api
 4     shop::handle                            pool.cc:48        orders-api
…",
    build,
    schema: shape!(Exceptions),
};

const NONE: &str = "No exception is in flight, and no signal ended the process.";

/// Exceptions, the fatal one first.
#[derive(Serialize, JsonSchema)]
pub struct Exceptions {
    /// Every exception in flight, and the fatal signal.
    pub exceptions: Vec<ExceptionRow>,
    /// What the threads are called, beside their ids; with `-list`.
    #[serde(skip)]
    list: Option<FxHashMap<Tid, Cell>>,
}

/// An exception as shown.
#[derive(Serialize, JsonSchema)]
pub struct ExceptionRow {
    /// The thread that has it in flight; null when none has.
    pub tid: Option<Tid>,
    /// What it is, in the word of the runtime that tells it.
    pub kind: ExceptionKind,
    /// What it is among those of all runtimes.
    pub family: ExceptionFamily,
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
    /// Those that it gathers beside `inner`.
    pub others: Vec<ExceptionRow>,
    /// The number that its runtime gives it, in hexadecimal, of .NET the HRESULT; null where it has none or it could not be read.
    pub code: Option<String>,
    /// What only its kind has: the fault of a signal, how far a C++ exception has come, where an assertion or a panic stands.
    pub detail: Detail,
    /// Its place among all of them, also where only some were asked for; that of the outermost for a nested one.
    #[serde(skip)]
    index: usize,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let wanted = query.address("address");
    let nth = query.number("n").map(|nth| usize::try_from(nth).unwrap_or(usize::MAX));
    let known = session.exceptions(job)?;
    let is_chosen = |index: usize, exception: &Exception| {
        nth.is_none_or(|nth| nth == index) && (wanted.is_none() || exception.address == wanted)
    };
    let chosen = known.value.iter().enumerate().filter(|(index, exception)| is_chosen(*index, exception));
    let exceptions: Vec<ExceptionRow> = chosen.map(|(index, exception)| ExceptionRow::of(index, exception)).collect();
    match (wanted, nth) {
        (Some(address), _) if exceptions.is_empty() => {
            return Err(Error::Failed(format!("no exception object at {address}")));
        }
        (None, Some(_)) if known.value.is_empty() => return Err(Error::Failed(NONE.to_owned())),
        (None, Some(nth)) if exceptions.is_empty() => {
            return Err(Error::Failed(format!("no exception {nth}: there are {}", known.value.len())));
        }
        _ => {}
    }
    let list = if query.flag("list") {
        let threads = session.threads(job)?;
        Some(threads.value.iter().map(|thread| (thread.tid, threads::name(thread))).collect())
    } else {
        None
    };
    Ok(Box::new(Answered { data: Exceptions { exceptions, list }, problems: known.problems.clone() }))
}

/// Deepest chain of nested exceptions that is shown.
const MAX_NESTED: usize = 32;

impl ExceptionRow {
    /// An exception as shown, at a place among others.
    pub(super) fn of(index: usize, exception: &Exception) -> ExceptionRow {
        ExceptionRow::nested(index, exception, MAX_NESTED)
    }

    fn nested(index: usize, exception: &Exception, depth: usize) -> ExceptionRow {
        let inner = exception.inner.as_deref().filter(|_| depth > 0);
        let others = exception.others.iter().filter(|_| depth > 0);
        ExceptionRow {
            tid: exception.tid,
            kind: exception.kind,
            family: exception.kind.family,
            type_name: exception.type_name.clone().ok(),
            message: exception.message.clone().ok().flatten(),
            message_unknown: exception.message.as_ref().err().map(ToString::to_string),
            address: exception.address,
            fatal: exception.fatal,
            frames: exception.frames.clone(),
            detail: exception.detail.clone(),
            inner: inner.map(|inner| Box::new(ExceptionRow::nested(index, inner, depth.saturating_sub(1)))),
            others: others.map(|other| ExceptionRow::nested(index, other, depth.saturating_sub(1))).collect(),
            code: exception.code.clone().ok().flatten().map(|code| format!("{code:#010x}")),
            index,
        }
    }

    fn type_cell(&self) -> Cell {
        // `fatal error` is no function's name, of which the last word would be kept.
        if let (ExceptionFamily::Panic, Some(name)) = (self.family, &self.type_name) {
            return Cell::text(name.as_str());
        }
        Cell::new(Value::Type(self.type_name.as_deref().unwrap_or("exception of unknown type").into()))
    }

    /// How far it has come, where it comes from, what it ended in.
    fn state(&self) -> Option<(String, Tone)> {
        let plain = |text: String| Some((text, Tone::Plain));
        match &self.detail {
            Detail::Panic { place: Ok(place) } => plain(format!("at {place}")),
            Detail::Cxx { phase: Phase::Caught, .. } if self.tid.is_some() => plain("being handled".to_owned()),
            Detail::Cxx { phase: Phase::InFlight, .. } => plain("on its way to a handler".to_owned()),
            Detail::Cxx { ended: Some(reason), .. } => plain(reason.to_string()),
            Detail::Signal { fault: Some(fault), .. } if fault.freed.is_some() => {
                Some(("the pointer came from freed memory".to_owned(), Tone::Guess))
            }
            Detail::Overflow => plain("the stack was full".to_owned()),
            Detail::Found { place } => Some((format!("the text was found {place}"), Tone::Guess)),
            Detail::Signal { handler: Some(handler), .. } => plain(format!("handled by {handler}")),
            _ => None,
        }
    }

    /// `HResult 0x80131501`.
    fn number(&self) -> Option<Row> {
        let code = self.code.as_deref()?;
        Some(Row::text(format!("    {} {code}", self.kind.code)))
    }

    /// Those nested in it, each behind the one that nests it, with the words before it.
    fn all_nested(&self) -> Vec<(&'static str, &ExceptionRow)> {
        let mut all = Vec::new();
        let inner = self.inner.iter().map(|inner| ("  caused by", &**inner));
        for (words, nested) in inner.chain(self.others.iter().map(|other| ("  and by", other))) {
            all.push((words, nested));
            all.extend(nested.all_nested());
        }
        all
    }

    /// Mark, thread, its name, type, message, state.
    fn row(&self, threads: &FxHashMap<Tid, Cell>) -> Row {
        let mark = if self.fatal { Cell::text("✗").tone(Tone::Bad) } else { Cell::text("•") };
        let message = match (&self.message, &self.message_unknown) {
            (Some(message), _) => Cell::text(message.as_str()),
            (None, Some(reason)) => Cell::unknown(reason),
            (None, None) => Cell::NONE,
        };
        let tid = self.tid.map_or(Cell::NONE, |tid| Cell::new(Value::Tid(tid)).tone(Tone::Link));
        let name = self.tid.and_then(|tid| threads.get(&tid)).cloned().unwrap_or(Cell::NONE);
        let state = self.state().map_or(Cell::NONE, |(state, tone)| Cell::text(state).tone(tone));
        let cells = vec![mark, tid, name, self.type_cell().tone(Tone::Strong), message, state];
        Row::about(Subject::Exception(self.index), cells)
    }

    fn title(&self, label: &str) -> Row {
        let mut cells = vec![Cell::text(label).tone(if self.fatal { Tone::Bad } else { Tone::Strong })];
        cells.push(self.type_cell().tone(Tone::Strong));
        match (&self.message, &self.message_unknown) {
            (Some(message), _) => cells.push(Cell::text(format!(": {message}"))),
            (None, Some(reason)) => cells.push(Cell::unknown(format!("message unknown: {reason}"))),
            (None, None) => {}
        }
        let on_its_way = matches!(self.detail, Detail::Cxx { phase: Phase::Caught | Phase::InFlight, .. });
        let joint = if on_its_way || matches!(self.detail, Detail::Panic { .. }) { ',' } else { ';' };
        cells.extend(self.state().map(|(state, tone)| Cell::text(format!("{joint} {state}")).tone(tone)));
        if let Some(tid) = self.tid.filter(|_| !label.starts_with(' ')) {
            cells.push(Cell::text(format!("in thread {tid}")).tone(Tone::Dim));
        }
        Row { cells, subject: self.tid.map(Subject::Thread) }
    }
}

impl Draw for Exceptions {
    fn draw(&self) -> Section {
        let mut bodies = Vec::new();
        if self.exceptions.is_empty() {
            bodies.push(Body::Lines(vec![Row::text(NONE)]));
        }
        if let Some(threads) = self.list.as_ref().filter(|_| !self.exceptions.is_empty()) {
            let columns = vec![
                Column::left(""),
                Column::right("Tid").rank(3),
                Column::wide("Thread", 1).rank(3),
                Column::wide("Type", 2).min(16),
                Column::wide("Message", 3).rank(1).min(32),
                Column::wide("State", 2).rank(4),
            ];
            let rows = self.exceptions.iter().map(|exception| exception.row(threads));
            bodies.push(Body::Table(Table::new(columns, rows.collect())));
            return Section { bodies, ..Section::default() };
        }
        for exception in &self.exceptions {
            let mut lines = vec![exception.title(if exception.fatal { "✗" } else { "•" })];
            lines.extend(exception.number());
            let nested = exception.all_nested();
            lines.extend(
                nested.iter().flat_map(|(words, nested)| std::iter::once(nested.title(words)).chain(nested.number())),
            );
            bodies.push(Body::Lines(lines));
            let Some(tid) = exception.tid else { continue };
            bodies.push(Body::Table(super::stack::table(tid, &exception.frames)));
            // Those of native code are handled where the outer one was thrown: they have no stacks of their own.
            for (_, nested) in nested.iter().filter(|(_, nested)| !nested.frames.is_empty()) {
                bodies.push(Body::Lines(vec![nested.title("  stack of")]));
                bodies.push(Body::Table(super::stack::table(tid, &nested.frames)));
            }
        }
        Section { bodies, ..Section::default() }
    }
}
