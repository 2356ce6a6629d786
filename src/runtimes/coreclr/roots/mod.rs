//! Roots: what the collector begins with.
//!
//! Input: the runtime. Output: a [`Held`] for each reference from outside of the heap. Specification: dotnet/runtime
//! docs/design/datacontracts/GC.md; src/coreclr/gc/handletablepriv.h, finalizer queue of gc.cpp; vm/threadstatics.h.

mod arguments;
mod finalizer;
mod handles;
mod held;
mod records;
mod stack;
mod threads;
mod trackers;

pub use self::finalizer::FinalizeQueue;
pub(super) use self::finalizer::{finalize_queues, waiting};
pub use self::handles::{Handle, HandleKind};
pub(super) use self::handles::{Handles, dependent};
pub(super) use self::stack::{StackRoots, of_stacks};
pub(super) use self::threads::of_threads;
