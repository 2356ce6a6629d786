//! Long work: progress that a printer polls, a flag that cancels it, and answers that several may wait for.

mod meter;
mod shared;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;

pub use self::meter::Meter;
pub use self::shared::Shared;

/// Handle on a piece of work; clones share one state. Loops call [`Job::advance`] or [`Job::check`] often, the screen polls
/// [`Job::progress`].
#[derive(Clone, Debug, Default)]
pub struct Job(Arc<State>);

#[derive(Debug, Default)]
struct State {
    phase: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    /// Work that this job waits for, the innermost last: its progress is shown.
    awaited: Mutex<Vec<Job>>,
    /// Jobs that wait for this one, where it is work that several share: it is cancelled with the last of them.
    askers: Mutex<Vec<Job>>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing, `walking stacks`.
    pub phase: &'static str,
    /// Items done of this phase.
    pub done: u64,
    /// Items of this phase; 0 when not known.
    pub total: u64,
}

impl Job {
    /// Begins a phase of `total` items (0: not known) and counts from zero.
    pub fn phase(&self, phase: &'static str, total: u64) {
        *held(&self.0.phase) = phase;
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// A worker's own count of what is done of this phase, for loops of many items.
    pub fn meter(&self) -> Meter<'_> {
        Meter::new(self)
    }

    /// Counts `items` as done. Fails once the job is cancelled, so that `?` leaves the loop.
    pub fn advance(&self, items: u64) -> Result<(), Error> {
        self.0.done.fetch_add(items, Ordering::Relaxed);
        self.check()
    }

    /// Fails once the job is cancelled, so that `?` leaves the loop.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Asks the work to stop. Work that it shares with other jobs goes on for them.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        let awaited = held(&self.0.awaited).clone();
        awaited.iter().for_each(Job::stop_if_unwanted);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// How far it is, or the work that it waits for.
    pub fn progress(&self) -> Progress {
        let awaited = held(&self.0.awaited).last().cloned();
        awaited.map_or_else(|| self.own_progress(), |work| work.progress())
    }

    fn own_progress(&self) -> Progress {
        Progress {
            phase: *held(&self.0.phase),
            done: self.0.done.load(Ordering::Relaxed),
            total: self.0.total.load(Ordering::Relaxed),
        }
    }

    /// Waits for `work` from now on, until the guard is dropped.
    fn join(&self, work: &Job) -> Joined {
        held(&work.0.askers).push(self.clone());
        held(&self.0.awaited).push(work.clone());
        // It may have been cancelled just before the work knew of it.
        if self.0.cancelled.load(Ordering::SeqCst) {
            work.stop_if_unwanted();
        }
        Joined { asker: self.clone(), work: work.clone() }
    }

    fn stop_if_unwanted(&self) {
        if held(&self.0.askers).iter().all(Job::is_cancelled) {
            self.cancel();
        }
    }

    fn is(&self, other: &Job) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A job that waits for work which others may share; dropping it ends the waiting, not the work.
struct Joined {
    asker: Job,
    work: Job,
}

impl Drop for Joined {
    fn drop(&mut self) {
        remove(&self.asker.0.awaited, &self.work);
        remove(&self.work.0.askers, &self.asker);
        if self.asker.is_cancelled() {
            self.work.stop_if_unwanted();
        }
    }
}

fn remove(jobs: &Mutex<Vec<Job>>, job: &Job) {
    let mut jobs = held(jobs);
    if let Some(at) = jobs.iter().rposition(|other| other.is(job)) {
        jobs.remove(at);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
