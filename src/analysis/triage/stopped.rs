//! The process, or a part of it, stands still because it was stopped, and not because of what it does.

use crate::model::signal::signal_name;
use crate::model::thread::HeldState;
use crate::model::{Subject, Thread};

use super::Rule;
use super::case::Case;
use super::finding::{Fact, Finding, Next, Sentence, Severity};

pub(super) const RULE: Rule = Rule::new("stopped", apply);

fn apply(case: &Case<'_>) -> Vec<Finding> {
    [HeldState::Stopped, HeldState::Traced, HeldState::Frozen]
        .into_iter()
        .filter_map(|state| conclude(case, state))
        .collect()
}

fn conclude(case: &Case<'_>, state: HeldState) -> Option<Finding> {
    let is_held = |thread: &&Thread| thread.kernel.as_ref().is_some_and(|held| held.state == state);
    let held: Vec<&Thread> = case.threads.iter().filter(is_held).collect();
    let first = held.first()?;
    let all = held.len() == case.threads.len();
    let title = if all {
        Sentence::of("the process ")
    } else {
        Sentence::of(format!("{} of {} threads ", held.len(), case.threads.len()))
    };
    let is = if all || held.len() == 1 { "is " } else { "are " };
    let title = title.text(is).text(match state {
        HeldState::Frozen => "frozen, with its control group".to_owned(),
        HeldState::Traced => "stopped by a debugger".to_owned(),
        _ => case
            .stop_signal
            .map_or_else(|| "stopped by a signal".to_owned(), |signal| format!("stopped by {}", signal_name(signal))),
    });
    let title = title.text(match state {
        HeldState::Frozen => ": nothing of it runs until the group is thawed",
        HeldState::Traced => ": the debugger lets it go on",
        _ => ": nothing of it runs until SIGCONT wakes it",
    });
    let letter = match state {
        HeldState::Frozen => "the kernel function that it sleeps in is the freezer's".to_owned(),
        HeldState::Traced => "before the dump the kernel showed it in state t (tracing stop)".to_owned(),
        _ => format!("before the dump the kernel showed {} in state T (stopped)", count(held.len())),
    };
    let mut evidence: Vec<Fact> = vec![Sentence::of(letter).about(Subject::Capture)];
    evidence.push(case.chain(first.tid));
    let pid = case.pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: true,
        title,
        about: Some(Subject::Thread(first.tid)),
        evidence,
        next: Some(Next::advice(match state {
            HeldState::Frozen => "thaw the group (docker unpause, echo 0 > cgroup.freeze) and look again".to_owned(),
            HeldState::Traced => "look at what its debugger waits for".to_owned(),
            _ => format!(
                "kill -CONT {pid} lets it go on; then look again: what follows is how it was when it was stopped"
            ),
        })),
    })
}

fn count(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}
