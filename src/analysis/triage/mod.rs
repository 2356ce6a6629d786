//! Triage: rules that turn the model into conclusions, each with its evidence and what to do next.
//!
//! Input: a [`Case`], all that is known about the process. Output: findings, the most severe first, certain ones before
//! likely ones of the same severity. A rule is a file here and a line in [`RULES`]; it sees the case only, so it is
//! tested without a dump.

pub mod finding;

mod abandoned_lock;
mod abort;
mod assertion;
mod case;
mod crash;
mod data_execution;
mod deadlock;
mod destroyed;
mod doubtful;
mod explosion;
mod fatal_signal;
mod forked_lock;
mod freed_memory;
mod held_elsewhere;
mod idle;
mod killed;
mod limits;
mod null_access;
mod one_holder;
mod outside;
mod panic;
mod parked;
mod self_deadlock;
mod smashed_heap;
mod spinning;
mod stack_overflow;
mod stopped;
mod stuck;
mod terminate;
mod timed_cycle;
mod turn;
mod uncaught;
mod uninterruptible;
mod unknown_owner;
mod unread_runtime;
mod weakened;
mod wild_jump;

pub use self::case::Case;
pub use self::finding::{Fact, Finding, Next, Part, Sentence, Severity};

/// A rule: what it concludes from a case. Several findings where it holds several times, none where it does not hold.
pub struct Rule {
    /// Its name: the word in `rule` of the JSON.
    pub name: &'static str,
    /// Concludes.
    pub apply: fn(&Case<'_>) -> Vec<Finding>,
}

/// Every rule. Among equal findings the order here decides.
pub static RULES: &[Rule] = &[
    deadlock::RULE,
    self_deadlock::RULE,
    abandoned_lock::RULE,
    forked_lock::RULE,
    destroyed::RULE,
    timed_cycle::RULE,
    held_elsewhere::RULE,
    null_access::RULE,
    stack_overflow::RULE,
    freed_memory::RULE,
    smashed_heap::RULE,
    wild_jump::RULE,
    data_execution::RULE,
    fatal_signal::RULE,
    uncaught::RULE,
    terminate::RULE,
    assertion::RULE,
    panic::RULE,
    abort::RULE,
    stopped::RULE,
    one_holder::RULE,
    uninterruptible::RULE,
    outside::RULE,
    stuck::RULE,
    spinning::RULE,
    explosion::RULE,
    killed::RULE,
    unknown_owner::RULE,
    unread_runtime::RULE,
    weakened::RULE,
    idle::RULE,
];

/// Applies every rule.
pub fn verdict(case: &Case<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| (rule.apply)(case)).collect();
    doubtful::weaken(case, &mut findings);
    // What was found comes first, then what was not looked at, then who asked for the dump.
    let place = |finding: &Finding| match finding.rule {
        rule if rule == killed::RULE.name => 2,
        rule if rule == unread_runtime::RULE.name => 1,
        _ => 0,
    };
    findings.sort_by_key(|finding| (finding.severity, place(finding), !finding.certain));
    findings
}

#[cfg(test)]
mod tests;
