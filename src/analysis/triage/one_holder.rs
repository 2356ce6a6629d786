//! Many threads wait for one, which waits for no thread: what does that one do?

use crate::analysis::deadlock::Holder;
use crate::model::{Absence, Addr, Evidence, Lock, Owner, Subject, TimeLimit};

use super::case::Case;
use super::finding::{Fact, Finding, Next, Sentence, Severity};
use super::limits::at_most;
use super::{Rule, gone, parked};

pub(super) const RULE: Rule = Rule::new("one-holder", apply);

/// Fewest waiters that are a finding.
const MANY: usize = 2;
/// Locks that the title names.
const NAMED: usize = 2;

fn apply(case: &Case<'_>) -> Vec<Finding> {
    // What a reader holds beside one in a cycle is the cycle's matter.
    let in_cycle = |lock: &Addr| case.cycles.iter().flat_map(|cycle| &cycle.cycle).any(|step| step.waits_for == *lock);
    let apart = |holder: &&Holder| holder.waiters.len() >= MANY && !holder.locks.iter().all(in_cycle);
    let held = case.holders.iter().filter(apart);
    let held = held.map(|holder| parked::pool(case, holder).unwrap_or_else(|| conclude(case, holder)));
    let unknown = case.locks.iter().filter(|lock| lock.waiters.len() >= MANY && owner_is_unknown(case, lock));
    held.chain(unknown.map(|lock| of_unknown(case, lock))).collect()
}

fn conclude(case: &Case<'_>, holder: &Holder) -> Finding {
    let mut title = Sentence::of(format!("{} threads wait for ", holder.waiters.len()));
    // A thread is no lock that it holds: who joins it waits for its end.
    let locks: Vec<Addr> = holder.locks.iter().copied().filter(|lock| !case.is_join(*lock)).collect();
    for (index, lock) in locks.iter().take(NAMED).enumerate() {
        title = if index == 0 { title } else { title.text(" and ") }.part(case.lock(*lock));
    }
    let more = locks.len().saturating_sub(NAMED);
    if more > 0 {
        title = title.text(format!(" and {more} more locks"));
    }
    let title = title.text(if locks.is_empty() { "the end of " } else { ", held by " });
    let title = title.part(case.call(holder.tid)).text(", which ").then(case.doing(holder.tid));
    let title = match holder.beside.len() {
        0 => title,
        1 => title.text(", and by 1 more reader"),
        more => title.text(format!(", and by {more} more readers")),
    };
    let mut evidence = vec![case.chain(holder.tid)];
    evidence.extend(holder.waiters.first().map(|waiter| case.chain(*waiter)));
    evidence.extend(limited(case, holder));
    let of_file = |lock: &Lock| holder.locks.contains(&lock.address) && lock.evidence == Evidence::UNVERIFIED_FILE;
    if !holder.certain && !case.locks.iter().any(of_file) {
        evidence.push(Sentence::of("a holder on the way is inferred: the lock records none").about(None));
    }
    Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: holder.certain,
        title,
        about: Some(Subject::Thread(holder.tid)),
        evidence,
        next: Some(Next::new(format!("stack -t {}", holder.tid), "why the holder does not go on")),
    }
}

/// How long those wait whose wait ends by itself.
fn limited(case: &Case<'_>, holder: &Holder) -> Option<Fact> {
    let locks = case.locks.iter().filter(|lock| holder.locks.contains(&lock.address));
    let limits: Vec<TimeLimit> = locks.flat_map(|lock| lock.limits.iter().copied()).collect();
    let who = match limits.as_slice() {
        [] => return None,
        [one] => Sentence::default().part(case.call(one.tid)).text(" waits "),
        several => Sentence::of(format!("{} of them wait ", several.len())),
    };
    Some(who.then(at_most(&limits)).about(None))
}

/// Whether somebody should hold it, and it cannot be told who.
fn owner_is_unknown(case: &Case<'_>, lock: &Lock) -> bool {
    let elsewhere = lock.absent.as_ref().is_some_and(|absent| absent.why == Absence::OtherProcess);
    let gone = elsewhere || gone::is_abandoned(case, lock) || gone::is_copied(case, lock);
    lock.kind.is_owned() && matches!(lock.owner, Owner::Unknown(_)) && lock.read_by.is_empty() && !gone
}

fn of_unknown(case: &Case<'_>, lock: &Lock) -> Finding {
    let title = Sentence::of(format!("{} threads wait for ", lock.waiters.len()))
        .part(case.lock(lock.address))
        .text("; who holds it cannot be told");
    let mut evidence: Vec<_> = lock.waiters.first().map(|waiter| case.chain(*waiter)).into_iter().collect();
    if let Owner::Unknown(gap) = &lock.owner {
        evidence.push(Sentence::of("the owner is unknown: ").text(gap.to_string()).about(Subject::Lock(lock.address)));
    }
    Finding {
        rule: RULE.name,
        severity: Severity::Warning,
        certain: true,
        title,
        about: Some(Subject::Lock(lock.address)),
        evidence,
        next: Some(Next::new("parallelstacks", "who is inside code that takes this lock")),
    }
}
