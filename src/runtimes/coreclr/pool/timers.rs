//! Timers: when each is due, and what it calls.
//!
//! Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/Timer.cs, TimerQueue and TimerQueueTimer, of 8.0 to
//! 10.0: each processor has a queue with two lists, of those that are due soon and of the others.

use rustc_hash::FxHashSet;

use super::arrays::each;
use super::work::called;
use crate::model::{Addr, Known};
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

/// Every timer that runs.
pub(super) fn timers(values: &Values<'_>) -> Known<Vec<RunningTimer>> {
    let mut all = Vec::new();
    let mut seen = FxHashSet::default();
    let queues = values.types.static_object("System.Threading.TimerQueue", "<Instances>k__BackingField")?;
    let Some(queues) = queues else { return Ok(all) };
    each(&queues, |queue| {
        for (list, is_short) in [("_shortTimers", true), ("_longTimers", false)] {
            let mut next = queue.reference(list)?;
            while let Some(timer) = next.filter(|timer| all.len() < MAX_TIMERS && seen.insert(timer.at)) {
                all.push(read(values, &timer, is_short)?);
                next = timer.reference("_next")?;
            }
        }
        Ok(())
    })?;
    Ok(all)
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
