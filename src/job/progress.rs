//! How far a job is, how fast it goes on, and how long it will take.

use std::time::Duration;

/// What a phase counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Things: threads, modules, objects.
    #[default]
    Items,
    /// Bytes.
    Bytes,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it is doing, `walking stacks`.
    pub phase: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// Done of this phase.
    pub done: u64,
    /// All of this phase; 0 when not known.
    pub total: u64,
    /// Since this phase began.
    pub elapsed: Duration,
    /// Done of the whole, from 0 to 1: of phases that are parts of another's, as those weigh; `None` when not known.
    pub share: Option<f64>,
    /// Since the whole began.
    pub running: Duration,
}

/// Before this much time has passed, nothing is said of how long it will take.
const SETTLED: Duration = Duration::from_secs(1);

impl Progress {
    /// Items or bytes of this phase a second; `None` in its first second.
    pub fn rate(&self) -> Option<f64> {
        (self.elapsed >= SETTLED && self.done > 0).then(|| self.done as f64 / self.elapsed.as_secs_f64())
    }

    /// How long the whole will take, if it goes on as until now; `None` in its first second and where its size is not known.
    pub fn left(&self) -> Option<Duration> {
        let share = self.share.filter(|share| *share > 0.0 && self.running >= SETTLED)?;
        Duration::try_from_secs_f64(self.running.as_secs_f64() * (1.0 - share).max(0.0) / share).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, done: u64, total: u64) -> Progress {
        let time = Duration::from_secs(seconds);
        let share = Some(done as f64 / total as f64);
        Progress { phase: "", unit: Unit::Bytes, done, total, elapsed: time, share, running: time }
    }

    #[test]
    fn rate_and_remaining_time_follow_from_what_was_done() {
        let progress = after(4, 200, 1000);
        assert_eq!((progress.rate(), progress.left()), (Some(50.0), Some(Duration::from_secs(16))));
        assert_eq!(after(4, 1000, 1000).left(), Some(Duration::ZERO));
    }

    #[test]
    fn nothing_is_said_too_early_or_without_a_size() {
        assert_eq!((after(0, 200, 1000).rate(), after(0, 200, 1000).left()), (None, None));
        assert_eq!((after(4, 0, 1000).rate(), after(4, 0, 1000).left()), (None, None));
        assert_eq!(Progress { share: None, ..after(4, 200, 1000) }.left(), None);
    }
}
