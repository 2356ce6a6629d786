//! Threads whose wait was seen and not understood: nobody knows who ends it, so nothing says that all is well.

use crate::model::thread::{Nature, WaitKind};
use crate::model::{Absence, Absent, Addr, Owner, Thread, ThreadState};

use super::case::Case;
use super::finding::{Fact, Finding, Next, Sentence, Severity};
use super::{Rule, destroyed, gone, stuck};

pub(super) const RULE: Rule = Rule::new("owner-unknown", apply).yields_to(&[&stuck::RULE, &destroyed::RULE]);

/// Things waited for that the title names, and threads that the evidence shows.
const NAMED: usize = 3;
const SHOWN: usize = 6;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    conclude(case).into_iter().collect()
}

fn conclude(case: &Case<'_>) -> Option<Finding> {
    // A busy process is in the middle of something: waits like these end all the time.
    let busy = case.threads.iter().any(|thread| thread.state == ThreadState::Running);
    if case.crashed() || busy {
        return None;
    }
    let threads: Vec<&Thread> = case.threads.iter().filter(|thread| is_unknown(case, thread)).collect();
    let first = threads.first()?;
    let count = threads.len();
    let title = match count {
        _ if case.threads.len() == 1 => Sentence::of("its only thread waits for something whose owner is not known"),
        1 => Sentence::of("1 thread waits for something whose owner is not known"),
        count => Sentence::of(format!("{count} threads wait for something whose owner is not known")),
    };
    let mut named: Vec<Sentence> = Vec::new();
    let mut more = 0usize;
    for thread in &threads {
        let words = what(case, thread);
        if named.contains(&words) {
            continue;
        }
        if named.len() < NAMED { named.push(words) } else { more = more.saturating_add(1) }
    }
    let title = named
        .into_iter()
        .enumerate()
        .fold(title, |title, (index, words)| title.text(if index == 0 { ": " } else { "; " }).then(words));
    let title = if more > 0 { title.text(format!("; and {more} more")) } else { title };
    let evidence: Vec<Fact> = threads.iter().take(SHOWN).map(|thread| case.chain(thread.tid)).collect();
    Some(Finding {
        rule: RULE.name,
        severity: Severity::Note,
        certain: true,
        title,
        about: Some(crate::model::Subject::Thread(first.tid)),
        evidence,
        next: Some(Next::new(
            "parallelstacks",
            "what they wait in; whether that is work that may come, or an owner that does not",
        )),
    })
}

/// Whether it is not known who ends a thread's wait, and no other rule says so.
pub(super) fn is_unknown(case: &Case<'_>, thread: &Thread) -> bool {
    if thread.is_uninterruptible() || (thread.is_stopped() && thread.waiting_on.is_none()) {
        return false;
    }
    let Some(waiting) = thread.waiting_on.as_ref() else {
        return matches!(thread.state, ThreadState::Unknown | ThreadState::Blocked);
    };
    match waiting.nature {
        Nature::Unknown => true,
        Nature::End => waiting.address.is_none_or(|address| owner_is_unknown(case, address)),
        // With more than one waiter it is a finding of its own.
        Nature::Lock => {
            matches!(waiting.kind, WaitKind::Lock(_))
                && waiting.detail.is_none()
                && waiting.address.is_none_or(|address| owner_is_unknown(case, address))
        }
        Nature::Idle | Nature::Child | Nature::Turn | Nature::Room | Nature::Answer | Nature::Mutual => false,
    }
}

fn owner_is_unknown(case: &Case<'_>, address: Addr) -> bool {
    case.locks.iter().find(|lock| lock.address == address).is_none_or(|lock| {
        let alone = lock.waiters.len() < 2 || lock.kind.is_join();
        let unknown = matches!(lock.owner, Owner::Unknown(_)) && lock.read_by.is_empty();
        let known = |absent: &Absent| matches!(absent.why, Absence::OtherProcess | Absence::BeforeFork);
        let told = lock.absent.as_ref().is_some_and(known) || gone::is_abandoned(case, lock);
        alone && unknown && !told
    })
}

/// `semaphore g_jobs`, `futex 0x7f12…`, `a lock or condition of Python's threading`.
fn what(case: &Case<'_>, thread: &Thread) -> Sentence {
    let Some(waiting) = thread.waiting_on.as_ref() else {
        return Sentence::of("what cannot be told: the dump has too little of it");
    };
    match (&waiting.detail, waiting.kind, waiting.address) {
        (Some(detail), _, _) => Sentence::of(detail.as_str()),
        (None, WaitKind::Lock(kind), Some(address)) => {
            let named = case.locks.iter().any(|lock| lock.address == address && matches!(lock.name, Ok(Some(_))));
            let words = if named { Sentence::of(kind.words).text(" ") } else { Sentence::default() };
            words.part(case.lock(address))
        }
        (None, WaitKind::Lock(kind), None) => Sentence::of(kind.words),
        (None, WaitKind::Call(kind), _) => match waiting.name.as_deref() {
            Some(name) if kind == crate::model::thread::CallKind::Other => Sentence::of("the system call ").text(name),
            Some(name) => Sentence::of(name),
            None => Sentence::of(kind.does()),
        },
    }
}
