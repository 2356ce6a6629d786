//! When to dump: samples in, decision out. No clock, no /proc; tested with literals.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::condition::{Condition, Threads};
use crate::model::signal::signal_name;

/// Most samples kept for an average.
const MAX_SAMPLES: usize = 4096;

/// One look at a process. What cannot be read is `None`, and never makes a condition true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When, since the watch began.
    pub at: Duration,
    /// Resident memory, bytes.
    pub rss_bytes: Option<u64>,
    /// Processor time used so far, by all threads, those that have left too.
    pub cpu: Option<Duration>,
    /// The threads there are; empty where no condition asks for them.
    pub threads: Vec<Progress>,
}

/// How far a thread is. Two equal values at different times mean that it did not run in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The thread's id.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Whether it is the process's first.
    pub is_first: bool,
    /// Processor time used, clock ticks.
    pub ticks: Option<u64>,
    /// How often it left a processor, on its own account or not.
    pub switches: Option<u64>,
    /// `/proc/…/syscall`: the system call it is in and its arguments.
    pub syscall: Option<String>,
    /// Where in the kernel it waits.
    pub wait_channel: Option<String>,
}

/// How often, and how close together, dumps may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Most dumps; the watch ends with the last.
    pub max: u32,
    /// Shortest time between two.
    pub every: Duration,
}

/// What made a condition true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The condition.
    pub condition: Condition,
    /// What was seen, in words: `rss is 2,200,000,000 bytes`.
    pub seen: String,
    /// The thread it is about, where it is about one.
    pub tid: Option<u32>,
}

/// Conditions, and what has been seen for them so far.
#[derive(Debug)]
pub struct State {
    conditions: Vec<Condition>,
    pace: Pace,
    dumps: u32,
    last: Option<Duration>,
    cpu: VecDeque<(Duration, Duration)>,
    still: FxHashMap<u32, (Duration, Progress)>,
}

impl State {
    /// Nothing seen yet.
    pub fn new(conditions: Vec<Condition>, pace: Pace) -> State {
        State { conditions, pace, dumps: 0, last: None, cpu: VecDeque::new(), still: FxHashMap::default() }
    }

    /// Whether all dumps have been taken.
    pub fn is_done(&self) -> bool {
        self.dumps >= self.pace.max
    }

    /// How many were decided.
    pub fn dumps(&self) -> u32 {
        self.dumps
    }

    /// Takes a sample; `Some` asks for a dump now. The first condition that is true wins.
    pub fn step(&mut self, sample: &Sample) -> Option<Trigger> {
        self.learn(sample);
        if !self.may_dump(sample.at) {
            return None;
        }
        let trigger = self.conditions.iter().find_map(|condition| self.met(condition, sample))?;
        self.take(sample.at);
        Some(trigger)
    }

    /// A thread is about to take a signal; `Some` asks for a dump now.
    pub fn signal(&mut self, at: Duration, tid: u32, signal: i32) -> Option<Trigger> {
        let condition = self.conditions.iter().find(|condition| **condition == Condition::Signal(signal))?.clone();
        if !self.may_dump(at) {
            return None;
        }
        self.take(at);
        Some(Trigger {
            condition,
            seen: format!("thread {tid} is about to take {}", signal_name(signal)),
            tid: Some(tid),
        })
    }

    fn may_dump(&self, at: Duration) -> bool {
        !self.is_done() && self.last.is_none_or(|last| at.saturating_sub(last) >= self.pace.every)
    }

    /// A hang is timed anew after a dump, which stops and wakes every thread.
    fn take(&mut self, at: Duration) {
        self.dumps = self.dumps.saturating_add(1);
        self.last = Some(at);
        self.still.clear();
    }

