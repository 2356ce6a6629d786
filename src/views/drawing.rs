//! Who waits for whom, drawn with lines: cycles of threads, and chains that end in one.
//!
//! A drawing reads downwards and stays narrow, so that it fits beside a list. Its lines are about the threads and locks
//! that they name.

use unicode_width::UnicodeWidthStr;

use crate::analysis::deadlock::{Chain, Link};
use crate::model::{Addr, Lock, Subject, Thread, Tid};
use crate::report::section::{Cell, Row, Tone};

/// Locks of a chain that are drawn.
const DRAWN: usize = 8;
/// Widest name in a drawing; longer ones are cut in the middle.
const MAX_NAME: usize = 32;
/// Columns of the smallest screen that a drawing of two threads side by side may take.
const NARROW: usize = 58;
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

/// Where in a drawing a line stands: its outer lines differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    CycleBegins,
    InCycle,
}

impl Place {
    fn of(chain: &Chain, index: usize) -> Place {
        match chain.cycle {
            Some(cycle) if index == cycle => Place::CycleBegins,
            Some(cycle) if index > cycle => Place::InCycle,
            _ => Place::Free,
        }
    }

    fn before_thread(self) -> Cell {
        Cell::text(match self {
            Place::Free => "    ",
            Place::CycleBegins => "  ┌▶",
            Place::InCycle => "  │ ",
        })
        .tone(Tone::Dim)
    }

    fn before_wish(self) -> Cell {
        Cell::text(if self == Place::Free { "       ▼" } else { "  │    ▼" }).tone(Tone::Dim)
    }

