//! An answer that is computed once for all who ask.
//!
//! Nothing is locked while it is computed, so the work may be parallel. A thread of the pool never waits here: it would wait for work
//! that lies, half done, beneath it on its own stack (a worker that waits for a part of its work takes up another piece meanwhile).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Job;
use crate::error::Error;

/// How often who waits looks whether its own job was cancelled.
const LOOK: Duration = Duration::from_millis(10);

/// A value that is computed when it is first asked for, by the thread that asks. Failed and cancelled work is not kept: the next to ask
/// begins anew.
#[derive(Debug)]
pub struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T> {
    Idle,
    Running(Job),
    Done(Arc<T>),
}

impl<T> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared { state: Mutex::new(State::Idle), changed: Condvar::new() }
    }
}

impl<T> Shared<T> {
    /// The value, computed by `compute` if nobody else does so already. `compute` is given the work's own job, which is cancelled when
    /// all who wait for it are. Who asks from inside of a parallel loop should have asked before it.
    pub fn get(&self, job: &Job, compute: impl FnOnce(&Job) -> Result<T, Error>) -> Result<Arc<T>, Error> {
        let mut state = self.state();
        loop {
            job.check()?;
            match &*state {
                State::Done(value) => return Ok(Arc::clone(value)),
                State::Idle => break,
                State::Running(_) if is_in_pool() => {
                    drop(state);
                    return compute(job).map(Arc::new);
                }
                State::Running(work) => {
                    let work = work.clone();
                    drop(state);
                    self.wait(job, &work)?;
                    state = self.state();
                }
            }
        }
        let work = Job::default();
        *state = State::Running(work.clone());
        drop(state);
        let mut running = Running { shared: self, value: None };
        let joined = job.join(&work);
        let value = Arc::new(compute(&work)?);
        // What was computed until nobody wanted it any more may be a part.
        work.check()?;
        drop(joined);
        running.value = Some(Arc::clone(&value));
        Ok(value)
    }

    /// The value, if it was computed; never waits.
    pub fn known(&self) -> Option<Arc<T>> {
        match &*self.state() {
            State::Done(value) => Some(Arc::clone(value)),
            State::Idle | State::Running(_) => None,
        }
    }

    /// Returns when `work` has ended, or fails when `job` was cancelled.
    fn wait(&self, job: &Job, work: &Job) -> Result<(), Error> {
        let _joined = job.join(work);
        let mut state = self.state();
        while matches!(&*state, State::Running(running) if running.is(work)) {
            job.check()?;
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the calling thread works for the pool.
fn is_in_pool() -> bool {
    rayon::current_thread_index().is_some()
}

/// Work under way; however it ends, those who wait are told.
struct Running<'a, T> {
    shared: &'a Shared<T>,
    value: Option<Arc<T>>,
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        *self.shared.state() = self.value.take().map_or(State::Idle, State::Done);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
