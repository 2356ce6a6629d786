//! Runtimes turn a target's bytes into the neutral model: threads, locks, exceptions.
//!
//! Input: a [`Scene`] (target, OS threads, walked stacks). Output: model nouns, each datum with its evidence or its gap.
//! A runtime is a folder here and a line in [`RUNTIMES`].

pub mod go;
pub mod layout;
pub mod native;
mod recognised;

pub use native::{abort_exception, signal_exception};
pub use recognised::recognise;

use std::sync::Arc;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Acquisition, Exception, Known, Lock, OsThread, Partial, Stack, Thread};
use crate::target::Target;
use crate::unwind::Unwinder;

/// What a runtime is given.
pub struct Scene<'a> {
    /// The target.
    pub target: &'a Target,
    /// Its threads, in the one order.
    pub threads: &'a [OsThread],
    /// Their walked stacks, parallel to `threads`.
    pub stacks: &'a [Arc<Stack>],
}

impl<'a> Scene<'a> {
    /// Threads with their stacks.
    pub fn iter(&self) -> impl Iterator<Item = (&'a OsThread, &'a Arc<Stack>)> {
        self.threads.iter().zip(self.stacks)
    }
}

/// A runtime that was recognised in the target.
pub trait Runtime: Send + Sync {
    /// `native`, `coreclr` …
    fn name(&self) -> &'static str;

    /// The threads that this runtime knows, in the order of the scene.
    fn threads(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Thread>>, Error>;

    /// Every lock of this runtime that a thread waits for, by address.
    fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error>;

    /// Where the threads at these places of the scene have taken locks that they still hold; parallel to `threads`. Judged from
    /// code: a lock that is not among them may be held all the same.
    fn acquisitions(&self, scene: &Scene<'_>, threads: &[usize], job: &Job) -> Result<Vec<Vec<Acquisition>>, Error>;

    /// Every lock of this runtime that a recorded owner holds and nobody waits for, by address. May read much memory, within
    /// a limit; no deadlock needs it.
    fn held_locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error>;

    /// Exceptions in flight, the fatal one (or the fatal signal) first.
    fn exceptions(&self, scene: &Scene<'_>, unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error>;
}

/// `Ok(None)`: the target does not have the runtime. `Err`: it may, and this is why that cannot be told.
pub type Detected = Known<Option<Box<dyn Runtime>>>;

/// A kind of runtime: how it is recognised.
pub struct RuntimeKind {
    /// `native`, `coreclr` …
    pub name: &'static str,
    /// Looks for it.
    pub detect: fn(&Target) -> Detected,
}

/// Every runtime that is understood, in the order in which their answers are united: of two that tell what ended the process, the first is
/// right, since what native code sees is then a consequence.
pub static RUNTIMES: &[RuntimeKind] = &[go::KIND, native::KIND];

/// The runtimes in a target; more than one is normal.
pub fn detect(target: &Target) -> Vec<Box<dyn Runtime>> {
    RUNTIMES.iter().filter_map(|kind| (kind.detect)(target).ok().flatten()).collect()
}
