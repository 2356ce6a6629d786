//! What views ask of a process, asked of the session: a heap dump answers that it has none.

use std::sync::Arc;

use super::{Locks, Session, What};
use crate::analysis::motion::History;
use crate::analysis::triage::Finding;
use crate::error::Error;
use crate::job::Job;
use crate::model::{
    Acquisition, Exception, ModuleRow, OsThread, Partial, Problem, RecognisedRuntime, Stack, Thread, Tid,
};

impl Session {
    /// [`super::Process::os_threads`]; none where it is no process.
    pub fn os_threads(&self) -> &[OsThread] {
        self.process().map(|process| process.os_threads()).unwrap_or_default()
    }

    /// [`super::Process::index_of`].
    pub fn index_of(&self, tid: Tid) -> Option<usize> {
        self.process().ok()?.index_of(tid)
    }

    /// [`super::Process::stack`].
    pub fn stack(&self, index: usize, job: &Job) -> Result<Arc<Stack>, Error> {
        self.process()?.stack(index, job)
    }

    /// [`super::Process::stacks`].
    pub fn stacks(&self, job: &Job) -> Result<Vec<Arc<Stack>>, Error> {
        self.process()?.stacks(job)
    }

    /// [`super::Process::threads`].
    pub fn threads(&self, job: &Job) -> Result<Arc<Partial<Vec<Thread>>>, Error> {
        self.process()?.threads(job)
    }

    /// [`super::Process::threads_if_known`].
    pub fn threads_if_known(&self) -> Option<Arc<Partial<Vec<Thread>>>> {
        self.process().ok()?.threads_if_known()
    }

    /// [`super::Process::locks`].
    pub fn locks(&self, job: &Job) -> Result<Arc<Locks>, Error> {
        self.process()?.locks(job)
    }

    /// [`super::Process::all_locks`].
    pub fn all_locks(&self, job: &Job) -> Result<Arc<Locks>, Error> {
        self.process()?.all_locks(job)
    }

    /// [`super::Process::acquisitions`].
    pub fn acquisitions(&self, threads: &[usize], job: &Job) -> Result<Vec<Vec<Acquisition>>, Error> {
        self.process()?.acquisitions(threads, job)
    }

    /// [`super::Process::exceptions`].
    pub fn exceptions(&self, job: &Job) -> Result<Arc<Partial<Vec<Exception>>>, Error> {
        self.process()?.exceptions(job)
    }

    /// [`super::Process::recognised`].
    pub fn recognised(&self, job: &Job) -> Result<Arc<Vec<RecognisedRuntime>>, Error> {
        self.process()?.recognised(job)
    }

    /// [`super::Process::verdict`].
    pub fn verdict(&self, whole: bool, job: &Job) -> Result<Arc<Vec<Finding>>, Error> {
        self.process()?.verdict(whole, job)
    }

    /// [`super::Process::modules`].
    pub fn modules(&self, job: &Job) -> Result<Vec<ModuleRow>, Error> {
        self.process()?.modules(job)
    }

    /// Of a live process: what the captures so far say of its threads; `None` for a dump.
    pub fn history(&self) -> Option<&History> {
        self.process().ok()?.history.as_ref()
    }

    /// What is damaged or missing in the dump, its modules' files and the heap, as far as they were read: later it may
    /// be more.
    pub fn problems(&self) -> Vec<Problem> {
        match &self.what {
            What::Process(process) => process.problems(),
            What::Heap(dump, _) => {
                let mut problems = dump.problems.clone();
                Problem::join(&mut problems, dump.source.problems());
                problems
            }
        }
    }
}
