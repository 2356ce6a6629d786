//! What keeps a thread that waits for work: which of its waits have to end for it to go on.

use crate::model::{Need, PendingWork, Tid, WorkWait};

/// The waits that keep a thread for as long as what is asked for holds: one that it needs, or all of those of which it needs one. The first
/// that it needs, else the first of these; `None` where it may go on all the same.
pub(super) fn keeps(waits: &[WorkWait], tid: Tid, holds: impl Fn(&WorkWait) -> bool) -> Option<&WorkWait> {
    let own = || waits.iter().filter(|wait| wait.tid == tid);
    let all_of = |need: Need| own().filter(|wait| wait.need == need).all(&holds);
    own().find(|wait| match wait.need {
        Need::This => holds(wait),
        Need::OneOf(_) => all_of(wait.need),
        Need::Nothing => false,
    })
}

/// Whether what is asked for keeps a thread whatever else could not be read: of those of which it needs one more may be there.
pub(super) fn keeps_surely(pending: &PendingWork, tid: Tid, holds: impl Fn(&WorkWait) -> bool) -> bool {
    keeps(&pending.waits, tid, holds).is_some_and(|wait| wait.need == Need::This || pending.missing.is_empty())
}

/// Whether a wait is known not to end by itself.
pub(super) fn is_endless(wait: &WorkWait) -> bool {
    wait.limit == Ok(None)
}