    fn learn(&mut self, sample: &Sample) {
        if let Some(cpu) = sample.cpu {
            self.cpu.push_back((sample.at, cpu));
        }
        let longest = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Cpu { window, .. } => Some(*window),
            _ => None,
        });
        let longest = longest.max().unwrap_or_default();
        // One sample older than the window stays, to measure from.
        let is_spare = |second: &(Duration, Duration)| sample.at.saturating_sub(second.0) >= longest;
        while self.cpu.get(1).is_some_and(is_spare) || self.cpu.len() > MAX_SAMPLES {
            self.cpu.pop_front();
        }
        let before = std::mem::take(&mut self.still);
        for thread in &sample.threads {
            let since = match before.get(&thread.tid) {
                Some((since, earlier)) if same(earlier, thread) => *since,
                _ => sample.at,
            };
            self.still.insert(thread.tid, (since, thread.clone()));
        }
    }

    fn met(&self, condition: &Condition, sample: &Sample) -> Option<Trigger> {
        let trigger = |seen: String, tid| Some(Trigger { condition: condition.clone(), seen, tid });
        match condition {
            Condition::Rss(limit) => {
                let rss = sample.rss_bytes.filter(|rss| rss > limit)?;
                trigger(format!("{rss} bytes are resident"), None)
            }
            Condition::Cpu { percent, window } => {
                let used = self.share(sample.at, *window)?;
                (used > *percent).then_some(())?;
                trigger(format!("{used} % of a processor within {} s", window.as_secs()), None)
            }
            Condition::Hang { time, threads } => {
                let (tid, still) = self.hanging(threads, sample, *time)?;
                let seen = format!("no progress for {} s", still.as_secs());
                trigger(seen, tid)
            }
            Condition::Signal(_) => None,
        }
    }

    /// Percent of one processor used within the window; `None` until it has passed.
    fn share(&self, at: Duration, window: Duration) -> Option<u32> {
        let (from, used) = self.cpu.iter().rev().find(|(then, _)| at.saturating_sub(*then) >= window)?;
        let (until, total) = self.cpu.back()?;
        let passed = until.checked_sub(*from)?.as_millis();
        let share = total.checked_sub(*used)?.as_millis().checked_mul(100)?.checked_div(passed)?;
        u32::try_from(share).ok()
    }

    /// The thread that stands still for at least `time`, and how long; of a whole process, no thread and the shortest
    /// time.
    fn hanging(&self, threads: &Threads, sample: &Sample, time: Duration) -> Option<(Option<u32>, Duration)> {
        let mut still = sample.threads.iter().filter_map(|thread| {
            let (since, _) = self.still.get(&thread.tid)?;
            Some((thread, sample.at.saturating_sub(*since)))
        });
        match threads {
            Threads::All => {
                still.map(|(_, still)| still).min().filter(|least| *least >= time).map(|least| (None, least))
            }
            Threads::Main => {
                let (thread, still) = still.find(|(thread, _)| thread.is_first)?;
                (still >= time).then_some((Some(thread.tid), still))
            }
            Threads::Named(name) => {
                let (thread, still) = still.find(|(thread, still)| thread.name == *name && *still >= time)?;
                Some((Some(thread.tid), still))
            }
        }
    }
}