    fn before_note(self) -> Cell {
        Cell::text(if self == Place::Free { "        " } else { "  │     " }).tone(Tone::Dim)
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
///
/// ```text
///   ┌▶ worker-3 4719 holds g_orders            19 threads 4724 4725 4726 …
///   │      taken in place orders.cpp:77           ▼ want g_pool_mu
///   │    ▼ wants g_stock                       main 4711 holds g_pool_mu
///   │  worker-7 4723 holds g_stock                ▼ reads fd 7
///   │    ▼ wants g_orders
///   └────┘
/// ```
pub(super) fn tall(chain: &Chain, waiters: &[Tid], names: Names<'_>, end: &str, note: Note<'_>) -> Vec<Row> {
    let mut rows = Vec::new();
    let noted = |place: Place, tid, deed| {
        note(tid, deed).map(|mut row| {
            row.cells.insert(0, place.before_note());
            row
        })
    };
    if let (Some(first), Some(waiter), true) = (chain.links.first(), waiters.first(), chain.cycle != Some(0)) {
        rows.extend(waiting(waiters, names));
        rows.push(wish(Place::Free, first.lock, waiters.len(), names));
        rows.extend(noted(Place::Free, *waiter, Deed::Waits));
    }
    for (index, link) in chain.links.iter().take(DRAWN).enumerate() {
        let place = Place::of(chain, index);
        let Some(owner) = link.owner else { break };
        rows.push(holder(place, owner, link.lock, names));
        rows.extend(noted(place, owner, Deed::Holds(link.lock)));
        let next = chain.links.get(index.saturating_add(1)).or_else(|| chain.links.get(chain.cycle?));
        match next {
            Some(next) => rows.push(wish(place, next.lock, 1, names)),
            None => {
                let cells = vec![place.before_wish(), Cell::text(end)];
                rows.push(Row::about(Subject::Thread(owner), cells));
            }
        }
        rows.extend(noted(place, owner, Deed::Waits));
    }
    let more = chain.links.len().saturating_sub(DRAWN);
    let last = Place::of(chain, chain.links.len().saturating_sub(1));
    if more > 0 {
        rows.push(Row::new(vec![last.before_note(), Cell::text(format!("… {more} more threads"))]));
    }
    if chain.cycle.is_some() {
        rows.push(Row::new(vec![Cell::text("  └────┘").tone(Tone::Dim)]));
    }
    rows
}

/// `worker-9 4725`, or `19 threads 4724 4725 …`.
fn waiting(waiters: &[Tid], names: Names<'_>) -> Vec<Row> {
    if waiters.len() <= NAMED {
        let row =
            |tid: &Tid| Row::about(Subject::Thread(*tid), vec![Place::Free.before_thread(), names.thread_cell(*tid)]);
        return waiters.iter().map(row).collect();
    }
    let mut ids: Vec<String> = waiters.iter().take(IDS).map(Tid::to_string).collect();
    ids.extend((waiters.len() > IDS).then(|| "…".to_owned()));
    let cells = vec![
        Place::Free.before_thread(),
        Cell::text(format!("{} threads", waiters.len())).tone(Tone::Strong),
        Cell::text(ids.join(" ")).tone(Tone::Dim),
    ];
    vec![Row { cells, subject: waiters.first().map(|tid| Subject::Thread(*tid)) }]
}

/// `worker-3 4719 holds g_orders`.
fn holder(place: Place, owner: Tid, lock: Addr, names: Names<'_>) -> Row {
    let mut cells = vec![place.before_thread(), names.thread_cell(owner)];
    // Who joins a thread waits for that very thread.
    if !names.is_join(lock) {
        cells.extend([Cell::text("holds"), names.lock_cell(lock)]);
    }
    Row::about(Subject::Thread(owner), cells)
}

fn wish(place: Place, lock: Addr, threads: usize, names: Names<'_>) -> Row {
    if names.is_join(lock) {
        let words = if threads == 1 { "waits for the end of" } else { "wait for the end of" };
        return Row::about(Subject::Lock(lock), vec![place.before_wish(), Cell::text(words)]);
    }
    let word = if threads == 1 { "wants" } else { "want" };
    Row::about(Subject::Lock(lock), vec![place.before_wish(), Cell::text(word), names.lock_cell(lock)])
}

/// A cycle of two threads, side by side, where that is narrow enough; any other from top to bottom. Nothing for a thread that
/// waits for itself: the sentence says all.
pub(super) fn cycle(chain: &Chain, names: Names<'_>) -> Vec<Row> {
    match chain.links.as_slice() {
        [_] => Vec::new(),
        [one, other] if !names.is_join(one.lock) && !names.is_join(other.lock) => {
            pair(one, other, names).unwrap_or_else(|| tall(chain, &[], names, "", &|_, _| None))
        }
        _ => tall(chain, &[], names, "", &|_, _| None),
    }
}

/// Two threads: each holds what the other wants, a blank line before and after. `None` where the names are too long.
///
/// ```text
///      worker-3 4719 ─ holds ─▶ g_orders ◀─ wants ─ worker-7 4723
///           └─ wants ─▶ g_stock ◀─ holds ───────────────┘
/// ```
fn pair(one: &Link, other: &Link, names: Names<'_>) -> Option<Vec<Row>> {
    let (first, second) = (one.owner?, other.owner?);
    let left = format!("{} ─ holds ─▶ {} ◀─ wants ─ ", names.thread(first), names.lock(one.lock));
    let below = format!("     └─ wants ─▶ {} ◀─ holds ─", names.lock(other.lock));
    // The corner stands below the second thread's name, or after the line where that is longer.
    let corner = left.width().saturating_add(5).max(below.width());
    let upper = format!("     {left}{}", names.thread(second));
    let missing = corner.saturating_sub(below.width());
    let lower = format!("     {below}{}┘", "─".repeat(missing));
    let row = |tid, line: String| Row::about(Subject::Thread(tid), vec![Cell::text(line).tone(Tone::Link)]);
    let blank = || Row::text("");
    (upper.width().max(lower.width()) <= NARROW).then(|| vec![blank(), row(first, upper), row(second, lower), blank()])
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
