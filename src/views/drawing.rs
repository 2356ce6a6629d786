//! Who waits for whom, to be drawn: cycles of threads, and chains that end in one. Its rows are about the threads and locks that
//! they name.

use crate::analysis::deadlock::Chain;
use crate::model::{Addr, Lock, Subject, Thread, Tid};
use crate::report::section::{self, Cell, Row, Tone};

/// Locks of a chain that are drawn.
const DRAWN: usize = 8;
/// Widest name in a drawing; longer ones are cut in the middle.
const MAX_NAME: usize = 32;
/// Waiting threads that are named one by one; of more, the ids of the first are shown.
const NAMED: usize = 2;
const IDS: usize = 4;

/// What drawings call threads and locks.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) locks: &'a [Lock],
    pub(super) threads: &'a [Thread],
}

impl Names<'_> {
    /// A thread's label.
    pub(super) fn thread(&self, tid: Tid) -> String {
        let thread = self.threads.iter().find(|thread| thread.tid == tid);
        thread.map_or_else(|| tid.to_string(), Thread::label)
    }

    /// A lock's name, else its address.
    pub(super) fn lock(&self, address: Addr) -> String {
        let lock = self.locks.iter().find(|lock| lock.address == address);
        let name = lock.and_then(|lock| lock.name.clone().ok().flatten());
        name.unwrap_or_else(|| address.to_string())
    }

    /// Whether what is waited for at an address is a thread's end.
    pub(super) fn is_join(&self, address: Addr) -> bool {
        self.locks.iter().any(|lock| lock.address == address && lock.kind.is_join())
    }

    fn thread_cell(&self, tid: Tid) -> Cell {
        Cell::text(cut(&self.thread(tid))).tone(Tone::Link)
    }

    fn lock_cell(&self, address: Addr) -> Cell {
        Cell::text(cut(&self.lock(address))).tone(Tone::Link)
    }
}

/// A deed of a drawing's threads, to which something may be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// It holds this lock.
    Holds(Addr),
    /// It waits: for a lock, or for something else.
    Waits,
}

/// What is noted below a deed, with what Enter opens; nothing for `None`.
pub(super) type Note<'a> = &'a dyn Fn(Tid, Deed) -> Option<Row>;

/// The threads that wait for the first lock of a chain (none where the chain is a cycle from its first link on), then each
/// holder and what it wants. `end`: what the last holder does, where it waits for no thread.
pub(super) fn tall(chain: &Chain, waiters: &[Tid], names: Names<'_>, end: &str, note: Note<'_>) -> section::Chain {
    let mut links = Vec::new();
    let mut cycle = chain.cycle;
    if let (Some(first), Some(waiter), true) = (chain.links.first(), waiters.first(), chain.cycle != Some(0)) {
        links.push(section::Link {
            who: waiting(waiters, names),
            taken: None,
            wants: Some(wish(first.lock, waiters.len(), names)),
            waits: note(*waiter, Deed::Waits),
        });
        cycle = cycle.map(|cycle| cycle.saturating_add(1));
    }
    for (index, link) in chain.links.iter().take(DRAWN).enumerate() {
        let Some(owner) = link.owner else { break };
        let next = chain.links.get(index.saturating_add(1)).or_else(|| chain.links.get(chain.cycle?));
        let wants = match next {
            Some(next) => wish(next.lock, 1, names),
            None => Row::about(Subject::Thread(owner), vec![Cell::text(end)]),
        };
        links.push(section::Link {
            who: vec![holder(owner, link.lock, names)],
            taken: note(owner, Deed::Holds(link.lock)),
            wants: Some(wants),
            waits: note(owner, Deed::Waits),
        });
    }
    section::Chain { links, cycle, more: chain.links.len().saturating_sub(DRAWN), beside: false }
}

/// `worker-9 4725`, or `19 threads 4724 4725 …`.
fn waiting(waiters: &[Tid], names: Names<'_>) -> Vec<Row> {
    if waiters.len() <= NAMED {
        let row = |tid: &Tid| Row::about(Subject::Thread(*tid), vec![names.thread_cell(*tid)]);
        return waiters.iter().map(row).collect();
    }
    let mut ids: Vec<String> = waiters.iter().take(IDS).map(Tid::to_string).collect();
    ids.extend((waiters.len() > IDS).then(|| "…".to_owned()));
    let cells = vec![
        Cell::text(format!("{} threads", waiters.len())).tone(Tone::Strong),
        Cell::text(ids.join(" ")).tone(Tone::Dim),
    ];
    vec![Row { cells, subject: waiters.first().map(|tid| Subject::Thread(*tid)) }]
}

/// `worker-3 4719 holds g_orders`.
fn holder(owner: Tid, lock: Addr, names: Names<'_>) -> Row {
    let mut cells = vec![names.thread_cell(owner)];
    // Who joins a thread waits for that very thread.
    if !names.is_join(lock) {
        cells.extend([Cell::text("holds"), names.lock_cell(lock)]);
    }
    Row::about(Subject::Thread(owner), cells)
}

fn wish(lock: Addr, threads: usize, names: Names<'_>) -> Row {
    if names.is_join(lock) {
        let words = if threads == 1 { "waits for the end of" } else { "wait for the end of" };
        return Row::about(Subject::Lock(lock), vec![Cell::text(words)]);
    }
    let word = if threads == 1 { "wants" } else { "want" };
    Row::about(Subject::Lock(lock), vec![Cell::text(word), names.lock_cell(lock)])
}

/// A cycle, which may be drawn side by side. `None` for a thread that waits for itself: the sentence says all.
pub(super) fn cycle(chain: &Chain, names: Names<'_>) -> Option<section::Chain> {
    let drawn = || section::Chain { beside: true, ..tall(chain, &[], names, "", &|_, _| None) };
    (chain.links.len() > 1).then(drawn)
}

/// Cuts a long name in the middle: its ends tell it apart.
fn cut(name: &str) -> String {
    let count = name.chars().count();
    if count <= MAX_NAME {
        return name.to_owned();
    }
    let head: String = name.chars().take(MAX_NAME / 2).collect();
    let tail: String = name.chars().skip(count.saturating_sub(MAX_NAME / 2).saturating_add(1)).collect();
    format!("{head}…{tail}")
}
