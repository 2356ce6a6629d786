//! What a search for a module's file answers: the file, and what came of every place that was looked at.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};

use crate::{BuildId, Elf, Machine};

/// Where a file is, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    File(PathBuf),
    /// At a store that is reached in another way; as the store writes it.
    Url(String),
}

/// One place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Where.
    pub place: Place,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of looking at one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no such file (or an empty one, which in a debuginfod cache means that the server had none).
    Absent,
    /// Nobody knows: the place did not answer (no permission, a disk fails, a server is away). It may the next time.
    Unreadable(String),
    /// It is a directory, a device, a pipe.
    NotAFile,
    /// It is no ELF file.
    NotElf,
    /// It is another build.
    BuildIdDiffers {
        /// The build id it has, if any.
        found: Option<BuildId>,
    },
    /// It is for another architecture.
    MachineDiffers {
        /// The one it is for.
        found: Machine,
    },
    /// Its checksum is not the one that the stripped file states.
    CrcDiffers,
    /// It is the right build, and does not hold what was asked for.
    Lacks(&'static str),
    /// Its contents are not those of the module in memory, or of the stripped file.
    ContentsDiffer(String),
    /// Nothing tells whether it is the right build, and it was found where another may well be.
    Unverifiable(String),
    /// It is the file that was wanted: its build id or its checksum says so.
    Accepted,
    /// It is the file that was wanted: its contents say so. The text is what was compared.
    AcceptedByContents(String),
    /// It was taken although nothing tells whether it is the right build. The text is why.
    AcceptedUnverified(String),
}

/// The answer: a file, or none, and everything that was tried.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The file.
    pub elf: Option<Arc<Elf>>,
    /// Where it was.
    pub place: Option<Place>,
    /// Whether its identity was checked.
    pub verified: bool,
    /// Every place looked at, in order; the last one is the accepted file, if there is one.
    pub attempts: Vec<Attempt>,
}

/// An answer that is kept once it is final. One that a place failed to contribute to is given out and asked for again by the next who wants
/// it: a server that did not answer in time is no evidence that there is no file.
#[derive(Debug, Default)]
pub struct Remembered {
    lasting: OnceLock<Located>,
    /// Held while somebody asks; the last answer that was not final.
    asking: Mutex<Option<Located>>,
}

impl Place {
    /// The path on this machine.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Place::File(path) => Some(path),
            Place::Url(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Url(url) => f.write_str(url),
        }
    }
}

impl Located {
    /// The path of the file on this machine.
    pub fn path(&self) -> Option<&Path> {
        self.place.as_ref()?.path()
    }

    /// Whether asking again would give the same: there is a file, or every place said that it has none.
    pub fn is_final(&self) -> bool {
        self.elf.is_some() || !self.attempts.iter().any(|attempt| matches!(attempt.outcome, Outcome::Unreadable(_)))
    }
}

impl Remembered {
    /// The answer that is kept; `None` while nobody asked, and while no answer was final.
    pub fn get(&self) -> Option<&Located> {
        self.lasting.get()
    }

    /// The answer that is kept, or that of `ask`, which is kept if it is final. Who comes while somebody asks waits for that answer.
    pub fn get_or_ask(&self, ask: impl FnOnce() -> Located) -> Cow<'_, Located> {
        if let Some(known) = self.get() {
            return Cow::Borrowed(known);
        }
        let (mut last, waited) = match self.asking.try_lock() {
            Ok(last) => (last, false),
            Err(TryLockError::Poisoned(last)) => (last.into_inner(), false),
            Err(TryLockError::WouldBlock) => (self.asking.lock().unwrap_or_else(PoisonError::into_inner), true),
        };
        if let Some(known) = self.get() {
            return Cow::Borrowed(known);
        }
        if let Some(fresh) = last.as_ref().filter(|_| waited) {
            return Cow::Owned(fresh.clone());
        }
        let located = ask();
        if located.is_final() {
            *last = None;
            return Cow::Borrowed(self.lasting.get_or_init(|| located));
        }
        *last = Some(located.clone());
        Cow::Owned(located)
    }
}

impl Outcome {
    /// Whether a file was there and was not taken: another build, another machine, damaged, no ELF file.
    pub fn is_refusal(&self) -> bool {
        match self {
            Outcome::Absent
            | Outcome::Lacks(_)
            | Outcome::Accepted
            | Outcome::AcceptedByContents(_)
            | Outcome::AcceptedUnverified(_) => false,
            Outcome::Unreadable(_)
            | Outcome::NotAFile
            | Outcome::NotElf
            | Outcome::BuildIdDiffers { .. }
            | Outcome::MachineDiffers { .. }
            | Outcome::CrcDiffers
            | Outcome::ContentsDiffer(_)
            | Outcome::Unverifiable(_) => true,
        }
    }

    /// Whether the file was taken, and is verified.
    pub(super) fn is_verified(&self) -> bool {
        matches!(self, Outcome::Accepted | Outcome::AcceptedByContents(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Absent => f.write_str("no such file"),
            Outcome::Unreadable(why) => f.write_str(why),
            Outcome::NotAFile => f.write_str("not a regular file"),
            Outcome::NotElf => f.write_str("not an ELF file"),
            Outcome::BuildIdDiffers { found: Some(id) } => write!(f, "another build: its build id is {id}"),
            Outcome::BuildIdDiffers { found: None } => f.write_str("it has no build id, so it cannot be verified"),
            Outcome::MachineDiffers { found } => write!(f, "it is for another machine ({found:?})"),
            Outcome::CrcDiffers => f.write_str("its checksum is not the one that the stripped file states"),
            Outcome::Lacks(what) => write!(f, "it holds no {what}"),
            Outcome::ContentsDiffer(what) => write!(f, "another build: {what}"),
            Outcome::Unverifiable(why) => write!(f, "it cannot be verified: {why}"),
            Outcome::Accepted => f.write_str("accepted"),
            Outcome::AcceptedByContents(what) => write!(f, "accepted by its contents: {what}"),
            Outcome::AcceptedUnverified(why) => write!(f, "accepted, but not verified: {why}"),
        }
    }
}
