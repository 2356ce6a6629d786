//! Triage: rules that turn the model into conclusions, each with its evidence and what to do next.
//!
//! Input: a [`Case`], all that is known about the process. Output: findings, the most severe first, certain ones before
//! likely ones of the same severity. A rule is a file here and a line in [`RULES`]; it sees the case only, so it is
//! tested without a dump. Where one rule says more of a thing than another, that one yields to it, and says so itself.

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
mod gone;
mod held_elsewhere;
mod idle;
mod killed;
mod limits;
mod needed;
mod null_access;
mod one_holder;
mod outside;
mod own_queue;
mod panic;
mod parked;
mod rule;
mod self_deadlock;
mod smashed_heap;
mod spinning;
mod stack_overflow;
mod starved_pool;
mod stopped;
mod stuck;
mod terminate;
mod timed_cycle;
mod turn;
mod uncaught;
mod uninterruptible;
mod unknown_owner;
mod unread_runtime;
mod unread_work;
mod unseen_failure;
mod weakened;
mod wild_jump;

pub use self::case::Case;
pub use self::finding::{Fact, Finding, Next, Part, Sentence, Severity};
pub use self::rule::{Rule, Tells};

/// Every rule. Among equal findings the order here decides.
pub static RULES: &[Rule] = &[
    deadlock::RULE,
    self_deadlock::RULE,
    own_queue::RULE,
    starved_pool::RULE,
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
    unread_work::RULE,
    unseen_failure::RULE,
    weakened::RULE,
    idle::RULE,
];

/// Applies every rule, each once, and settles which of them speak.
pub fn verdict(case: &Case<'_>) -> Vec<Finding> {
    let said = RULES.iter().map(|rule| (rule, (rule.apply)(case))).collect();
    let mut findings = rule::settle(said);
    doubtful::weaken(case, &mut findings);
    findings.sort_by_key(|(rule, finding)| (finding.severity, rule.tells, !finding.certain));
    findings.into_iter().map(|(_, finding)| finding).collect()
}

#[cfg(test)]
mod tests;
