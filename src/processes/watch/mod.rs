//! Watching a live process until a condition asks for a dump of it.
//!
//! Memory, processor time and hangs are seen in /proc, at most once a second; nothing is attached. A signal is seen by
//! tracing: every thread is seized, which does not stop it, and the dump is taken while the thread stands before the
//! signal's delivery. From then on the kernel stops a thread for microseconds at each signal that it takes, until the
//! watch ends.

mod condition;
mod sampler;
mod signals;
mod state;
mod watched;

pub use condition::{Condition, Threads, bytes};
use sampler::Sampler;
pub use state::{Pace, Progress, Sample, State, Trigger};
pub use watched::{Dump, Ended, Held, Watched};
use watched::{INTERVAL, PATIENCE};

use crate::error::Error;
use crate::job::Job;

/// Watches `pid` until all dumps of `pace` are taken or it ends. Fails where it cannot be watched, where a dump fails,
/// and when cancelled.
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
