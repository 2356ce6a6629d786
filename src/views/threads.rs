//! `threads`: every thread with its state, what it waits for and the top of the program's own code.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Draw, Needs, Query, View};
use crate::error::Error;
use crate::job::Job;
use crate::model::thread::{CallKind, HeldState, WaitKind};
use crate::model::{Subject, SubjectKind, Thread, ThreadState, WaitingOn};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "threads",
    aliases: &[Alias::of("clrthreads")],
    needs: Needs::Process,
    home_of: &[SubjectKind::Thread],
    args: &[],
    pane: Some("Threads"),
    doc: "Every thread: index, OS id, name, state, what it waits for, top frame of the program's own code",
    help: "The thread that took the fatal signal comes first. A thread without a name goes by the function it \
           was started with.

$ dumpscope demo -c threads
 #   Tid  Thread            State     Waits for                          In
 0  4745  check_progress    crashed                                      check_progress
…
 4  4723  shop::worker      blocked   mutex g_orders                     shop::Orders::commit
 5  4712  accept_customers  blocked   accept fd 8                        accept_customers
…",
    build,
    schema: shape!(Threads),
};

/// Every thread.
#[derive(Serialize, JsonSchema)]
pub struct Threads {
    /// In the one order: the thread that took the fatal signal first, then the dump's.
    pub threads: Vec<Thread>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let threads = session.threads(job)?;
    Ok(Box::new(Answered { data: Threads { threads: threads.value.clone() }, problems: threads.problems.clone() }))
}

impl Draw for Threads {
    fn draw(&self) -> Section {
        if self.threads.is_empty() {
            let said = Row::text("No threads: the dump's notes are missing or damaged.");
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let rows = self.threads.iter().map(row).collect();
        let columns = vec![
            Column::right("#"),
            Column::right("Tid"),
            Column::wide("Thread", 2).enough(12),
            Column::left("State").rank(3),
            Column::wide("Waits for", 3).rank(1).min(20).enough(24),
            Column::wide("In", 3).min(12).enough(16),
        ];
        Section { bodies: vec![Body::Table(Table::new(columns, rows))], ..Section::default() }
    }
}

/// A thread's cells: index, id, name, state, what it waits for, top function.
pub(super) fn row(thread: &Thread) -> Row {
    let state = match thread.state {
        _ if thread.crashed => Cell::text("crashed").tone(Tone::Bad),
        _ if thread.kernel.is_some() => held(thread),
        ThreadState::Running => Cell::text("running").tone(Tone::Strong),
        ThreadState::Blocked => Cell::text("blocked"),
        ThreadState::Sleeping => Cell::text("sleeping").tone(Tone::Dim),
        ThreadState::Exited => Cell::text("exited").tone(Tone::Dim),
        ThreadState::Unknown => Cell::unknown("the dump does not tell"),
    };
    let top = thread.top.as_ref().map_or(Cell::NONE, |top| Cell::new(Value::Function(top.as_str().into())));
    Row::about(
        Subject::Thread(thread.tid),
        vec![
            Cell::new(Value::Count(thread.index as u64)).tone(Tone::Dim),
            Cell::new(Value::Tid(thread.tid)).tone(Tone::Link),
            name(thread),
            state,
            Cell::text_or_none(waits(thread)),
            top,
        ],
    )
}

/// How the kernel holds a thread.
fn held(thread: &Thread) -> Cell {
    let words = match thread.kernel.as_ref().map(|held| held.state) {
        Some(HeldState::Stopped) => "stopped",
        Some(HeldState::Traced) => "traced",
        Some(HeldState::Frozen) => "frozen",
        Some(HeldState::Uninterruptible) => "uninterruptible",
        None => return Cell::NONE,
    };
    Cell::text(words).tone(Tone::Guess)
}

/// What it waits for, and where in the kernel, where it cannot be woken.
fn waits(thread: &Thread) -> Option<String> {
    let on = thread.waiting_on.as_ref().map(waits_for);
    let lost = thread.kernel.as_ref().filter(|held| held.lost.is_some());
    let channel =
        lost.and_then(|held| held.wait_channel.as_deref()).map(|channel| format!("in the kernel's {channel}"));
    let words: Vec<String> = on.into_iter().chain(channel).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// A thread's name, else the function that it was started with.
pub fn name(thread: &Thread) -> Cell {
    match (&thread.name, &thread.start) {
        (Some(name), _) => Cell::text(name.as_str()).tone(Tone::Strong),
        (None, Some(start)) => Cell::new(Value::Function(start.as_str().into())),
        (None, None) => Cell::NONE,
    }
}

/// `mutex g_stock`, `read fd 7`, `futex 0x7f12…`; `~ event …` where it is inferred.
pub fn waits_for(on: &WaitingOn) -> String {
    let kind = match on.kind {
        WaitKind::Lock(kind) => kind.words,
        WaitKind::Call(kind) => call_words(kind),
    };
    let words = match (&on.name, on.address) {
        (Some(name), _) => format!("{kind} {name}"),
        (None, Some(address)) => format!("{kind} {address}"),
        (None, None) => kind.to_owned(),
    };
    let words = if on.inferred { format!("~ {words}") } else { words };
    match &on.detail {
        Some(detail) => format!("{words}, {detail}"),
        None => words,
    }
}

fn call_words(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Read => "read",
        CallKind::Write => "write",
        CallKind::Poll => "poll",
        CallKind::Epoll => "epoll",
        CallKind::Accept => "accept",
        CallKind::Open => "open",
        CallKind::Connect => "connect",
        CallKind::Sleep => "sleep",
        CallKind::Signal => "signal",
        CallKind::Child => "child process",
        CallKind::FileLock => "file lock",
        CallKind::Ipc => "ipc",
        CallKind::Io => "io",
        CallKind::Other => "system call",
    }
}
