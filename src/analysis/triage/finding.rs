//! What triage found: a sentence with its evidence, typed so that a printer can colour it and a link can open it.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::frame::path;
use crate::model::{Addr, Subject, Tid};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It ended the process, or some of it can never go on.
    Critical,
    /// It holds the process up, or may.
    Warning,
    /// Worth knowing.
    Note,
}

/// A word of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fixed words, or text of the dump.
    Text(Arc<str>),
    /// A thread, with what it is called.
    Thread(Tid, Arc<str>),
    /// A lock, with what it is called.
    Lock(Addr, Arc<str>),
    /// A function's full name; told without its parameters.
    Function(Arc<str>),
    /// An address.
    Address(Addr),
    /// Source file and line.
    Source(Arc<str>, Option<u32>),
}

/// Words in a row, spaces included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence(pub Vec<Part>);

/// A fact that a finding rests on, and what Enter opens on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The fact.
    pub text: Sentence,
    /// What it is about.
    pub about: Option<Subject>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Next {
    /// A command of this program; null for what is done elsewhere.
    pub command: Option<String>,
    /// What the command shows, or what to do.
    pub shows: String,
}

/// One conclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule that found it.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Whether it follows from recorded facts; else it is likely.
    pub certain: bool,
    /// One sentence with names.
    pub title: Sentence,
    /// What it is about: the thread that crashed, a thread of the cycle.
    pub about: Option<Subject>,
    /// What it rests on.
    pub evidence: Vec<Fact>,
    /// What to do next.
    pub next: Option<Next>,
}

impl Sentence {
    /// A sentence of plain words.
    pub fn of(text: impl Into<Arc<str>>) -> Sentence {
        Sentence::default().text(text)
    }

    /// Adds words.
    pub fn text(self, text: impl Into<Arc<str>>) -> Sentence {
        self.part(Part::Text(text.into()))
    }

    /// Adds a part.
    pub fn part(mut self, part: Part) -> Sentence {
        self.0.push(part);
        self
    }

    /// Adds another sentence's parts.
    pub fn then(mut self, other: Sentence) -> Sentence {
        self.0.extend(other.0);
        self
    }

    /// Adds what `make` gives for a value, where there is one.
    pub fn with<T>(self, value: Option<T>, make: impl FnOnce(Sentence, T) -> Sentence) -> Sentence {
        match value {
            Some(value) => make(self, value),
            None => self,
        }
    }

    /// The sentence as a fact about something.
    pub fn about(self, about: impl Into<Option<Subject>>) -> Fact {
        Fact { text: self, about: about.into() }
    }
}

impl Next {
    /// A command and what it shows.
    pub fn new(command: impl Into<String>, shows: impl Into<String>) -> Next {
        Next { command: Some(command.into()), shows: shows.into() }
    }

    /// Something that is not done with a command.
    pub fn advice(words: impl Into<String>) -> Next {
        Next { command: None, shows: words.into() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Text(text) | Part::Thread(_, text) | Part::Lock(_, text) => f.write_str(text),
            Part::Function(name) => f.write_str(path(name)),
            Part::Address(address) => address.fmt(f),
            Part::Source(file, Some(line)) => write!(f, "{file}:{line}"),
            Part::Source(file, None) => f.write_str(file),
        }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| part.fmt(f))
    }
}
