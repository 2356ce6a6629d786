//! What another tool's command is here: a line of ours, or a sentence.

/// What another tool's command is here.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// The same as this line; what stands behind is passed on.
    Same(&'static str),
    /// The line that a function makes of the words behind; where it makes none, the sentence.
    Line(fn(&[&str]) -> Option<String>, &'static str),
    /// Nothing to run: a sentence.
    Says(&'static str),
    /// Nothing to run, for a reason that depends on what is open; then a sentence.
    Of(Reason, &'static str),
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug)]
pub enum Reason {
    /// It lets a process run, stops it or changes it.
    Running,
    /// It reads structures of .NET, called so.
    DotNet(&'static str),
    /// It reads structures of the JVM, called so.
    Jvm(&'static str),
    /// It lists or follows objects of a heap.
    Heap,
}

/// A command of another tool: its words, and what it is here.
pub(super) type Entry = (&'static str, Reply);
