//! Threads that wait for something that no thread of the process is known to give: a file lock, room in a pipe, an answer, a child, a
//! lock that a database or a language's runtime keeps itself.

use crate::model::thread::{CallKind, Nature, WaitKind};
use crate::model::{Subject, Thread, ThreadState, WaitingOn};

use super::case::Case;
use super::finding::{Finding, Next, Sentence, Severity};
use super::{Rule, turn};

pub(super) const RULE: Rule = Rule::new("waits-outside", apply);

/// Waits that are told one by one.
const TOLD: usize = 32;
/// Threads whose stacks the evidence shows.
const SHOWN: usize = 3;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    if case.crashed() {
        return Vec::new();
    }
    let mut groups: Vec<(&WaitingOn, Vec<&Thread>)> = Vec::new();
    for thread in case.threads {
        let Some(waiting) = told(thread) else { continue };
        if let Some((_, threads)) = groups.iter_mut().find(|(known, _)| same(known, waiting)) {
            threads.push(thread);
        } else if groups.len() < TOLD {
            groups.push((waiting, vec![thread]));
        }
    }
    groups.iter().filter_map(|(waiting, threads)| conclude(case, waiting, threads)).collect()
}

/// What a thread waits for, if this rule tells of it.
pub(super) fn told(thread: &Thread) -> Option<&WaitingOn> {
    let waiting = thread.waiting_on.as_ref().filter(|_| !thread.is_uninterruptible())?;
    let blocked = thread.state == ThreadState::Blocked;
    let told = match waiting.nature {
        Nature::Child | Nature::Room | Nature::Answer | Nature::Mutual | Nature::Turn => true,
        // Locks whose owner may be a thread are told where they are judged.
        Nature::Lock => is_call(waiting) || waiting.detail.is_some(),
        Nature::Idle | Nature::End | Nature::Unknown => false,
    };
    (blocked && told).then_some(waiting)
}

fn is_call(waiting: &WaitingOn) -> bool {
    matches!(waiting.kind, WaitKind::Call(_))
}

fn same(one: &WaitingOn, other: &WaitingOn) -> bool {
    // A runtime's lock has a semaphore of its own for each thread.
    let by_words = matches!(one.nature, Nature::Lock | Nature::Turn)
        && !file_lock(one)
        && one.detail.is_some()
        && one.detail == other.detail;
    let named = one.kind == other.kind && one.name == other.name && one.address == other.address;
    by_words || (named && one.detail == other.detail)
}

fn conclude(case: &Case<'_>, waiting: &WaitingOn, threads: &[&Thread]) -> Option<Finding> {
    let first = threads.first()?;
    let title = match threads.len() {
        _ if case.threads.len() == 1 => Sentence::of("its only thread "),
        1 => Sentence::default().part(case.call(first.tid)).text(" "),
        2 => Sentence::default().part(case.call(first.tid)).text(" and another thread: each "),
        more => Sentence::default()
            .part(case.call(first.tid))
            .text(format!(" and {} more threads: each ", more.saturating_sub(1))),
    };
    let by_name = matches!(waiting.nature, Nature::Lock | Nature::Turn) && !file_lock(waiting);
    let words = match waiting.detail.as_deref().filter(|_| by_name) {
        // Who tells more is the next step's matter where the holder is known.
        Some(detail) if turn::holder(case, waiting).is_some() => {
            Sentence::of("waits for ").text(detail.split(';').next().unwrap_or(detail))
        }
        Some(detail) => Sentence::of("waits for ").text(detail),
        None => case.doing(first.tid),
    };
    let title = title.then(words).text(match waiting.nature {
        Nature::Mutual if waiting.kind == WaitKind::Call(CallKind::Child) => ": neither can go on",
        Nature::Mutual => ": nobody else is left to end that",
        Nature::Room if is_file(waiting) => ": the file system has not taken it yet",
        Nature::Room => ": it takes no more for now",
        Nature::Answer => ": there is no answer yet",
        Nature::Idle | Nature::End | Nature::Child | Nature::Lock | Nature::Turn | Nature::Unknown => "",
    });
    let runs = case.threads.iter().any(|thread| thread.state == ThreadState::Running);
    let severity = match waiting.nature {
        Nature::Child => Severity::Note,
        // Threads take turns while one of them runs.
        Nature::Turn if runs => Severity::Note,
        _ => Severity::Warning,
    };
    let certain = waiting.nature != Nature::Mutual && !by_name;
    let mut evidence: Vec<_> = threads.iter().take(SHOWN).map(|thread| case.chain(thread.tid)).collect();
    let about = Some(Subject::Thread(first.tid));
    let finding = |severity, title, evidence| Finding {
        rule: RULE.name,
        severity,
        certain,
        title,
        about,
        evidence,
        next: next(waiting, first),
    };
    let Some(holder) = turn::holder(case, waiting) else { return Some(finding(severity, title, evidence)) };
    evidence.push(case.chain(holder));
    evidence.push(turn::evidence(case, holder));
    let title = title.text(", which ").part(case.call(holder)).text(" has: it ").then(case.doing(holder));
    // The circle is closed by what the holder waits for.
    let owner = turn::waits_for_one_of(case, holder, threads);
    let severity = if owner.is_some() { Severity::Critical } else { severity };
    let title = match owner {
        Some(owner) => Sentence::of("deadlock: ").then(title).text(", held by ").part(case.call(owner)),
        None => title,
    };
    Some(finding(severity, title, evidence))
}

/// Whether the note says that a file is open there, and no device.
fn is_file(waiting: &WaitingOn) -> bool {
    waiting.name.as_deref().is_some_and(|name| name.contains(" (/") && !name.contains(" (/dev/"))
}

fn file_lock(waiting: &WaitingOn) -> bool {
    waiting.kind == WaitKind::Call(CallKind::FileLock)
}

fn next(waiting: &WaitingOn, thread: &Thread) -> Option<Next> {
    Some(match waiting.kind {
        WaitKind::Call(CallKind::FileLock) => Next::advice("look at the process that holds it; lslocks lists them"),
        WaitKind::Call(CallKind::Child) => Next::advice("look at the child: dumpscope live -p with its id"),
        WaitKind::Call(CallKind::Connect) => Next::advice("look at the other end: is it there, does it accept?"),
        WaitKind::Call(CallKind::Write | CallKind::Poll | CallKind::Open) => {
            Next::advice("look at who should take it or open the other end: lsof with its number tells")
        }
        _ => Next::new(format!("stack -t {}", thread.tid), "what it does there"),
    })
}
