//! Every thread waits for another, and none is left that could wake one.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::thread::WaitKind;
use crate::model::{Addr, Lock, LockFamily, LockKind, Owner, Subject, Thread, ThreadState, Tid};

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, abandoned_lock, deadlock, destroyed, forked_lock, own_queue, self_deadlock, timed_cycle};

pub(super) const RULE: Rule = Rule::new("stuck", apply).yields_to(&[
    &deadlock::RULE,
    &self_deadlock::RULE,
    &timed_cycle::RULE,
    &abandoned_lock::RULE,
    &forked_lock::RULE,
    &destroyed::RULE,
    &own_queue::RULE,
]);

/// Things waited for that the evidence names.
const NAMED: usize = 4;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let (threads, sleeping): (Vec<&Thread>, Vec<&Thread>) =
        threads(case)?.into_iter().partition(|thread| thread.waits_within());
    if !sleeping.is_empty() {
        return sleepers_left(case, &threads, &sleeping);
    }
    let wanted = wanted(&threads);
    let title = match threads.as_slice() {
        [only] if is_held(case, only) => Sentence::of("its only thread ")
            .then(case.doing(only.tid))
            .text(", which is held, and there is no other that could give it back"),
        [only] => Sentence::of("its only thread ")
            .then(case.doing(only.tid))
            .text(", and there is no other that could wake it"),
        several => {
            let (kind, address, count) = *wanted.first()?;
            let (lock, others) = (for_what(case, kind, address), several.len().saturating_sub(count));
            let title = if count == 1 {
                Sentence::of("a thread waits for ")
            } else {
                Sentence::of(format!("{count} threads wait for "))
            };
            let title = title.then(lock).text(", and no thread is left that could wake ");
            let title = title.text(if count == 1 { "it" } else { "them" });
            match others {
                0 => title,
                1 => title.text(": the other one waits, too"),
                others => title.text(format!(": the {others} others wait, too")),
            }
        }
    };
    let mut evidence: Vec<_> = wanted
        .iter()
        .take(NAMED)
        .filter_map(|(kind, address, count)| {
            let first = threads.iter().find(|thread| waits_for(thread, *address))?;
            let chain = case.chain(first.tid);
            let words = match (*kind, count) {
                (_, 1) => return Some(chain),
                (kind, count) => {
                    Sentence::of(format!("{count} threads wait for ")).then(for_what(case, kind, *address))
                }
            };
            Some(words.text(", such as ").then(chain.text).about(chain.about))
        })
        .collect();
    if threads.iter().any(|only| threads.len() == 1 && is_held(case, only)) {
        let words = "the lock does not say who holds it: this thread itself, one that has ended, or one of the process that fork copied";
        evidence.push(Sentence::of(words).about(None));
    }
    let words =
        "no wait has a timeout, and none is for a file or another process; a signal's handler might still end one";
    evidence.push(Sentence::of(words).about(None));
    Some(Finding {
        rule: RULE.name,
        // One thread alone may well be what a signal's handler wakes.
        severity: match threads.as_slice() {
            [only] if !is_held(case, only) => Severity::Note,
            _ => Severity::Warning,
        },
        certain: false,
        title,
        about: threads.first().map(|thread| Subject::Thread(thread.tid)),
        evidence,
        next: Some(Next::new("parallelstacks", "who should have woken whom")),
    })
}

