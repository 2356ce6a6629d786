//! One file per question. A view is at once a command, a JSON document, a report chapter and a pane.

pub mod arguments;
mod compared;
pub mod coreclr;
mod counted;
pub mod diff;
pub mod dominators;
mod drawing;
pub mod dumpheap;
pub mod dumpobj;
mod frame_rows;
pub mod gcroot;
pub mod locks;
pub mod maddress;
pub mod modules;
pub mod moved;
mod object_rows;
pub mod objsize;
pub mod parallelstacks;
pub mod pathto;
pub mod print;
pub mod printexception;
pub mod ps;
pub mod readmemory;
pub mod referrers;
pub mod registers;
pub mod roots;
pub mod runtime_rows;
pub mod shape;
pub mod shapes;
pub mod showframe;
pub mod stack;
pub mod summary;
pub mod suspects;
pub mod threads;
pub mod variables;
pub mod verifyheap;

use std::fmt;
use std::io::Write;

use serde::Serialize;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, SubjectKind, Tid};
use crate::report::json;
use crate::report::section::Section;
use crate::session::{Runtimes, Session};

pub use self::arguments::{Alias, Arg, Arguments, Arity, Given, Kind, Needs, clash};

/// What the next question is about; shared by commands, standard input and the terminal's panes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// The selected thread; `None` is the first in the order of threads.
    pub thread: Option<Tid>,
    /// The selected logical frame of that thread, innermost 0.
    pub frame: usize,
    /// The address that memory is shown at.
    pub address: Option<Addr>,
    /// The selected object of a heap.
    pub object: Option<Addr>,
}

/// A question: the view's arguments and the focus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What was given of the view's arguments.
    pub args: Arguments,
    /// What is selected.
    pub focus: Focus,
}

impl Query {
    /// A question without arguments.
    pub fn at(focus: Focus) -> Query {
        Query { args: Arguments::default(), focus }
    }

    /// The same question with a flag.
    pub fn flagged(self, name: &'static str) -> Query {
        self.with(name, Given::Set)
    }

    /// The same question with an argument.
    pub fn with(mut self, name: &'static str, given: Given) -> Query {
        self.args.set(name, given);
        self
    }

    /// Position in the one order of the thread that `-t TID` names, else of the selected one, else 0.
    pub fn thread_index(&self, session: &Session) -> Result<usize, Error> {
        let named = self.number("t").map(|tid| u32::try_from(tid).map(Tid));
        let named = named.transpose().map_err(|_| Error::Usage("-t takes a thread id".to_owned()))?;
        match named.or(self.focus.thread) {
            Some(tid) => session
                .index_of(tid)
                .ok_or_else(|| Error::Failed(format!("no thread {tid} in this dump; 'threads' lists them"))),
            None if session.os_threads().is_empty() => {
                Err(Error::Failed("the dump holds no threads: its notes are missing or damaged".to_owned()))
            }
            None => Ok(0),
        }
    }

    /// The selected frame where the thread at `index` in the one order is the selected one; of every other thread the innermost,
    /// since its frames are numbered anew.
    pub fn frame_index(&self, session: &Session, index: usize) -> usize {
        let selected = self.focus.thread.map_or(Some(0), |tid| session.index_of(tid));
        if selected == Some(index) { self.focus.frame } else { 0 }
    }

    /// Whether a flag is on.
    pub fn flag(&self, name: &str) -> bool {
        self.args.has(name)
    }

    /// The number given for an argument.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.args.number(name)
    }

    /// The address given for an argument.
    pub fn address(&self, name: &str) -> Option<Addr> {
        self.args.address(name)
    }

    /// The word given for an argument.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.args.text(name)
    }
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
    /// What else there is to know, and an example of the output, for `help NAME`.
    pub help: &'static str,
    /// Answers it.
    pub build: fn(&Session, &Query, &Job) -> Answers,
    /// The JSON Schema of its data.
    pub schema: shape::Shape,
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
    showframe::VIEW,
    print::VIEW,
    parallelstacks::VIEW,
    locks::VIEW,
    printexception::VIEW,
    dumpheap::VIEW,
    dumpobj::VIEW,
    gcroot::VIEW,
    pathto::VIEW,
    roots::VIEW,
    objsize::VIEW,
    dominators::VIEW,
    suspects::VIEW,
    diff::VIEW,
    referrers::VIEW,
    referrers::REFERENCES,
    verifyheap::VIEW,
    modules::VIEW,
    registers::VIEW,
    readmemory::VIEW,
    moved::VIEW,
    maddress::VIEW,
    runtime_rows::VIEW,
];

/// Views of a runtime's own, which it brings (`Runtime::brings`): they are there where an opened dump has it.
pub struct Brought(pub &'static [View]);

/// The same of runtimes of this program, which know nothing of views: by the runtime's name.
static OF_RUNTIMES: &[(&str, &[View])] = &[(coreclr::RUNTIME, coreclr::VIEWS)];

/// The views that the runtimes of an opened dump bring. Looks for runtimes on the first call.
pub fn brought(session: &Session, job: &Job) -> Vec<&'static View> {
    let runtimes = session.process().and_then(|process| process.runtimes(job));
    let brought = |runtimes: &Runtimes| -> Vec<&'static View> {
        let named =
            |name| OF_RUNTIMES.iter().filter(move |(runtime, _)| *runtime == name).flat_map(|(_, views)| *views);
        let own = runtimes.brought().filter_map(|any| any.downcast_ref::<Brought>()).flat_map(|Brought(views)| *views);
        own.chain(runtimes.names().flat_map(named)).collect()
    };
    runtimes.map(|runtimes| brought(&runtimes)).unwrap_or_default()
}

/// A pane that is there only where there is something to show in it.
pub struct OptionalPane {
    /// The view's name.
    pub view: &'static str,
    /// Whether an opened dump has nothing for it: told at once, without what the view itself reads.
    pub is_empty: fn(&Session, &Job) -> bool,
}

/// Each of them.
static OPTIONAL: &[OptionalPane] = &[coreclr::dumprequests::PANE];

/// The names of views that have a pane, and of an opened dump nothing to show in it.
pub fn without_pane(session: &Session, job: &Job) -> Vec<&'static str> {
    OPTIONAL.iter().filter(|pane| (pane.is_empty)(session, job)).map(|pane| pane.view).collect()
}

/// Every view that a runtime of this program brings, for the documentation.
pub fn of_runtimes() -> impl Iterator<Item = &'static View> {
    OF_RUNTIMES.iter().flat_map(|(_, views)| *views)
}

/// The view of a name or alias.
pub fn find(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.name == name || view.aliases.iter().any(|alias| alias.name == name))
}
