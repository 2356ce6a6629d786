//! Runtimes turn bytes into the model.

pub mod native;

use std::sync::Arc;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Exception, Lock, OsThread, Partial, Stack, Thread};
use crate::target::Target;
use crate::unwind::Unwinder;

/// What a runtime is given: the target, its threads and their walked stacks (parallel slices).
pub struct Scene<'a> {
    /// The target.
    pub target: &'a Target,
    /// Threads as the dump records them.
    pub threads: &'a [OsThread],
    /// Their stacks.
    pub stacks: &'a [Arc<Stack>],
}

/// A runtime recognised in a target.
pub trait Runtime: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Every thread as shown.
    fn threads(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Thread>>, Error>;
    /// Locks.
    fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error>;
    /// Exceptions.
    fn exceptions(&self, scene: &Scene<'_>, unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error>;
}

/// The runtimes of a target.
pub fn detect(_target: &Target) -> Vec<Box<dyn Runtime>> {
    vec![Box::new(native::Native)]
}
