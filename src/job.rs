//! Long work: progress that a printer polls, a flag that cancels it, and answers that several may wait for.

mod meter;
mod progress;
mod shared;

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::Error;

pub use self::meter::Meter;
pub use self::progress::{Progress, Unit};
pub use self::shared::Shared;

/// Handle on a piece of work; clones share one state. Loops call [`Job::advance`] or [`Job::check`] often, the screen polls
/// [`Job::progress`].
#[derive(Clone, Debug, Default)]
pub struct Job(Arc<State>);

#[derive(Debug, Default)]
struct State {
    phase: Mutex<Phase>,
    done: AtomicU64,
    total: AtomicU64,
    cancelled: AtomicBool,
    /// How often somebody has looked at what is done.
    looks: AtomicU64,
    /// Work that this job waits for, the innermost last: its progress is shown.
    awaited: Mutex<Vec<Job>>,
    /// Jobs that wait for this one, where it is work that several share: it is cancelled with the last of them.
    askers: Mutex<Vec<Job>>,
    /// Parts of this phase that are under way, each with what it counts for.
    children: Mutex<Vec<(Job, u64)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Phase {
    name: &'static str,
    unit: Unit,
    begun: Option<Instant>,
}

/// A part of a job's phase, with phases of its own: what is done of it counts for the whole by its weight. It is cancelled with the whole;
/// dropping it counts it as done.
#[derive(Debug)]
pub struct Child {
    job: Job,
    whole: Job,
    weight: u64,
}

impl Deref for Child {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        held(&self.whole.0.children).retain(|(child, _)| !child.is(&self.job));
        self.whole.0.done.fetch_add(self.weight, Ordering::Relaxed);
    }
}

impl Job {
    /// Begins a phase of `total` items (0: not known) and counts from zero.
    pub fn phase(&self, phase: &'static str, total: u64) {
        self.phase_of(Unit::Items, phase, total);
    }

    /// Begins a phase of `total` of a unit (0: not known) and counts from zero.
    pub fn phase_of(&self, unit: Unit, phase: &'static str, total: u64) {
        *held(&self.0.phase) = Phase { name: phase, unit, begun: Some(Instant::now()) };
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// A part of this phase that counts for `weight` of its total.
    pub fn child(&self, weight: u64) -> Child {
        let job = Job::default();
        held(&self.0.children).push((job.clone(), weight));
        // It may have been cancelled just before it knew of the part.
        if self.is_cancelled() {
            job.cancel();
        }
        Child { job, whole: self.clone(), weight }
    }

    /// A worker's own count of what is done of this phase, for loops of many items.
    pub fn meter(&self) -> Meter<'_> {
        Meter::new(self)
    }

    /// Counts `done` items or bytes. Fails once the job is cancelled, so that `?` leaves the loop. For loops of one worker: several count
    /// with a [`Job::meter`] each.
    pub fn advance(&self, done: u64) -> Result<(), Error> {
        self.0.done.fetch_add(done, Ordering::Relaxed);
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
        let children = held(&self.0.children).clone();
        children.iter().for_each(|(child, _)| child.cancel());
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// How far it is: what its innermost part, or the work that it waits for, does just now, and its share of the whole.
    pub fn progress(&self) -> Progress {
        let mut inner = self.clone();
        while let Some(next) = inner.inner() {
            inner = next;
        }
        let Phase { name, unit, begun } = *held(&inner.0.phase);
        let since = |begun: Option<Instant>| begun.map(|begun| begun.elapsed()).unwrap_or_default();
        Progress {
            phase: name,
            unit,
            done: inner.done(),
            total: inner.0.total.load(Ordering::Relaxed),
            elapsed: since(begun),
            share: self.share(),
            // A job that only waits for another's work has no phase of its own.
            running: since(held(&self.0.phase).begun).max(since(begun)),
        }
    }

    /// What was told of what is done. Meters tell the rest now, each as soon as it comes by.
    fn done(&self) -> u64 {
        self.0.looks.fetch_add(1, Ordering::Relaxed);
        self.0.done.load(Ordering::Relaxed)
    }

    /// What it waits for, else its part that began last.
    fn inner(&self) -> Option<Job> {
        let awaited = held(&self.0.awaited).last().cloned();
        awaited.or_else(|| held(&self.0.children).last().map(|(child, _)| child.clone()))
    }

    /// How much of its phase is done, from 0 to 1; `None` where its size is not known.
    fn share(&self) -> Option<f64> {
        if let Some(work) = held(&self.0.awaited).last().cloned() {
            return work.share();
        }
        let total = Some(self.0.total.load(Ordering::Relaxed)).filter(|total| *total > 0)?;
        let children = held(&self.0.children).clone();
        let under_way: f64 = children.iter().map(|(child, weight)| child.share().unwrap_or(0.0) * *weight as f64).sum();
        Some(((self.done() as f64 + under_way) / total as f64).min(1.0))
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

#[cfg(test)]
mod tests;