/// Some wait without a limit for another thread, and the others only sleep: one of these may be the one that wakes them, or nobody is.
fn sleepers_left(case: &Case<'_>, threads: &[&Thread], sleeping: &[&Thread]) -> Option<Finding> {
    let (kind, address, count) = *wanted(threads).first()?;
    let first = threads.iter().find(|thread| waits_for(thread, address))?;
    let title = match count {
        1 => Sentence::default().part(case.call(first.tid)).text(" waits without a limit for "),
        count => Sentence::of(format!("{count} threads wait without a limit for ")),
    };
    let title = title.then(for_what(case, kind, address)).text(", and no thread is at work that could wake ");
    let title = title.text(if count == 1 { "it: " } else { "them: " });
    let title = match sleeping {
        [one] => title.part(case.call(one.tid)).text(" sleeps"),
        several => title.text(format!("{} others sleep", several.len())),
    };
    let words = "this is right where a sleeper is to wake it in time; where a wake-up came before the wait began, it waits for ever";
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: false,
        title,
        about: Some(Subject::Thread(first.tid)),
        evidence: vec![case.chain(first.tid), Sentence::of(words).about(None)],
        next: Some(Next::new(
            "parallelstacks",
            "who should wake whom, and whether what it waits for has happened already",
        )),
    })
}

/// The threads, if the rule speaks.
fn threads<'a>(case: &Case<'a>) -> Option<Vec<&'a Thread>> {
    if case.crashed() || !case.has_all_threads() {
        return None;
    }
    let threads = case.living();
    let (waiting, others): (Vec<&Thread>, Vec<&Thread>) = threads.iter().partition(|thread| thread.waits_within());
    let speaks = !waiting.is_empty() && (others.is_empty() || are_left_to_sleepers(case, &waiting, &others));
    speaks.then_some(threads)
}

/// Whether the others only sleep and hold nothing that is waited for, and who waits is no idle pool: one thread alone, or the first.
fn are_left_to_sleepers(case: &Case<'_>, waiting: &[&Thread], others: &[&Thread]) -> bool {
    let sleepers: FxHashSet<Tid> = others.iter().map(|thread| thread.tid).collect();
    let holds = |lock: &Lock| !lock.waiters.is_empty() && lock.holders().iter().any(|holder| sleepers.contains(holder));
    let is_first = |thread: &&Thread| case.pid == Some(thread.tid.0);
    others.iter().all(|thread| thread.state == ThreadState::Sleeping)
        && !case.locks.iter().any(holds)
        && (waiting.len() == 1 || waiting.iter().any(is_first))
}

/// Whether a thread waits for a lock that somebody holds, and nothing tells who.
fn is_held(case: &Case<'_>, thread: &Thread) -> bool {
    let address = thread.waiting_on.as_ref().and_then(|waiting| waiting.address);
    let lock = case.locks.iter().find(|lock| Some(lock.address) == address);
    lock.is_some_and(|lock| lock.kind.family != LockFamily::Word && matches!(lock.owner, Owner::Unknown(_)))
}

fn waits_for(thread: &Thread, address: Addr) -> bool {
    thread.waiting_on.as_ref().is_some_and(|waiting| waiting.address == Some(address))
}

/// What is waited for, and by how many threads: what no thread owns first, then what most wait for.
fn wanted(threads: &[&Thread]) -> Vec<(LockKind, Addr, usize)> {
    let mut counts: FxHashMap<Addr, (LockKind, usize)> = FxHashMap::default();
    for waiting in threads.iter().filter_map(|thread| thread.waiting_on.as_ref()) {
        let (WaitKind::Lock(kind), Some(address)) = (waiting.kind, waiting.address) else { continue };
        let (_, count) = counts.entry(address).or_insert((kind, 0));
        *count = count.saturating_add(1);
    }
    let mut wanted: Vec<(LockKind, Addr, usize)> =
        counts.into_iter().map(|(address, (kind, count))| (kind, address, count)).collect();
    wanted.sort_by_key(|(kind, address, count)| (kind.is_join(), std::cmp::Reverse(*count), *address));
    wanted
}

/// `condvar g_cv`.
fn for_what(case: &Case<'_>, kind: LockKind, address: Addr) -> Sentence {
    let named = case.locks.iter().any(|lock| lock.address == address && matches!(lock.name, Ok(Some(_))));
    let words = if named && !kind.is_join() { Sentence::of(kind.words).text(" ") } else { Sentence::default() };
    words.part(case.lock(address))
}
