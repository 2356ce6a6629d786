//! Another process sent the signal.

use crate::model::Subject;

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, Tells};

pub(super) const RULE: Rule = Rule::new("killed", apply).tells(Tells::Sender);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let signal = case.signal.filter(|_| case.was_killed())?;
    let title = Sentence::of("killed from outside with ").text(signal.name());
    let title = match signal.sender_pid {
        // The kernel fills in zero for a sender in another PID namespace.
        // Source: Linux kernel/signal.c, __send_signal_locked (task_tgid_nr_ns).
        Some(0) => title.text(" by a process of another PID namespace"),
        Some(pid) => title.text(format!(" by process {pid}")),
        None => title.text(", by whom is not recorded"),
    };
    let title = title.with(signal.sender_uid, |title, uid| title.text(format!(" (user {uid})")));
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: signal.sender_pid.is_some(),
        title,
        about: Some(Subject::Thread(signal.tid)),
        evidence: vec![case.chain(signal.tid)],
        next: Some(Next::new("threads", "what every thread was doing then")),
    })
}
