//! Every thread waits for another, and none is left that could wake one.

use rustc_hash::FxHashMap;

use crate::model::thread::WaitKind;
use crate::model::{Addr, LockKind, Subject, Thread, ThreadState};

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, abandoned_lock};

pub(super) const RULE: Rule = Rule { name: "stuck", apply };

/// Things waited for that the evidence names.
const NAMED: usize = 4;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    let threads = threads(case)?;
    let wanted = wanted(&threads);
    let title = match threads.as_slice() {
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
    let words =
        "no wait has a timeout, and none is for a file or another process; a signal's handler might still end one";
    evidence.push(Sentence::of(words).about(None));
    Some(Finding {
        rule: RULE.name,
        // One thread alone may well be what a signal's handler wakes.
        severity: if threads.len() == 1 { Severity::Note } else { Severity::Warning },
        certain: false,
        title,
        about: threads.first().map(|thread| Subject::Thread(thread.tid)),
        evidence,
        next: Some(Next::new("parallelstacks", "who should have woken whom")),
    })
}

/// The threads, if the rule speaks.
fn threads<'a>(case: &Case<'a>) -> Option<Vec<&'a Thread>> {
    let told = !case.cycles.is_empty() || case.locks.iter().any(|lock| abandoned_lock::is_abandoned(case, lock));
    if told || case.crashed() || !case.has_all_threads() {
        return None;
    }
    let threads: Vec<&Thread> = case.threads.iter().filter(|thread| thread.state != ThreadState::Exited).collect();
    (!threads.is_empty() && threads.iter().all(|thread| waits_within(thread))).then_some(threads)
}

/// Whether nothing but another thread of the process can end what the thread waits for.
fn waits_within(thread: &Thread) -> bool {
    thread.state == ThreadState::Blocked && thread.waiting_on.as_ref().is_some_and(|waiting| waiting.within)
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
    wanted.sort_by_key(|(kind, address, count)| (*kind == LockKind::Join, std::cmp::Reverse(*count), *address));
    wanted
}

/// `condvar g_cv`.
fn for_what(case: &Case<'_>, kind: LockKind, address: Addr) -> Sentence {
    let named = case.locks.iter().any(|lock| lock.address == address && matches!(lock.name, Ok(Some(_))));
    let words =
        if named && kind != LockKind::Join { Sentence::of(kind.words()).text(" ") } else { Sentence::default() };
    words.part(case.lock(address))
}

/// Whether the rule speaks.
pub(super) fn speaks(case: &Case<'_>) -> bool {
    threads(case).is_some()
}
