//! Recursion in a stack: runs of frames that repeat with a period, so that 200,000 frames read as one line.

use std::ops::Range;

/// Longest period that is looked for: mutual recursion through this many functions.
const MAX_PERIOD: usize = 16;
/// Fewest repetitions that make a run; two calls in a row are shown as they are.
const MIN_TIMES: usize = 3;

/// Consecutive frames: `times` repetitions of `period` frames, from `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index of the first frame.
    pub start: usize,
    /// Frames of one repetition.
    pub period: usize,
    /// Repetitions; 1 for frames that do not repeat.
    pub times: usize,
}

impl Run {
    /// Index of each frame of the first repetition, with the number of repetitions.
    pub fn first_period(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let times = self.times;
        (self.start..self.start.saturating_add(self.period)).map(move |index| (index, times))
    }

    /// All frames of the run.
    pub fn frames(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.period.saturating_mul(self.times))
    }
}

/// Splits a stack into runs, which cover it in order. Greedy: at each frame the period whose repetitions cover most
/// frames wins, the shorter one among equals. O(n · MAX_PERIOD).
pub fn fold<T>(frames: &[T], same: impl Fn(&T, &T) -> bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut start = 0;
    while start < frames.len() {
        let best = (1..=MAX_PERIOD)
            .map(|period| Run { start, period, times: repetitions(frames, start, period, &same) })
            .filter(|run| run.times >= MIN_TIMES)
            .max_by_key(|run| (run.frames().len(), std::cmp::Reverse(run.period)));
        let run = best.unwrap_or(Run { start, period: 1, times: 1 });
        match runs.last_mut() {
            Some(last) if best.is_none() && last.times == 1 => last.period += 1,
            _ => runs.push(run),
        }
        start = run.frames().end;
    }
    runs
}

fn repetitions<T>(frames: &[T], start: usize, period: usize, same: &impl Fn(&T, &T) -> bool) -> usize {
    let matching = frames
        .iter()
        .skip(start)
        .zip(frames.iter().skip(start.saturating_add(period)))
        .take_while(|(a, b)| same(a, b))
        .count();
    (matching / period).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<(usize, usize, usize)> {
        let frames: Vec<char> = text.chars().collect();
        fold(&frames, |a, b| a == b).into_iter().map(|run| (run.start, run.period, run.times)).collect()
    }

    #[test]
    fn frames_that_do_not_repeat_stay_one_run() {
        assert_eq!(runs("abcd"), [(0, 4, 1)]);
        assert_eq!(runs("aab"), [(0, 3, 1)], "two calls in a row are no recursion");
        assert_eq!(runs(""), []);
    }

    #[test]
    fn direct_and_mutual_recursion_fold() {
        assert_eq!(runs("maaaaz"), [(0, 1, 1), (1, 1, 4), (5, 1, 1)]);
        assert_eq!(runs("mabababz"), [(0, 1, 1), (1, 2, 3), (7, 1, 1)]);
    }

    #[test]
    fn a_million_equal_frames_are_one_run() {
        let frames = vec![7u8; 1_000_000];
        assert_eq!(fold(&frames, |a, b| a == b), [Run { start: 0, period: 1, times: 1_000_000 }]);
    }
}
