//! Timers: when each is due, and what it calls.
//!
//! Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/Timer.cs, TimerQueue and TimerQueueTimer, of 8.0 to
//! 10.0: each processor has a queue with two lists, of those that are due soon and of the others.

use rustc_hash::FxHashSet;

use super::arrays::within;
use super::work::called;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::objects::{Instance, Values};

/// Most timers.
const MAX_TIMERS: usize = 1 << 20;
/// Source: Timeout.cs, UnsignedInfinite.
const NEVER: u32 = u32::MAX;

/// A timer that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningTimer {
    /// Its `TimerQueueTimer`.
    pub at: Addr,
    /// Whether it is in the list of those that are due soon.
    pub is_short: bool,
    /// Milliseconds from when it was set; `None`: it is not due.
    pub due_ms: Option<u32>,
    /// Milliseconds between two calls; `None`: it calls once.
    pub period_ms: Option<u32>,
    /// What it passes to what it calls; 0 for null.
    pub state: Addr,
    /// The class of that; `None` for null, and where it cannot be read.
    pub state_type: Option<String>,
    /// The function; `None` where it cannot be told.
    pub function: Option<String>,
}

/// Timers that run.
#[derive(Debug, Default)]
pub struct Timers {
    /// Those that could be read.
    pub all: Vec<RunningTimer>,
    /// Why there may be more; `None` where that is all.
    pub unread: Option<Gap>,
}

/// Every timer that runs.
pub(super) fn timers(values: &Values<'_>, job: &Job) -> Result<Known<Timers>, Error> {
    let queues = match values.types.static_object("System.Threading.TimerQueue", "<Instances>k__BackingField") {
        Ok(queues) => queues,
        Err(gap) => return Ok(Err(gap)),
    };
    let mut found = Timers::default();
    let mut seen = FxHashSet::default();
    let mut meter = job.meter();
    for queue in within(Ok(queues)) {
        let lists = match queue {
            Ok(None) => continue,
            Ok(Some(queue)) => [(queue.reference("_shortTimers"), true), (queue.reference("_longTimers"), false)],
            Err(gap) => {
                found.unread.get_or_insert(gap);
                continue;
            }
        };
        for (list, is_short) in lists {
            let mut next = list;
            while let Some(timer) = found.taken(next) {
                meter.add(1)?;
                if found.all.len() >= MAX_TIMERS {
                    found.unread.get_or_insert(Gap::Unsupported(format!("more than {MAX_TIMERS} timers")));
                    break;
                }
                if !seen.insert(timer.at) {
                    found.unread.get_or_insert(Gap::Corrupt(format!("the timers lead to {} twice", timer.at)));
                    break;
                }
                let read = read(values, &timer, is_short);
                let read = found.taken(read.map(Some));
                found.all.extend(read);
                next = timer.reference("_next");
            }
        }
    }
    Ok(Ok(found))
}

impl Timers {
    /// What was read; says that there may be more where that failed.
    fn taken<T>(&mut self, read: Known<Option<T>>) -> Option<T> {
        read.unwrap_or_else(|gap| {
            self.unread.get_or_insert(gap);
            None
        })
    }
}

fn read(values: &Values<'_>, timer: &Instance<'_>, is_short: bool) -> Known<RunningTimer> {
    let state = timer.address("_state")?;
    let limited = |name| timer.u32(name).map(|time| Some(time).filter(|time| *time != NEVER));
    Ok(RunningTimer {
        at: timer.at,
        is_short,
        due_ms: limited("_dueTime")?,
        period_ms: limited("_period")?,
        state,
        state_type: if state.0 == 0 { None } else { values.types.of_object(state).ok() },
        function: called(values, timer, "_timerCallback"),
    })
}
