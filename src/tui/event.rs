//! What goes into the screen's state and what comes out of it. `update` starts nothing: it returns effects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crossterm::event::{KeyEvent, MouseEvent};

use super::arrange::{Arranging, Kept};
use super::keymap::Action;
use crate::commands::Completion;
use crate::job::Job;
use crate::model::{Addr, SubjectKind, Tid};
use crate::report::section::Section;
use crate::views::{Focus, Given, Kind, Needs, Query, View, readmemory, showframe};

/// Names a piece of work; its answer carries it. An answer with a ticket that nobody waits for is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// A question to the dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What a view answers.
    View(&'static View, Query),
    /// Bytes of memory, as rows.
    Memory(Window),
    /// The address that memory holds at an address: where it points to.
    Pointer(Addr),
    /// Values of a kind that begin so, to complete a command with.
    Words {
        /// The kind.
        kind: Kind,
        /// Their start.
        start: String,
    },
    /// What a line of the `:` prompt selects, changes or explains.
    Line {
        /// The line.
        line: String,
        /// What it speaks of.
        focus: Focus,
    },
    /// A frame whole: where it stands, its variables, the lines of source around it, its registers.
    Frame {
        /// Its thread.
        tid: Tid,
        /// Its place in the named stack, innermost 0.
        index: usize,
        /// How many lines of source before and after its own.
        around: u32,
    },
    /// That something of the heap be computed, for answers that show it as far as it is known.
    Later(Later),
    /// What there is to choose from, where no dump is open.
    Choices,
    /// A source file of this machine, as the dump's symbols name it.
    Source {
        /// Its path.
        file: Arc<str>,
        /// The line to show.
        line: u32,
        /// How many lines before and after it.
        around: u32,
    },
}

/// What is computed of a heap while it is looked at already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// Names of objects that carry none.
    Names,
    /// What objects keep alive.
    Retained,
}

/// A part of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first address; `None` is the stack pointer of `thread`.
    pub at: Option<Addr>,
    /// The thread that is selected.
    pub thread: Option<Tid>,
    /// Bytes of it.
    pub bytes: u64,
    /// Bytes in a row: 8 or 16.
    pub per_row: u64,
}

impl Window {
    /// The same as the view's question.
    pub fn query(&self) -> Query {
        let query = Query::at(Focus { thread: self.thread, ..Focus::default() });
        let query = query.with("n", Given::Number(self.bytes)).with("w", Given::Number(self.per_row));
        match self.at {
            Some(at) => query.with("address", Given::Address(at)),
            None => query,
        }
    }
}

impl Question {
    /// Whether the answer is rows of memory.
    pub fn is_memory(&self) -> bool {
        match self {
            Question::Memory(_) => true,
            Question::View(view, _) => view.home_of.contains(&SubjectKind::Memory),
            _ => false,
        }
    }

    /// The command line that asks the same, as far as there is one.
    pub fn line(&self) -> String {
        let of_query = |view: &View, query: &Query| {
            let words = std::iter::once(view.name.to_owned()).chain(query.args.words(view.args));
            words.collect::<Vec<_>>().join(" ")
        };
        match self {
            Question::View(view, query) => of_query(view, query),
            Question::Memory(window) => of_query(&readmemory::VIEW, &window.query()),
            Question::Pointer(addr) => format!("pointer {addr}"),
            Question::Line { line, .. } => line.clone(),
            Question::Words { start, .. } => format!("complete {start}"),
            Question::Frame { index, .. } => format!("{} {index}", showframe::VIEW.name),
            Question::Choices => "list".to_owned(),
            Question::Later(Later::Names) => "names of the heap's objects".to_owned(),
            Question::Later(Later::Retained) => "retained sizes of the heap's objects".to_owned(),
            Question::Source { file, line, .. } => format!("source {file}:{line}"),
        }
    }

    /// What it speaks of.
    pub fn focus(&self) -> Focus {
        match self {
            Question::View(_, query) => query.focus,
            Question::Memory(window) => Focus { thread: window.thread, ..Focus::default() },
            Question::Line { focus, .. } => *focus,
            Question::Frame { tid, index, .. } => Focus { thread: Some(*tid), frame: *index, ..Focus::default() },
            Question::Pointer(_)
            | Question::Words { .. }
            | Question::Later(_)
            | Question::Choices
            | Question::Source { .. } => Focus::default(),
        }
    }

