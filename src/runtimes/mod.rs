//! Runtimes turn a target's bytes into the neutral model: threads, locks, exceptions, heaps, and the callers and names of their own code.
//!
//! Detection needs the target alone: it comes before stacks are walked, since a runtime may unwind code of its own. Input of the rest: a
//! [`Scene`] (target, OS threads, walked stacks). Output: model nouns, each datum with its evidence or its gap. A runtime is a folder here
//! and a line in [`RUNTIMES`].

pub mod coreclr;
mod detected;
pub mod go;
pub mod layout;
pub mod native;
mod recognised;
mod runtime;
mod united;

pub use detected::Runtimes;
pub use native::{abort_exception, signal_exception};
pub use recognised::recognise;
pub use runtime::{Detected, Runtime, RuntimeKind, Scene};

/// Every runtime that is understood, the one that knows more before what it is built on: native code, which every process has, is the last.
/// Of two that tell of one thing (what ended the process, what a thread waits for) the first is right, since what the other sees is then a
/// consequence.
pub static RUNTIMES: &[RuntimeKind] = &[coreclr::KIND, go::KIND, native::KIND];
