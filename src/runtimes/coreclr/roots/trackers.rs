//! Exceptions in flight: which frames each has passed.

use rustc_hash::FxHashSet;

use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// Most exceptions in flight of one thread.
const MAX: usize = 1 << 12;

/// Of each exception in its second pass where it began to run handlers, and how far it has come.
#[derive(Debug, Default)]
pub(super) struct Trackers {
    passed: Vec<(Addr, Addr)>,
    /// Why there may be more.
    pub(super) unread: Option<Gap>,
}

impl Trackers {
    /// Those of a thread.
    pub(super) fn of(clr: &Clr, thread: Addr) -> Trackers {
        let mut trackers = Trackers::default();
        let mut seen = FxHashSet::default();
        let mut tracker = clr.ptr(thread, "Thread", "ExceptionTracker");
        loop {
            let at = match tracker {
                Ok(Addr(0)) => return trackers,
                Ok(at) if seen.len() < MAX && seen.insert(at) => at,
                Ok(at) => {
                    trackers.unread = Some(Gap::Corrupt(format!("the exceptions in flight at {at}")));
                    return trackers;
                }
                Err(gap) => {
                    trackers.unread = Some(gap);
                    return trackers;
                }
            };
            match range(clr, at) {
                Ok(passed) => trackers.passed.extend(passed),
                Err(gap) => trackers.unread = Some(gap),
            }
            tracker = clr.ptr(at, "ExceptionInfo", "PreviousNestedInfo");
        }
    }

    /// Whether a frame with this stack pointer of its caller is one that an exception has unwound.
    pub(super) fn has_passed(&self, caller: Addr) -> bool {
        self.passed.iter().any(|(low, high)| *low < caller && caller <= *high)
    }
}

/// The range of the stack that a second pass has unwound; `None` in a first pass.
fn range(clr: &Clr, tracker: Addr) -> Known<Option<(Addr, Addr)>> {
    // Source: dotnet/runtime src/coreclr/vm/exceptionhandling.h of 8.0, ExceptionFlags::Ex_UnwindHasStarted; vm/exinfo.h of 9.0 and 10.0, m_passNumber.
    const UNWINDS: u32 = 4;
    const SECOND: u8 = 2;
    let is_second = match clr.layout.offset("ExceptionInfo", "ExceptionFlags") {
        Ok(flags) => clr.memory().u32(plus(tracker, flags)?)? & UNWINDS != 0,
        Err(_) => clr.u8(tracker, "ExceptionInfo", "PassNumber")? == SECOND,
    };
    let (low, high) = (clr.ptr(tracker, "ExceptionInfo", "StackLow")?, clr.ptr(tracker, "ExceptionInfo", "StackHigh")?);
    Ok(Some((low, high)).filter(|_| is_second && low < high))
}
