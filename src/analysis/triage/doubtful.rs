//! Conclusions that rest on a module's file which may be another build's: its names and unwind tables may be wrong, so
//! that they are likely at best.

use std::sync::Arc;

use crate::model::{Evidence, Subject, Tid};

use super::case::Case;
use super::finding::{Fact, Finding, Part, Sentence, Severity};
use super::{Rule, Tells};

/// Makes every such conclusion likely, and says why.
pub(super) fn weaken(case: &Case<'_>, findings: &mut [(&Rule, Finding)]) {
    if case.doubtful.is_empty() {
        return;
    }
    for (rule, finding) in findings {
        if finding.severity == Severity::Note || rule.tells == Tells::Sender {
            continue;
        }
        let Some(module) = rests_on(case, finding) else { continue };
        finding.certain = false;
        finding.evidence.push(because(&module));
    }
}

/// A module of that kind among the frames of the threads that a conclusion tells of, up to their own code, or where the
/// lock is.
fn rests_on(case: &Case<'_>, finding: &Finding) -> Option<Arc<str>> {
    let about = match finding.about {
        Some(Subject::Thread(tid)) => Some((tid, None)),
        Some(Subject::Frame(tid, frame)) => Some((tid, Some(frame))),
        _ => None,
    };
    let named = finding.title.0.iter().filter_map(|part| match part {
        Part::Thread(tid, _) => Some((*tid, None)),
        _ => None,
    });
    let by_lock = finding.title.0.iter().any(|part| match part {
        Part::Lock(address, _) => {
            case.locks.iter().any(|lock| lock.address == *address && lock.evidence == Evidence::UNVERIFIED_FILE)
        }
        _ => false,
    });
    let of_thread = about.into_iter().chain(named).find_map(|(tid, frame)| in_stack(case, tid, frame));
    of_thread.or_else(|| case.doubtful.first().filter(|_| by_lock).map(Arc::clone))
}

fn in_stack(case: &Case<'_>, tid: Tid, frame: Option<usize>) -> Option<Arc<str>> {
    let last = frame.max(case.own_frame(tid)).unwrap_or(0);
    let frames = case.frames(tid).iter().take(last.saturating_add(1));
    frames.filter_map(|frame| frame.module.as_ref()).find(|module| case.doubtful.contains(module)).map(Arc::clone)
}

fn because(module: &Arc<str>) -> Fact {
    let words = Sentence::of(Arc::clone(module));
    words.text(" may be another build's file, so that names and frames of it may be wrong").about(None)
}
