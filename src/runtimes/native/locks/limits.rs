//! When waits for locks end by themselves: the time that a futex call was given.
//!
//! Input: the saved system call's timespec, and the clocks at the dump's moment where our own note has them. Output: for each waiter with
//! a limit what is left of it, or how long it was from the beginning; neither where the dump does not tell. Specification: futex(2).

use rustc_hash::FxHashMap;

use super::Recognised;
use crate::capture::facts::Clocks;
use crate::model::{Addr, Lock, OsThread, TimeLimit};
use crate::runtimes::native::observations::Observations;
use crate::runtimes::native::waits::{Activity, FUTEX_LOCK_PI, FUTEX_WAIT, Futex};

/// Of the operation. Source: Linux include/uapi/linux/futex.h, FUTEX_CLOCK_REALTIME.
const CLOCK_REALTIME: u64 = 0x100;
/// The arguments that hold the operation and the address of the time.
const OPERATION: usize = 1;
const TIME: usize = 3;
const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Adds the limits of those who wait.
pub(super) fn add(observations: &Observations<'_>, recognised: &Recognised, locks: &mut [Lock]) {
    let at: FxHashMap<Addr, usize> = locks.iter().enumerate().map(|(index, lock)| (lock.address, index)).collect();
    for (index, thread) in observations.scene.threads.iter().enumerate() {
        let Some(Activity::Futex(futex)) = observations.situation(index).map(|situation| &situation.activity) else {
            continue;
        };
        if !futex.timed {
            continue;
        }
        let lock = recognised.wait(index).and_then(|seen| at.get(&seen.address)).and_then(|lock| locks.get_mut(*lock));
        if let Some(lock) = lock {
            lock.limits.push(limit(observations, thread, futex));
        }
    }
}

fn limit(observations: &Observations<'_>, thread: &OsThread, futex: &Futex) -> TimeLimit {
    let unknown = TimeLimit { tid: thread.tid, left_ms: None, whole_ms: None };
    let argument = |index: usize| thread.syscall.as_ref().and_then(|call| *call.args.get(index)?);
    let asked = argument(TIME).and_then(|time| time_at(observations, Addr(time)));
    let (Some(asked), Some(operation)) = (asked, argument(OPERATION)) else { return unknown };
    let clocks = observations.scene.target.capture.facts.as_ref().and_then(|facts| facts.clocks);
    settle(unknown, futex.command, operation, asked, clocks)
}

/// `asked`: the timespec's nanoseconds.
fn settle(unknown: TimeLimit, command: u32, operation: u64, asked: u64, clocks: Option<Clocks>) -> TimeLimit {
    if command == FUTEX_WAIT {
        return TimeLimit { whole_ms: Some(asked / MILLISECOND), ..unknown };
    }
    let Some(clocks) = clocks else { return unknown };
    // FUTEX_LOCK_PI knows the one clock only.
    let is_real = command == FUTEX_LOCK_PI || operation & CLOCK_REALTIME != 0;
    let now = if is_real { clocks.real_ns } else { clocks.monotonic_ns };
    TimeLimit { left_ms: Some(asked.saturating_sub(now) / MILLISECOND), ..unknown }
}

/// A timespec in nanoseconds; the largest number for what lies beyond that.
fn time_at(observations: &Observations<'_>, at: Addr) -> Option<u64> {
    let seconds = observations.memory().u64(at).ok()?;
    let nanoseconds = observations.memory().u64(at.plus(8)?).ok()?;
    // The kernel refuses anything else. Source: Linux include/linux/time64.h, timespec64_valid.
    let is_valid = i64::try_from(seconds).is_ok() && nanoseconds < SECOND;
    is_valid.then(|| seconds.saturating_mul(SECOND).saturating_add(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tid;
    use crate::runtimes::native::waits::FUTEX_WAIT_BITSET;

    const CLOCKS: Clocks = Clocks { real_ns: 1_700_000_000 * SECOND, monotonic_ns: 5_000 * SECOND };

    fn limit(command: u32, operation: u64, asked: u64, clocks: Option<Clocks>) -> (Option<u64>, Option<u64>) {
        let limit = settle(TimeLimit { tid: Tid(7), left_ms: None, whole_ms: None }, command, operation, asked, clocks);
        (limit.left_ms, limit.whole_ms)
    }

    #[test]
    fn a_plain_wait_is_given_a_span() {
        assert_eq!(limit(FUTEX_WAIT, 0x80, 2 * SECOND, None), (None, Some(2000)));
    }

    #[test]
    fn other_waits_are_given_a_moment_of_one_of_two_clocks() {
        let monotonic = 5_001 * SECOND + SECOND / 2;
        assert_eq!(limit(FUTEX_WAIT_BITSET, 0x89, monotonic, Some(CLOCKS)), (Some(1500), None));
        let real = 1_700_003_600 * SECOND;
        assert_eq!(limit(FUTEX_WAIT_BITSET, 0x189, real, Some(CLOCKS)), (Some(3_600_000), None));
        assert_eq!(limit(FUTEX_LOCK_PI, 0x86, real, Some(CLOCKS)), (Some(3_600_000), None));
        assert_eq!(limit(FUTEX_WAIT_BITSET, 0x89, 4_000 * SECOND, Some(CLOCKS)), (Some(0), None), "it is over");
        assert_eq!(limit(FUTEX_WAIT_BITSET, 0x89, monotonic, None), (None, None), "nothing tells what time it was");
    }
}
