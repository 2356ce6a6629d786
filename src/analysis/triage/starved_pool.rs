//! The threads of a pool wait for work that is in the pool's own queue, or are all busy while work is queued.

use crate::model::{Pool, Subject, Tid, WorkEnd};

use super::Rule;
use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::own_queue;

pub(super) const RULE: Rule = Rule::new("starved-pool", apply);

/// Threads whose waits are told as evidence.
const TOLD: usize = 3;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    case.pending.pools.iter().filter_map(|pool| conclude(case, pool)).collect()
}

fn conclude(case: &Case<'_>, pool: &Pool) -> Option<Finding> {
    if pool.queued == 0 {
        return None;
    }
    let starved: Vec<Tid> = pool.blocked.iter().copied().filter(|tid| waits_for_pool(case, *tid)).collect();
    // One that has more than it may have lets the others sleep.
    let all_wait = pool.most > 0 && starved.len() as u64 >= pool.most;
    let (severity, certain, title) = match starved.len() {
        0 if pool.is_full() && pool.working >= pool.threads && pool.threads > 0 => {
            let words = format!(
                "{} has all {} threads that it may have, and all are busy: {} wait in its queue",
                pool.name,
                pool.threads,
                pieces(pool.queued)
            );
            (Severity::Note, true, words)
        }
        0 => return None,
        count if all_wait => {
            let words = format!(
                "deadlock: all {count} threads of {} wait for work that is in its own queue, and it may have no more",
                pool.name
            );
            (Severity::Critical, true, words)
        }
        count => {
            let words = format!(
                "{} starves: {count} of its {} threads wait for work that is in its own queue",
                pool.name, pool.threads
            );
            (Severity::Warning, true, words)
        }
    };
    let numbers = format!(
        "threads: {} at least, {} at most, {} there, {} work, {} block on tasks; {} wait in the queue",
        pool.least,
        pool.most,
        pool.threads,
        pool.working,
        pool.blocked.len(),
        pieces(pool.queued)
    );
    let mut evidence = vec![Sentence::of(numbers).about(Subject::Command(pool.command))];
    for tid in starved.iter().take(TOLD) {
        evidence.push(case.chain(*tid));
        evidence.extend(case.pending.waits.iter().find(|wait| wait.tid == *tid).map(own_queue::chain));
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

/// Whether all that a thread waits for goes on in the pool.
fn waits_for_pool(case: &Case<'_>, tid: Tid) -> bool {
    case.pending.waits.iter().filter(|wait| wait.tid == tid).all(|wait| wait.end == WorkEnd::PoolQueue)
}

fn pieces(count: u64) -> String {
    if count == 1 { "1 piece of work".to_owned() } else { format!("{count} pieces of work") }
}
