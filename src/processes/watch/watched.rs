//! The process that is watched, as conditions and dumps see it, and the pace of watching.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::time::Timespec;

use super::state::Trigger;
use crate::error::Error;

/// A process whose threads are stopped for a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub pid: u32,
    /// Its stopped threads, each with the signal that it is about to take, 0 for none.
    pub stopped: Vec<(u32, i32)>,
    /// Threads that did not stop in time.
    pub unstopped: Vec<u32>,
}

/// Time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two looks at whether the user cancelled.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

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
    /// Where all its threads are stopped: traced by the thread that calls, so that they must not be seized again; they
    /// are let go when the call returns. `None` where it runs, traced by nobody of ours.
    pub held: Option<&'a Held>,
}

/// Takes a dump.
pub type Dump<'a> = dyn FnMut(&Trigger, &Watched<'_>) -> Result<(), Error> + Send + 'a;

/// A length of time for the system calls that wait; 0 where it does not fit.
pub(super) fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 })
}
