//! What keeps a thread that waits for work: which of its waits have to end for it to go on.

use rustc_hash::{FxHashMap, FxHashSet};

use super::finding::{Fact, Sentence};
use super::limits::at_most;
use crate::model::{Addr, Need, PendingWork, Subject, Tid, WorkWait};

/// Waits for work, by the threads that wait.
pub(super) struct Waits<'a> {
    of: FxHashMap<Tid, Vec<&'a WorkWait>>,
    /// Whether there are no others.
    are_all: bool,
}

impl<'a> Waits<'a> {
    pub(super) fn of(pending: &'a PendingWork) -> Waits<'a> {
        let mut of: FxHashMap<Tid, Vec<&WorkWait>> = FxHashMap::default();
        for wait in &pending.waits {
            of.entry(wait.tid).or_default().push(wait);
        }
        Waits { of, are_all: pending.missing.is_empty() }
    }

    /// The wait that keeps a thread for as long as what is asked for holds: one that it needs, or all of those of which it needs one. The
    /// first that it needs, else the first of these; `None` where it may go on all the same.
    pub(super) fn keeps(&self, tid: Tid, holds: impl Fn(&WorkWait) -> bool) -> Option<&'a WorkWait> {
        let own = self.of.get(&tid)?;
        let ends_one_of = |wait: &&WorkWait| match wait.need {
            Need::OneOf(several) => (!holds(wait)).then_some(several),
            Need::This | Need::Nothing => None,
        };
        let ended: FxHashSet<Addr> = own.iter().copied().filter_map(|wait| ends_one_of(&wait)).collect();
        let keeps = |wait: &&&WorkWait| match wait.need {
            Need::This => holds(wait),
            Need::OneOf(several) => !ended.contains(&several),
            Need::Nothing => false,
        };
        own.iter().find(keeps).copied()
    }

    /// Whether what is asked for keeps a thread whatever else could not be read: of those of which it needs one more may be there.
    pub(super) fn keeps_surely(&self, tid: Tid, holds: impl Fn(&WorkWait) -> bool) -> bool {
        self.keeps(tid, holds).is_some_and(|wait| wait.need == Need::This || self.are_all)
    }
}

/// Whether a wait is known not to end by itself.
pub(super) fn is_endless(wait: &WorkWait) -> bool {
    wait.limit == Ok(None)
}

/// When a wait ends by itself, or why that is not known; `None` where it does not.
pub(super) fn end(wait: &WorkWait) -> Option<Fact> {
    let sentence = match &wait.limit {
        Ok(None) => return None,
        Ok(Some(limit)) => {
            Sentence::of("its wait ends by itself: it waits ").then(at_most(std::slice::from_ref(limit)))
        }
        Err(gap) => Sentence::of(format!("whether its wait ends by itself is not known: {gap}")),
    };
    Some(sentence.about(Subject::Thread(wait.tid)))
}
