//! Words for partial truth: a datum that is unknown says why, and what would make it known.

use std::fmt;

use super::{Addr, Subject};

/// A datum of the target. `Ok(None)` inside a `Known<Option<T>>` means that the target says there is none;
/// `Err` means that it cannot be told, with the reason.
pub type Known<T> = Result<T, Gap>;

/// Why one datum is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Target memory that the dump does not hold.
    Unreadable(Unreadable),
    /// The symbol that would locate it is not at hand.
    NoSymbols(String),
    /// The layout of the structure is not known for this version of the library or runtime.
    NoLayout(String),
    /// What was read contradicts itself.
    Corrupt(String),
    /// The dump or the program does not record it.
    NotRecorded(String),
    /// What is recorded is not in the dump.
    Absent(String),
    /// Not (yet) understood by this program.
    Unsupported(String),
}

/// A range of target memory that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// First address wanted.
    pub addr: Addr,
    /// Bytes wanted.
    pub len: u64,
    /// Why they are missing.
    pub why: Why,
}

/// Why memory is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing was mapped there.
    Unmapped,
    /// Mapped, but left out of the dump (coredump_filter, dump type).
    NotDumped,
    /// Announced by the dump, but the file ends before it.
    Truncated,
    /// In a read-only page of a file that is not at hand.
    ImageMissing,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Unmapped => "not mapped",
            Why::NotDumped => "not in the dump",
            Why::Truncated => "the dump is truncated before it",
            Why::ImageMissing => "the module's file is not at hand",
        })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes at {}: {}", self.len, self.addr, self.why)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Unreadable(range) => range.fmt(f),
            Gap::NoSymbols(what) => write!(f, "no symbols: {what}"),
            Gap::NoLayout(what) => write!(f, "layout unknown: {what}"),
            Gap::Corrupt(what) => write!(f, "inconsistent: {what}"),
            Gap::NotRecorded(what) => write!(f, "not recorded: {what}"),
            Gap::Absent(what) => f.write_str(what),
            Gap::Unsupported(what) => write!(f, "not supported: {what}"),
        }
    }
}

impl From<Unreadable> for Gap {
    fn from(range: Unreadable) -> Gap {
        Gap::Unreadable(range)
    }
}

/// A value that may have holes, each of them told.
#[derive(Clone, Debug, Default)]
pub struct Partial<T> {
    /// What is known.
    pub value: T,
    /// What is missing from it.
    pub problems: Vec<Problem>,
}

impl<T> Partial<T> {
    /// A value without holes.
    pub fn whole(value: T) -> Partial<T> {
        Partial { value, problems: Vec::new() }
    }
}

/// A gap as told to the user: what it is about, why, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A fixed word for scripts, `truncated`, `module-file-missing`.
    pub code: &'static str,
    /// What it is about.
    pub about: Subject,
    /// One sentence: what is missing and what follows from it.
    pub message: String,
    /// One sentence: what the user can do, where something can be done.
    pub remedy: Option<String>,
}

impl Problem {
    /// A problem without a remedy.
    pub fn new(code: &'static str, about: Subject, message: impl Into<String>) -> Problem {
        Problem { code, about, message: message.into(), remedy: None }
    }

    /// The same, with what the user can do about it.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Problem {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds problems to those that are told, each once.
    pub fn join(told: &mut Vec<Problem>, more: impl IntoIterator<Item = Problem>) {
        for problem in more {
            if !told.contains(&problem) {
                told.push(problem);
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
