//! Counting in hot loops: each worker counts for itself and tells the job now and then.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Job;
use crate::error::Error;

/// The job is told at least this often, as far as the work comes by here.
const SELDOM: Duration = Duration::from_millis(20);
/// More often than this is of no use to anyone.
const OFTEN: Duration = Duration::from_millis(1);
/// Most calls between two looks at the clock.
const MAX_STRIDE: u32 = 4096;

/// One worker's count of what is done of a job's phase. An item costs a read of the job's flag; the count that all workers share is
/// touched a few hundred times a second at most. What is left is told when it is dropped.
#[derive(Debug)]
pub struct Meter<'a> {
    job: &'a Job,
    pending: u64,
    calls: u32,
    stride: u32,
    told: Option<Instant>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(job: &'a Job) -> Meter<'a> {
        Meter { job, pending: 0, calls: 0, stride: 1, told: None }
    }

    /// Counts `done` items or bytes. Fails once the job is cancelled, so that `?` leaves the loop.
    pub fn add(&mut self, done: u64) -> Result<(), Error> {
        self.pending = self.pending.saturating_add(done);
        self.calls = self.calls.saturating_add(1);
        if self.calls >= self.stride {
            self.tell();
        }
        self.job.check()
    }

    /// The job that is counted for.
    pub fn job(&self) -> &'a Job {
        self.job
    }

    fn tell(&mut self) {
        let now = Instant::now();
        let passed = self.told.map(|told| now.saturating_duration_since(told));
        // Slow items are told one by one, fast ones by the thousand.
        self.stride = match passed {
            Some(passed) if passed < OFTEN => self.stride.saturating_mul(2).min(MAX_STRIDE),
            Some(passed) if passed > SELDOM => (self.stride / 2).max(1),
            _ => self.stride,
        };
        (self.told, self.calls) = (Some(now), 0);
        self.flush();
    }

    fn flush(&mut self) {
        if self.pending > 0 {
            self.job.0.done.fetch_add(std::mem::take(&mut self.pending), Ordering::Relaxed);
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
