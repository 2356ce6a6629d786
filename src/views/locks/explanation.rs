//! What a lock is part of, told and drawn: a deadlock, a convoy, or just a holder and those who wait for it.

use crate::analysis::deadlock::{self, Chain as Waits, Cycle, Doubt, Step};
use crate::error::Error;
use crate::job::Job;
use crate::model::thread::WaitKind;
use crate::model::{Addr, Evidence, Gap, Lock, Owner, Subject, Thread, ThreadState, Tid};
use crate::report::section::{Body, Cell, Chain, Row, Tone};
use crate::session::Session;
use crate::views::drawing::{self, Names};

use super::places::{self, Place};

/// Threads of a explanation whose places are told.
const PLACES: usize = 8;

/// A explanation: what happens, who waits for whom, where.
pub(super) struct Explanation {
    sentence: String,
    tone: Tone,
    about: Subject,
    drawing: Chain,
    pub(super) places: Vec<Place>,
}

/// What explanations are told of.
pub(super) struct Explainer<'a> {
    pub(super) session: &'a Session,
    pub(super) names: Names<'a>,
    pub(super) cycles: &'a [Cycle],
    pub(super) job: &'a Job,
}

impl Explainer<'_> {
    /// The explanation of a deadlock.
    pub(super) fn of_cycle(&self, cycle: &Cycle) -> Result<Explanation, Error> {
        let tone = if cycle.ends() { Tone::Guess } else { Tone::Bad };
        self.explanation(self.deadlock(cycle), tone, &Waits::of_cycle(cycle), &[])
    }

    /// The explanation of a lock; `None` where no lock is at that address.
    pub(super) fn of_lock(&self, address: Addr) -> Result<Option<Explanation>, Error> {
        let of_cycle = |cycle: &&Cycle| cycle.cycle.iter().any(|step| step.waits_for == address);
        if let Some(cycle) = self.cycles.iter().find(of_cycle) {
            return self.of_cycle(cycle).map(Some);
        }
        let Some(lock) = self.lock(address) else { return Ok(None) };
        let Some(chain) = deadlock::chain(self.names.locks, address) else { return Ok(None) };
        let (sentence, tone) = self.sentence(lock, &chain);
        self.explanation(sentence, tone, &chain, &lock.waiters).map(Some)
    }

    fn lock(&self, address: Addr) -> Option<&Lock> {
        self.names.locks.iter().find(|lock| lock.address == address)
    }

    fn thread(&self, tid: Tid) -> Option<&Thread> {
        self.names.threads.iter().find(|thread| thread.tid == tid)
    }

    fn explanation(&self, sentence: String, tone: Tone, chain: &Waits, waiters: &[Tid]) -> Result<Explanation, Error> {
        let last = chain.links.last().and_then(|link| link.owner);
        let end = last.filter(|_| chain.cycle.is_none()).map(|tid| self.doing(tid)).unwrap_or_default();
        let places = self.places(chain, waiters)?;
        let about = chain.links.first().map_or(Subject::Capture, |link| Subject::Lock(link.lock));
        let note = |tid, deed| places.iter().find(|place| place.is_of(tid, deed)).map(Place::note);
        let drawing = drawing::tall(chain, waiters, self.names, &end, &note);
        Ok(Explanation { sentence, tone, about, drawing, places })
    }

    /// Where each holder took what it holds and where it waits, and where the first of those who wait for it does.
    fn places(&self, chain: &Waits, waiters: &[Tid]) -> Result<Vec<Place>, Error> {
        let mut wanted = Vec::new();
        let first = waiters.first().filter(|_| chain.cycle != Some(0)).and_then(|tid| self.thread(*tid));
        wanted.extend(first.map(|thread| (thread, Vec::new(), chain.links.first().map(|link| link.lock))));
        for (index, link) in chain.links.iter().take(PLACES).enumerate() {
            let next = chain.links.get(index.saturating_add(1)).or_else(|| chain.links.get(chain.cycle?));
            let Some(thread) = link.owner.and_then(|owner| self.thread(owner)) else { continue };
            // Nobody has taken the end of a thread.
            let held = if self.names.is_join(link.lock) { Vec::new() } else { vec![link.lock] };
            wanted.push((thread, held, next.map(|next| next.lock)));
        }
        places::find(self.session, &wanted, self.job)
    }

    /// `Deadlock: a waits for x (held by b); b waits for y (held by a)`.
    fn deadlock(&self, cycle: &Cycle) -> String {
        let by_file =
            |step: &Step| self.lock(step.waits_for).is_some_and(|lock| lock.evidence == Evidence::UNVERIFIED_FILE);
        let word = match cycle.doubt {
            None => "Deadlock",
            Some(Doubt::TimeLimit) => "Waits in a cycle, which a time limit ends",
            Some(Doubt::InferredOwner) if cycle.cycle.iter().any(by_file) => {
                "Likely deadlock (a module's file may be another build's)"
            }
            Some(Doubt::InferredOwner) => "Likely deadlock (an owner is inferred)",
            Some(Doubt::InferredWait) => "Likely deadlock (what one of them waits for is inferred)",
        };
        if let [step] = cycle.cycle.as_slice() {
            let (thread, lock) = (self.names.thread(step.tid), self.names.lock(step.waits_for));
            return format!("{word}: {thread} waits for {lock}, which it holds itself{}", behind(cycle.victims.len()));
        }
        let steps: Vec<String> = cycle
            .cycle
            .iter()
            .enumerate()
            .map(|(at, step)| {
                let inferred = self.lock(step.waits_for).is_some_and(|lock| !lock.is_certain());
                let next = cycle.cycle.get(at.saturating_add(1)).or(cycle.cycle.first());
                let holder = next.map_or_else(|| "?".to_owned(), |next| self.names.thread(next.tid));
                let held = if inferred { "probably held by" } else { "held by" };
                let (thread, lock) = (self.names.thread(step.tid), self.names.lock(step.waits_for));
                if self.names.is_join(step.waits_for) {
                    return format!("{thread} waits for the end of {holder}");
                }
                format!("{thread} waits for {lock} ({held} {holder})")
            })
            .collect();
        format!("{word}: {}{}", steps.join("; "), behind(cycle.victims.len()))
    }

    /// What can be said of a lock that is in no cycle itself.
    fn sentence(&self, lock: &Lock, chain: &Waits) -> (String, Tone) {
        let joins = lock.kind.is_join();
        let name = if joins { "the end of a thread".to_owned() } else { self.names.lock(lock.address) };
        let waiting = match lock.waiters.as_slice() {
            [] => None,
            [one] => Some(format!("{} waits for {name}", self.names.thread(*one))),
            several => Some(format!("{} threads wait for {name}", several.len())),
        };
        let by = match lock.is_certain() {
            _ if joins => "that of",
            true => "held by",
            false => "probably held by",
        };
        let Some(owner) = lock.owner_tid() else {
            let waiting = waiting.unwrap_or_else(|| format!("{name}: nobody waits for it"));
            return match &lock.owner {
                Owner::Unknown(Gap::Absent(words)) => (format!("{waiting}, {words}"), Tone::Strong),
                Owner::Unknown(gap) => (format!("{waiting}; who holds it cannot be told: {gap}"), Tone::Guess),
                _ => (format!("{waiting}, a {} that no thread owns", lock.kind.words), Tone::Plain),
            };
        };
        let holder = self.names.thread(owner);
        let Some(waiting) = waiting else {
            return (format!("{name} is {by} {holder}, which {}; nobody waits for it", self.doing(owner)), Tone::Plain);
        };
        let behind = behind(deadlock::waiting_behind(self.names.locks, &lock.waiters).len());
        if chain.cycle.is_some() {
            return (format!("{waiting}, {by} {holder}, which waits behind a deadlock itself{behind}"), Tone::Bad);
        }
        let end = chain.links.iter().filter_map(|link| link.owner).next_back().unwrap_or(owner);
        if end == owner {
            return (format!("{waiting}, {by} {holder}, which {}{behind}", self.doing(owner)), Tone::Strong);
        }
        let (last, does) = (self.names.thread(end), self.doing(end));
        (format!("{waiting}, {by} {holder}; at the end of the chain {last} {does}{behind}"), Tone::Strong)
    }

    /// What a thread is busy with: `reads fd 7`, `waits for g_a`, `runs f`.
    fn doing(&self, tid: Tid) -> String {
        let Some(thread) = self.thread(tid) else { return "is not in the dump".to_owned() };
        match (&thread.waiting_on, &thread.top) {
            (Some(on), _) => match (on.kind, &on.name, on.address) {
                (WaitKind::Call(kind), Some(name), _) => format!("{} {name}", kind.does()),
                (WaitKind::Call(kind), None, _) => kind.does().to_owned(),
                (WaitKind::Lock(_), Some(name), _) => format!("waits for {name}"),
                (WaitKind::Lock(kind), None, Some(address)) => format!("waits for a {} at {address}", kind.words),
                (WaitKind::Lock(kind), None, None) => format!("waits for a {}", kind.words),
            },
            (None, Some(top)) if thread.state == ThreadState::Running => {
                format!("runs {}", crate::model::frame::path(top))
            }
            (None, Some(top)) => format!("is in {}", crate::model::frame::path(top)),
            (None, None) => "does what cannot be told".to_owned(),
        }
    }
}

/// `; 2 more threads wait behind it`.
fn behind(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => "; 1 more thread waits behind it".to_owned(),
        more => format!("; {more} more threads wait behind it"),
    }
}

impl Explanation {
    /// The sentence and the drawing.
    pub(super) fn bodies(&self) -> Vec<Body> {
        let mut lines = vec![Row::about(self.about, vec![Cell::text(self.sentence.as_str()).tone(self.tone)])];
        lines.push(Row::text(""));
        vec![Body::Lines(lines), Body::Chain(self.drawing.clone())]
    }
}