/// Whether a thread did not run between two looks. Without its time and switches nothing can be said.
fn same(earlier: &Progress, now: &Progress) -> bool {
    earlier.ticks.is_some()
        && earlier.switches.is_some()
        && (earlier.ticks, earlier.switches) == (now.ticks, now.switches)
        && (&earlier.syscall, &earlier.wait_channel) == (&now.syscall, &now.wait_channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFTEN: Pace = Pace { max: 100, every: Duration::ZERO };

    fn state(conditions: &[&str], pace: Pace) -> State {
        State::new(conditions.iter().map(|text| text.parse().expect(text)).collect(), pace)
    }

    fn at(second: u64) -> Sample {
        Sample { at: Duration::from_secs(second), ..Sample::default() }
    }

    fn rss(second: u64, bytes: u64) -> Sample {
        Sample { rss_bytes: Some(bytes), ..at(second) }
    }

    fn cpu(second: u64, millis: u64) -> Sample {
        Sample { cpu: Some(Duration::from_millis(millis)), ..at(second) }
    }

    /// Threads as (tid, name, ticks, switches).
    fn threads(second: u64, threads: &[(u32, &str, u64, u64)]) -> Sample {
        let first = threads.first().map(|thread| thread.0);
        let progress = |(tid, name, ticks, switches): &(u32, &str, u64, u64)| Progress {
            tid: *tid,
            is_first: first == Some(*tid),
            name: (*name).to_owned(),
            ticks: Some(*ticks),
            switches: Some(*switches),
            ..Progress::default()
        };
        Sample { threads: threads.iter().map(progress).collect(), ..at(second) }
    }

    /// The seconds at which a dump was asked for.
    fn dumps(state: &mut State, samples: &[Sample]) -> Vec<u64> {
        samples.iter().filter_map(|sample| state.step(sample).map(|_| sample.at.as_secs())).collect()
    }

    #[test]
    fn memory_above_the_limit_asks_for_dumps_no_closer_than_allowed() {
        let mut state = state(&["rss>1K"], Pace { max: 3, every: Duration::from_secs(5) });
        let samples: Vec<Sample> = (0..30).map(|second| rss(second, if second == 0 { 1024 } else { 1025 })).collect();
        assert_eq!(dumps(&mut state, &samples), [1, 6, 11]);
        assert!(state.is_done());
    }

    #[test]
    fn what_cannot_be_read_is_never_above_a_limit() {
        let mut state = state(&["rss>1K", "cpu>1%:1", "hang:1"], OFTEN);
        let unreadable = Progress { tid: 1, is_first: true, ..Progress::default() };
        let samples: Vec<Sample> =
            (0..9).map(|second| Sample { threads: vec![unreadable.clone()], ..at(second) }).collect();
        assert!(dumps(&mut state, &samples).is_empty());
    }

    #[test]
    fn the_processors_use_is_averaged_over_the_window() {
        let mut state = state(&["cpu>90%:3"], Pace { max: 1, every: Duration::ZERO });
        // Busy for one second only, then from second 5 on: 2,700 ms of 3 s are 90 %, which is not above.
        let used = [0, 1000, 1000, 1000, 1000, 1000, 1900, 2800, 3700, 4701];
        let samples: Vec<Sample> = (0..).zip(used).map(|(second, millis)| cpu(second, millis)).collect();
        assert_eq!(dumps(&mut state, &samples), [9]);
    }

    #[test]
    fn two_processors_are_two_hundred_percent() {
        let mut state = state(&["cpu>150%:2"], OFTEN);
        let trigger = [cpu(0, 0), cpu(1, 2000), cpu(2, 4000)].iter().find_map(|sample| state.step(sample));
        assert_eq!(trigger.expect("above").seen, "200 % of a processor within 2 s");
    }

    #[test]
    fn a_short_window_is_not_spoilt_by_a_longer_one() {
        let mut state = state(&["cpu>90%:1", "cpu>90%:5"], Pace { max: 1, every: Duration::ZERO });
        let samples = [cpu(0, 0), cpu(1, 0), cpu(2, 0), cpu(3, 1000)];
        assert_eq!(dumps(&mut state, &samples), [3]);
    }

    #[test]
    fn a_first_thread_that_stands_still_is_a_hang_and_is_timed_anew_after_a_dump() {
        let mut state = state(&["hang:3"], OFTEN);
        let samples: Vec<Sample> =
            (0..12).map(|second| threads(second, &[(7, "main", second.min(2), 5), (8, "pool", 0, 0)])).collect();
        // It last moved at 2; the dump at 5 wakes it, so that it stands still from the next sample, 6, on.
        assert_eq!(dumps(&mut state, &samples), [5, 9]);
    }

    #[test]
    fn each_sign_of_life_counts() {
        let base = Progress { tid: 1, ticks: Some(1), switches: Some(1), ..Progress::default() };
        let alive = [
            Progress { ticks: Some(2), ..base.clone() },
            Progress { switches: Some(2), ..base.clone() },
            Progress { syscall: Some("running".to_owned()), ..base.clone() },
            Progress { wait_channel: Some("futex_wait_queue".to_owned()), ..base.clone() },
        ];
        assert!(same(&base, &base));
        for other in alive {
            assert!(!same(&base, &other), "{other:?}");
        }
    }

    #[test]
    fn a_named_thread_is_watched_wherever_it_stands() {
        let mut state = state(&["hang:2:io"], OFTEN);
        let trigger = (0..4)
            .map(|second| threads(second, &[(1, "main", second, 0), (2, "io", second, 0), (3, "io", 4, 4)]))
            .find_map(|sample| state.step(&sample));
        let trigger = trigger.expect("thread 3 stands still");
        assert_eq!((trigger.tid, trigger.seen.as_str()), (Some(3), "no progress for 2 s"));
    }

    #[test]
    fn a_process_hangs_only_when_all_its_threads_do() {
        let mut busy = state(&["hang:2:*"], OFTEN);
        let one_moves: Vec<Sample> =
            (0..9).map(|second| threads(second, &[(1, "a", 0, 0), (2, "b", second, 0)])).collect();
        assert!(dumps(&mut busy, &one_moves).is_empty());
        let mut still = state(&["hang:2:*"], OFTEN);
        let none: Vec<Sample> = (0..3).map(|second| threads(second, &[(1, "a", 0, 0), (2, "b", 0, 0)])).collect();
        assert_eq!(dumps(&mut still, &none), [2]);
    }

    #[test]
    fn a_thread_id_that_returns_is_another_thread() {
        let mut state = state(&["hang:3:io"], OFTEN);
        let samples = [
            threads(0, &[(1, "main", 0, 0), (2, "io", 0, 0)]),
            threads(1, &[(1, "main", 1, 0)]),
            threads(2, &[(1, "main", 2, 0), (2, "io", 0, 0)]),
            threads(4, &[(1, "main", 3, 0), (2, "io", 0, 0)]),
        ];
        assert!(dumps(&mut state, &samples).is_empty());
    }

    #[test]
    fn signals_are_counted_with_the_other_dumps() {
        let mut state = state(&["rss>1K", "signal:SIGUSR1"], Pace { max: 2, every: Duration::from_secs(5) });
        assert!(state.step(&rss(0, 4096)).is_some());
        let second = Duration::from_secs;
        assert_eq!(state.signal(second(4), 9, libc::SIGUSR1), None, "too early");
        assert_eq!(state.signal(second(6), 9, libc::SIGUSR2), None, "not watched for");
        assert_eq!(state.signal(second(6), 9, libc::SIGUSR1).and_then(|trigger| trigger.tid), Some(9));
        assert!(state.is_done());
    }
}
