//! What a row, a link or a problem is about.

use super::{Addr, Tid};

/// The thing that a row speaks of: Enter in the terminal, a link in HTML, a reference in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The dump as a whole.
    Capture,
    /// A thread, by its OS id.
    Thread(Tid),
    /// One frame of a thread: the index counts logical frames, innermost 0.
    Frame(Tid, usize),
    /// A lock, by its address.
    Lock(Addr),
    /// A loaded module, by its base address.
    Module(Addr),
    /// Memory at an address.
    Memory(Addr),
    /// An exception: its place in the list of exceptions.
    Exception(usize),
    /// A type of objects of a heap, by its identity in the dump.
    Type(Addr),
    /// The types of a namespace, by the identity of one of them.
    Namespace(Addr),
    /// An object of a heap, by its address.
    Object(Addr),
    /// A command of this program, by its name.
    Command(&'static str),
}

/// The kind of a [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// The dump as a whole.
    Capture,
    /// A thread.
    Thread,
    /// A frame of a thread.
    Frame,
    /// A lock.
    Lock,
    /// A loaded module.
    Module,
    /// Memory.
    Memory,
    /// An exception.
    Exception,
    /// A type of objects.
    Type,
    /// The types of a namespace.
    Namespace,
    /// An object of a heap.
    Object,
    /// A command of this program.
    Command,
}

impl Subject {
    /// Its kind.
    pub fn kind(&self) -> SubjectKind {
        match self {
            Subject::Capture => SubjectKind::Capture,
            Subject::Thread(_) => SubjectKind::Thread,
            Subject::Frame(..) => SubjectKind::Frame,
            Subject::Lock(_) => SubjectKind::Lock,
            Subject::Module(_) => SubjectKind::Module,
            Subject::Memory(_) => SubjectKind::Memory,
            Subject::Exception(_) => SubjectKind::Exception,
            Subject::Type(_) => SubjectKind::Type,
            Subject::Namespace(_) => SubjectKind::Namespace,
            Subject::Object(_) => SubjectKind::Object,
            Subject::Command(_) => SubjectKind::Command,
        }
    }
}
