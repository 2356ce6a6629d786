//! The threads of a pool wait for work that is in the pool's own queue, or are all busy while work is queued.

use crate::model::{Pool, Subject, Tid, WorkEnd, WorkWait};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::needed::{is_endless, keeps, keeps_surely};
use super::own_queue;

pub(super) const RULE: Rule = Rule::new("starved-pool", apply);

/// Threads whose waits are told as evidence.
const TOLD: usize = 3;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.pending.pools.iter().filter_map(|pool| conclude(case, pool)).collect()
}

fn conclude(case: &Case<'_>, pool: &Pool) -> Option<Finding> {
    if pool.queued == 0 && pool.unread.is_none() {
        return None;
    }
    let waits = &case.pending.waits;
    let is_queued = |wait: &WorkWait| wait.end == WorkEnd::PoolQueue;
    let starved: Vec<Tid> =
        pool.blocked.iter().copied().filter(|tid| keeps(waits, *tid, is_queued).is_some()).collect();
    let for_ever = |tid: &&Tid| keeps(waits, **tid, |wait| is_queued(wait) && is_endless(wait)).is_some();
    // One that has more than it may have lets the others sleep.
    let all_wait = pool.most > 0 && starved.iter().filter(for_ever).count() as u64 >= pool.most;
    let is_sure = starved.iter().all(|tid| keeps_surely(case.pending, *tid, is_queued));
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
            (Severity::Critical, is_sure, words)
        }
        count => {
            let words = format!(
                "{} starves: {count} of its {} threads wait for work that is in its own queue",
                pool.name, pool.threads
            );
            (Severity::Warning, is_sure, words)
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
        evidence.extend(keeps(waits, *tid, is_queued).map(own_queue::chain));
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
