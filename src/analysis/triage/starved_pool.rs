//! The threads of a pool wait for work that is in the pool's own queue, or are all busy while work is queued.

use crate::model::{Pool, Subject, Tid, WorkEnd, WorkWait};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::needed::{Waits, end, is_endless};
use super::own_queue;

pub(super) const RULE: Rule = Rule::new("starved-pool", apply);

/// Threads whose waits are told as evidence.
const TOLD: usize = 3;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    let waits = Waits::of(case.pending);
    case.pending.pools.iter().filter_map(|pool| conclude(case, &waits, pool)).collect()
}

fn conclude(case: &Case<'_>, waits: &Waits<'_>, pool: &Pool) -> Option<Finding> {
    if pool.queued == 0 && pool.unread.is_none() {
        return None;
    }
    let is_queued = |wait: &WorkWait| wait.end == WorkEnd::PoolQueue;
    let is_for_ever = |wait: &WorkWait| is_queued(wait) && is_endless(wait);
    let starved: Vec<Tid> = pool.blocked.iter().copied().filter(|tid| waits.keeps(*tid, is_queued).is_some()).collect();
    // One that has more than it may have lets the others sleep.
    let are_all = |count: usize| pool.most > 0 && count as u64 >= pool.most;
    let all_wait = are_all(starved.iter().filter(|tid| waits.keeps(**tid, is_for_ever).is_some()).count());
    let is_sure_deadlock = || are_all(starved.iter().filter(|tid| waits.keeps_surely(**tid, is_for_ever)).count());
    // That one waits at all is known where it is known for how long.
    let is_waiting = |wait: &WorkWait| is_queued(wait) && wait.limit.is_ok();
    let is_sure = || starved.iter().all(|tid| waits.keeps_surely(*tid, is_waiting));
    let (severity, certain, title) = match starved.len() {
        0 if pool.is_full() && pool.working >= pool.threads && pool.threads > 0 && pool.queued > 0 => {
            let words = format!(
                "{} has all {} threads that it may have, and all are busy: {} in its queue",
                pool.name,
                pool.threads,
                wait_there(pool)
            );
            (Severity::Note, true, words)
        }
        0 => return None,
        count if all_wait => {
            let words = format!(
                "deadlock: all {count} threads of {} wait for work that is in its own queue, and it may have no more",
                pool.name
            );
            (Severity::Critical, is_sure_deadlock(), words)
        }
        count => {
            let words = format!(
                "{} starves: {count} of its {} threads wait for work that is in its own queue",
                pool.name, pool.threads
            );
            (Severity::Warning, is_sure(), words)
        }
    };
    let numbers = format!(
        "threads: {} at least, {} at most, {} there, {} work, {} block on tasks; {} in the queue",
        pool.least,
        pool.most,
        pool.threads,
        pool.working,
        pool.blocked.len(),
        wait_there(pool)
    );
    let mut evidence = vec![Sentence::of(numbers).about(Subject::Command(pool.command))];
    if let Some(gap) = &pool.unread {
        let words = format!("the queue cannot be read to its end: {gap}");
        evidence.push(Sentence::of(words).about(Subject::Command(pool.command)));
    }
    for tid in starved.iter().take(TOLD) {
        evidence.push(case.chain(*tid));
        let wait = waits.keeps(*tid, is_queued);
        evidence.extend(wait.map(own_queue::chain));
        evidence.extend(wait.and_then(end));
    }
    Some(Finding {
        rule: RULE.name,
        severity,
        certain,
        title: Sentence::of(title),
        about: starved.first().map(|tid| Subject::Thread(*tid)).or(Some(Subject::Command(pool.command))),
        evidence,
        next: Some(Next::new(
            pool.command,
            "what is queued; await tasks in place of blocking on them in the pool's threads",
        )),
    })
}

/// `7 pieces of work wait`.
fn wait_there(pool: &Pool) -> String {
    let least = if pool.unread.is_some() { "at least " } else { "" };
    match pool.queued {
        1 => format!("{least}1 piece of work waits"),
        count => format!("{least}{count} pieces of work wait"),
    }
}
