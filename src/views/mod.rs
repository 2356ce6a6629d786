//! One file per question. A view is at once a command, a JSON document, a report chapter and a pane.

pub mod arguments;
mod drawing;
pub mod dumpheap;
pub mod locks;
pub mod maddress;
pub mod modules;
pub mod moved;
pub mod parallelstacks;
pub mod printexception;
pub mod ps;
pub mod readmemory;
pub mod registers;
pub mod stack;
pub mod summary;
pub mod threads;
pub mod variables;

use std::fmt;
use std::io::Write;

use serde::Serialize;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, SubjectKind, Tid};
use crate::report::json;
use crate::report::section::Section;
use crate::session::Session;

pub use self::arguments::{Alias, Arg, Arity, Kind, Needs};

/// What the next question is about; shared by commands, standard input and the terminal's panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// The selected thread; `None` is the first in the order of threads.
    pub thread: Option<Tid>,
    /// The selected logical frame of that thread, innermost 0.
    pub frame: usize,
    /// The address that memory is shown at.
    pub address: Option<Addr>,
}

/// A question: the view's arguments and the focus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Arguments, those that an alias stands for first.
    pub args: Vec<String>,
    /// What is selected.
    pub focus: Focus,
}

impl Query {
    /// Position in the one order of the thread that `-t TID` names, else of the selected one, else 0.
    pub fn thread_index(&self, session: &Session) -> Result<usize, Error> {
        let named = self.number("t")?.map(|tid| u32::try_from(tid).map(Tid));
        let named = named.transpose().map_err(|_| Error::Usage("-t takes a thread id".to_owned()))?;
        match named.or(self.focus.thread) {
            Some(tid) => session.index_of(tid).ok_or_else(|| Error::Failed(format!("no thread {tid} in this dump"))),
            None if session.os_threads().is_empty() => {
                Err(Error::Failed("the dump holds no threads: its notes are missing or damaged".to_owned()))
            }
            None => Ok(0),
        }
    }

    /// The arguments that are no options.
    pub fn positional(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(String::as_str).filter(|arg| !arg.starts_with('-'))
    }

    /// The arguments that are neither options nor the values of those in `valued` (without dashes).
    pub fn operands<'a>(&'a self, valued: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let mut is_value = false;
        self.args.iter().map(String::as_str).filter(move |arg| {
            let operand = !is_value && !arg.starts_with('-');
            is_value = arg.starts_with('-') && valued.contains(&arg.trim_start_matches('-'));
            operand
        })
    }

    /// Whether a flag is among the arguments, under any of its spellings (`-all`, `--all`).
    pub fn flag(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.trim_start_matches('-') == name && arg.starts_with('-'))
    }

    /// The number after an option, `-n 20`.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(at) = self.args.iter().position(|arg| arg.starts_with('-') && arg.trim_start_matches('-') == name)
        else {
            return Ok(None);
        };
        let text =
            self.args.get(at.saturating_add(1)).ok_or_else(|| Error::Usage(format!("-{name} takes a number")))?;
        text.parse().map(Some).map_err(|_| Error::Usage(format!("-{name} takes a number, not '{text}'")))
    }

    /// Refuses any argument starting with `-` that is not in `known` (without dashes).
    pub fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self
            .args
            .iter()
            .find(|arg| arg.len() > 1 && arg.starts_with('-') && !known.contains(&arg.trim_start_matches('-')))
        {
            Some(arg) => Err(Error::Usage(format!("unknown option '{arg}'; see 'help'"))),
            None => Ok(()),
        }
    }
}

/// An address as typed: hexadecimal, with or without `0x`.
pub fn parse_addr(text: &str) -> Result<Addr, Error> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text).replace('`', "");
    u64::from_str_radix(&digits, 16)
        .map(Addr)
        .map_err(|_| Error::Usage(format!("'{text}' is no address (hexadecimal, with or without 0x)")))
}

/// What a view gives: data that serialises itself, and a section for the printers.
pub trait Answer: Send + Sync {
    /// For text, HTML and the terminal.
    fn section(&self) -> Section;
    /// The same in parts, one after the other: a printer that needs only one of them at a time saves the memory of all.
    fn parts(&self) -> usize;
    /// The part at `index`, below [`Answer::parts`].
    fn part(&self, index: usize) -> Section;
    /// Writes it for `--json`: raw units, full names; piece by piece, until the job is cancelled.
    fn write_json(&self, out: &mut dyn Write, job: &Job) -> Result<(), Error>;
    /// What is missing from the answer.
    fn problems(&self) -> &[Problem];
}

/// A view's own data: serialises itself under the names that INTERFACE promises and draws itself as a section.
pub trait Draw: Serialize + Send + Sync {
    /// The same data in typed cells.
    fn draw(&self) -> Section;
    /// How many parts large data is drawn in: together they are what [`Draw::draw`] gives.
    fn parts(&self) -> usize {
        1
    }
    /// One part.
    fn draw_part(&self, _index: usize) -> Section {
        self.draw()
    }
}

/// Data with its problems: every view's answer.
pub struct Answered<T> {
    /// The data.
    pub data: T,
    /// What is missing from it.
    pub problems: Vec<Problem>,
}

impl<T: Draw> Answer for Answered<T> {
    fn section(&self) -> Section {
        let mut section = self.data.draw();
        section.problems = self.problems.clone();
        section
    }

    fn parts(&self) -> usize {
        self.data.parts()
    }

    fn part(&self, index: usize) -> Section {
        self.data.draw_part(index)
    }

    fn write_json(&self, out: &mut dyn Write, _: &Job) -> Result<(), Error> {
        json::write(out, &self.data)
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// What asking a view gives.
pub type Answers = Result<Box<dyn Answer>, Error>;

/// A question that can be asked of every dump.
pub struct View {
    /// The command's name.
    pub name: &'static str,
    /// Other names that fingers know.
    pub aliases: &'static [Alias],
    /// What has to be in a dump for an answer.
    pub needs: Needs,
    /// The kinds of subject whose home its pane is: opened elsewhere, they lead here.
    pub home_of: &'static [SubjectKind],
    /// Options and operands.
    pub args: &'static [Arg],
    /// The pane's title; `None` for views that have no pane.
    pub pane: Option<&'static str>,
    /// One sentence for `help`.
    pub doc: &'static str,
    /// Arguments, options and an example of the output, for `help NAME`.
    pub help: &'static str,
    /// Answers it.
    pub build: fn(&Session, &Query, &Job) -> Answers,
    /// The JSON Schema of its data.
    pub schema: fn() -> schemars::Schema,
}

/// Views are told apart by their names.
impl PartialEq for View {
    fn eq(&self, other: &View) -> bool {
        self.name == other.name
    }
}

impl Eq for View {}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl View {
    /// Answers it, or says what this dump lacks.
    pub fn answer(&self, session: &Session, query: &Query, job: &Job) -> Answers {
        if self.needs == Needs::Process {
            session.process()?;
        }
        (self.build)(session, query, job)
    }
}

/// Every view, in the order of panes and of `help`.
pub static VIEWS: &[View] = &[
    summary::VIEW,
    threads::VIEW,
    stack::VIEW,
    parallelstacks::VIEW,
    locks::VIEW,
    printexception::VIEW,
    modules::VIEW,
    registers::VIEW,
    readmemory::VIEW,
    moved::VIEW,
    maddress::VIEW,
    dumpheap::VIEW,
];

/// The view of a name or alias.
pub fn find(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name == name || view.aliases.iter().any(|alias| alias.name == name))
}
