//! Long work: progress that a printer polls, and a flag that cancels it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// Handle on a piece of work; clones share one state. Loops call [`Job::advance`] often, the screen polls
/// [`Job::progress`].
#[derive(Clone, Debug, Default)]
pub struct Job(Arc<State>);

#[derive(Debug, Default)]
struct State {
    phase: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
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
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// Counts `items` as done. Fails once the job is cancelled, so that `?` leaves the loop.
    pub fn advance(&self, items: u64) -> Result<(), Error> {
        self.0.done.fetch_add(items, Ordering::Relaxed);
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Asks the work to stop.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            phase: *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner),
            done: self.0.done.load(Ordering::Relaxed),
            total: self.0.total.load(Ordering::Relaxed),
        }
    }
}
