//! Watching a live process until a condition asks for a dump of it.
//!
//! Memory, processor time and hangs are seen in /proc, at most once a second; nothing is attached. A signal is seen by tracing: every
//! thread is seized, which does not stop it, and the dump is taken while the thread stands before the signal's delivery. From then on the
//! kernel stops a thread for microseconds at each signal that it takes, until the watch ends.

mod condition;
mod sampler;
mod signals;
mod state;

use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use condition::{Condition, Threads, bytes};
use rustix::time::Timespec;
use sampler::Sampler;
pub use signals::Held;
pub use state::{Pace, Progress, Sample, State, Trigger};

use crate::error::Error;
use crate::job::Job;

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two looks at whether the user cancelled.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All dumps were taken.
    Done,
    /// The process is gone.
    Exited,
}

/// The process that is watched, when a dump is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// Its id, which may have a new holder once it has ended.
    pub pid: u32,
    /// Its start time, clock ticks since boot: with `pid` it names the process for ever.
    pub start_ticks: u64,
    /// Its descriptor, which never means another process; readable once it has ended.
    pub pidfd: BorrowedFd<'a>,
    /// Where all its threads are stopped: traced by the thread that calls, so that they must not be seized again; they are let go when the
    /// call returns. `None` where it runs, traced by nobody of ours.
    pub held: Option<&'a Held>,
}

/// Takes a dump.
pub type Dump<'a> = dyn FnMut(&Trigger, &Watched<'_>) -> Result<(), Error> + Send + 'a;

/// Watches `pid` until all dumps of `pace` are taken or it ends. Fails where it cannot be watched, where a dump fails, and when cancelled.
pub fn watch(pid: u32, conditions: Vec<Condition>, pace: Pace, job: &Job, dump: &mut Dump<'_>) -> Result<Ended, Error> {
    if conditions.is_empty() {
        return Err(Error::Usage("no condition to watch for".to_owned()));
    }
    let sampler = Sampler::open(pid, &conditions)?;
    let traces = conditions.iter().any(|condition| matches!(condition, Condition::Signal(_)));
    let state = State::new(conditions, pace);
    if traces {
        return signals::watch(sampler, state, job, dump);
    }
    look(&sampler, state, job, dump)
}

fn look(sampler: &Sampler, mut state: State, job: &Job, dump: &mut Dump<'_>) -> Result<Ended, Error> {
    loop {
        let Some(sample) = sampler.sample() else { return Ok(Ended::Exited) };
        if let Some(trigger) = state.step(&sample) {
            dump(&trigger, &sampler.watched(None))?;
        }
        if state.is_done() {
            return Ok(Ended::Done);
        }
        let next = sample.at.saturating_add(INTERVAL);
        while let Some(left) = next.checked_sub(sampler.elapsed()).filter(|left| !left.is_zero()) {
            job.check()?;
            if sampler.has_ended(left.min(PATIENCE))? {
                return Ok(Ended::Exited);
            }
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 })
}
