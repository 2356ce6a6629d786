//! Counting in hot loops: each worker counts for itself and tells the job now and then, and when somebody has looked
//! how far it is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Job;
use crate::error::Error;

/// Items that go as fast as those before are told about this often.
const SELDOM: Duration = Duration::from_millis(20);
/// More often than this is of no use to anyone.
const OFTEN: Duration = Duration::from_millis(1);
/// Most calls between two looks at the clock.
const MAX_STRIDE: u32 = 4096;

/// One worker's count of what is done of a job's phase. An item costs two reads that workers share; what they write
/// together is touched a few hundred times a second at most. However slow items become all at once, each finds that the
/// job was cancelled, and the first after somebody has looked at the progress tells it. What is left is told when it is
/// dropped.
#[derive(Debug)]
pub struct Meter<'a> {
    job: &'a Job,
    pending: u64,
    calls: u32,
    stride: u32,
    /// How often somebody had looked when it was told last.
    looks: u64,
    told: Option<Instant>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(job: &'a Job) -> Meter<'a> {
        Meter { job, pending: 0, calls: 0, stride: 1, looks: 0, told: None }
    }

    /// Counts `done` items or bytes. Fails once the job is cancelled, so that `?` leaves the loop.
    pub fn add(&mut self, done: u64) -> Result<(), Error> {
        self.pending = self.pending.saturating_add(done);
        self.calls = self.calls.saturating_add(1);
        let looks = self.job.0.looks.load(Ordering::Relaxed);
        if self.calls >= self.stride || looks != self.looks {
            self.looks = looks;
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
            Some(passed) if passed > SELDOM => in_time(self.calls, passed),
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

/// How many calls come by in [`SELDOM`] where so many took so long.
fn in_time(calls: u32, took: Duration) -> u32 {
    let calls = u128::from(calls).saturating_mul(SELDOM.as_nanos()).checked_div(took.as_nanos());
    calls.and_then(|calls| u32::try_from(calls).ok()).unwrap_or(MAX_STRIDE).clamp(1, MAX_STRIDE)
}