    /// The question as it stands in a log: the command, and the thread that it speaks of.
    pub fn words(&self) -> String {
        match self.focus().thread {
            Some(tid) => format!("{} (thread {tid})", self.line()),
            None => self.line(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What to show.
    pub section: Arc<Section>,
    /// What the command selected or changed, where it did.
    pub changed: Option<Changed>,
    /// Where the memory that was asked about points to.
    pub points_to: Option<Addr>,
    /// What completes a command.
    pub words: Vec<Completion>,
    /// What to call the threads, those without a name too, where that is known now.
    pub labels: Option<Arc<BTreeMap<Tid, String>>>,
    /// How many modules have no names, of those that were looked for until now; `None` where no more were.
    pub without_symbols: Option<u64>,
}

impl Answered {
    /// Something to show.
    pub fn shown(section: Section) -> Answered {
        Answered {
            section: Arc::new(section),
            changed: None,
            points_to: None,
            words: Vec::new(),
            labels: None,
            without_symbols: None,
        }
    }
}

/// What a command changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The new focus.
    pub focus: Focus,
    /// What to say about it.
    pub said: String,
    /// What is open now, where that is no longer what answers given so far are about.
    pub opened: Option<Opened>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It failed, for this reason.
    Error(String),
    /// The user cancelled it.
    Cancelled,
    /// This program is wrong: what the panic said, and where.
    Bug(String),
}

impl Failure {
    /// The failure as it stands in a log.
    pub fn words(&self) -> String {
        match self {
            Failure::Error(why) => why.clone(),
            Failure::Cancelled => "stopped by the user".to_owned(),
            Failure::Bug(why) => format!("bug: {why}"),
        }
    }
}

/// What is open, for the first line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Name of the program; `None` where the dump does not tell.
    pub program: Option<String>,
    /// What it is, where it is no process: `hprof 1.0.2`. Then there are no threads, and the processor is not known.
    pub kind: Option<&'static str>,
    /// Whether objects of a heap can be listed.
    pub has_heap: bool,
    /// Whether a collector frees what nothing refers to in it.
    pub is_collected: bool,
    /// Views that the runtimes in it bring.
    pub brought: Vec<&'static View>,
    /// The names of those that have a pane, and nothing to show in it.
    pub without_pane: Vec<&'static str>,
    /// How often what is open was replaced.
    pub epoch: u64,
    /// Name of the dump's file.
    pub file: String,
    /// The processor.
    pub arch: String,
    /// The signal that ended it.
    pub signal: Option<String>,
    /// Threads in the dump.
    pub threads: u64,
    /// Bytes of the dump's file.
    pub bytes: u64,
    /// The thread that is selected at first.
    pub thread: Option<Tid>,
    /// What to call the threads that have a name.
    pub labels: Arc<BTreeMap<Tid, String>>,
    /// Whether it is a live process, which can be captured again.
    pub live: bool,
    /// When that process was captured.
    pub captured: Option<Instant>,
    /// How much of the dump's file is there, in percent, rounded down; `None` where all is.
    pub present_percent: Option<u8>,
    /// Modules without names, of those whose names were looked for until now.
    pub modules_without_symbols: u64,
}

impl Opened {
    /// Whether it has what a view needs.
    pub fn meets(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Process => self.kind.is_none(),
            Needs::Heap => self.has_heap,
        }
    }
}

/// What happens to the screen.
#[derive(Debug)]
pub enum Event {
    /// A key.
    Key(KeyEvent),
    /// The mouse.
    Mouse(MouseEvent),
    /// Text from the terminal's clipboard.
    Paste(String),
    /// The terminal is this wide and high.
    Resize(u16, u16),
    /// A tenth of a second went by while work was running.
    Tick,
    /// The dump was opened, or not.
    Opened(Result<Opened, Failure>),
    /// A question was answered.
    Answered(Ticket, Result<Answered, Failure>),
    /// An answer was arranged: what is left of each body.
    Arranged(Ticket, Vec<Kept>),
    /// Text was handed to the clipboard, or not.
    Copied(Result<String, String>),
    /// What was chosen cannot be opened, for this reason.
    Refused(String),
    /// A thread beside the workers panicked: what it said, and where.
    Bug(String),
    /// The terminal was given back to us.
    Resumed,
}

/// What the main loop does for the screen's state.
#[derive(Debug)]
pub enum Effect {
    /// Ask a question on a worker; answer with [`Event::Answered`].
    Ask(Ticket, Question, Job),
    /// Arrange an answer on a worker; answer with [`Event::Arranged`], or not at all where it was cancelled.
    Arrange(Ticket, Arranging),
    /// Put text into the clipboard; answer with [`Event::Copied`].
    Copy {
        /// The text.
        text: String,
        /// What it is, for the message.
        what: String,
    },
    /// Keep a line that was typed at the `:` prompt.
    Keep(String),
    /// Do this with the row of a list of choices, counted from 0 as the answer has it.
    Choose(Action, usize),
    /// Capture the mouse, or leave it to the terminal.
    Mouse(bool),
    /// Draw every cell anew.
    Redraw,
    /// Stop this process as Ctrl-Z does; answer with [`Event::Resumed`].
    Suspend,
    /// Leave.
    Quit,
}
