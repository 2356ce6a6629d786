//! `locks`: every lock that someone holds or waits for, its owner with the evidence; each deadlock and each thread that many
//! wait for, told, drawn, and with the places in the code. `locks ADDR`: all of that for one lock.

mod explanation;
mod places;

use std::cmp::Reverse;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use self::explanation::{Explainer, Explanation};
use self::places::Place;
use super::counted::counted;
use super::drawing::Names;
use super::{Alias, Answer, Answered, Arg, Arity, Draw, Kind, Needs, Query, View, threads};
use crate::analysis::deadlock::{Cycle, Holder};
use crate::error::Error;
use crate::job::Job;
use crate::model::{
    Absent, Addr, Evidence, Gap, Lock, LockFamily, LockKind, Owner, Subject, SubjectKind, Tid, TimeLimit,
};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::{self, Session};
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "locks",
    aliases: &[Alias::of("syncblk")],
    needs: Needs::Process,
    home_of: &[SubjectKind::Lock],
    args: &[
        Arg::Operand(
            "address",
            Kind::Address,
            Arity::Optional,
            "one lock: what it is part of, where it was taken, where its waiters are",
        ),
        Arg::Flag("list", "the table alone"),
        Arg::Apart("list", &["address"]),
    ],
    pane: Some("Locks"),
    doc: "Every lock that someone holds or waits for, its owner with the evidence, then each deadlock drawn",
    help: "An owner is recorded by the lock, inferred (a ~ stands before it, and the evidence says from what) or unknown (?).\n\
           No lock records its readers: where it is held for reading, those are named that could be inferred.\n\
           A cycle in which a wait has a time limit is no deadlock: it is numbered as a cycle, and says so.

$ dumpscope demo -c locks
Lock                       Kind                Owner  Thread        Waiters  In          Evidence
g_stock                    recursive mutex ×2   4723  shop::worker        1  deadlock 1  owner-field
g_orders                   mutex                4719  shop::worker        1  deadlock 1  owner-field
g_pool_mu                  mutex                4711  main               19              owner-field
…

Deadlock: 4719 shop::worker waits for g_stock (held by 4723 shop::worker); 4723 shop::worker waits for …

  ┌▶ 4719 shop::worker holds g_orders
  │      taken in shop::Orders::place orders.cc:10 #6
  │    ▼ wants g_stock
  │      in shop::Stock::reserve stock.cc:21 #5
  │  4723 shop::worker holds g_stock
  │      taken in shop::Stock::restock stock.cc:27 #6
  │    ▼ wants g_orders
  │      in shop::Orders::commit orders.cc:18 #5
  └────┘
…",
    build,
    schema: shape!(Locks),
};

/// Explanations of deadlocks, and of threads that many wait for, that are told.
const TOLD: usize = 8;
/// Reasons for unknown owners that are told, and locks that are named with each.
const REASONS: usize = 8;
const NAMED: usize = 3;
/// Fewest waiting threads of a convoy.
const CONVOY: usize = 2;

/// Locks and deadlocks.
#[derive(Serialize, JsonSchema)]
pub struct Locks {
    /// Every lock that someone holds or waits for; with ADDR that lock.
    pub locks: Vec<LockRow>,
    /// Cycles of threads that wait for each other; with ADDR those that the lock is part of.
    pub deadlocks: Vec<Cycle>,
    /// Threads that others wait for and that wait for no thread themselves; with ADDR the lock's owner where it is one.
    pub holders: Vec<Holder>,
    /// Where the threads of the told deadlocks and convoys took what they hold, and where they wait.
    pub places: Vec<Place>,
    /// What the threads are called, beside their ids.
    #[serde(skip)]
    threads: Arc<FxHashMap<Tid, Cell>>,
    /// The place among all deadlocks of that which a lock is part of, and whether that ends by itself.
    #[serde(skip)]
    cycles: FxHashMap<Addr, (usize, bool)>,
    #[serde(skip)]
    explanations: Vec<Explanation>,
    /// Deadlocks and convoys that are not told.
    #[serde(skip)]
    untold: usize,
    /// Whether one lock was asked for.
    #[serde(skip)]
    one: bool,
}

/// A lock as shown.
#[derive(Serialize, JsonSchema)]
pub struct LockRow {
    /// The object itself.
    pub address: Addr,
    /// What it is, in the word of the runtime that has it.
    pub kind: LockKind,
    /// What it is among the locks of all runtimes.
    pub family: LockFamily,
    /// Symbol, or field of which object; null when nothing names it.
    pub name: Option<String>,
    /// Who holds it, recorded or inferred (see `evidence`); null when nobody does or it cannot be told.
    pub owner: Option<OwnerRow>,
    /// Why the owner is not known; null when it is, or when nobody holds it.
    pub owner_unknown: Option<String>,
    /// How often the owner holds it; null where the kind does not count.
    pub recursion: Option<u32>,
    /// Readers that hold it; null for kinds without readers.
    pub readers: Option<u32>,
    /// Threads that hold it for reading, as far as they could be inferred.
    pub read_by: Vec<Tid>,
    /// All threads that wait for it.
    pub waiters: Vec<Tid>,
    /// Those of the waiters of which it is inferred, from what their stacks refer to, that this is what they wait for.
    pub inferred_waiters: Vec<Tid>,
    /// How the owner (or the wait) is known.
    pub evidence: Evidence,
    /// The holder that the lock records and the dump does not have: where it is; null where there is no such.
    pub absent: Option<Absent>,
    /// Those of the waiters whose wait ends by itself.
    pub limits: Vec<TimeLimit>,
}

/// An owner.
#[derive(Serialize, JsonSchema)]
pub struct OwnerRow {
    /// Its OS id.
    pub tid: Tid,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let address = query.address("address");
    let locks = session.all_locks(job)?;
    let threads = session.threads(job)?;
    let names = Names { locks: &locks.locks, threads: &threads.value };
    let explainer = Explainer { session, names, cycles: &locks.cycles, job };
    let called = Arc::new(threads.value.iter().map(|thread| (thread.tid, threads::name(thread))).collect());
    let data = match address {
        Some(address) => Locks::of_one(&locks, &explainer, address, called)?,
        None => Locks::of_all(&locks, &explainer, query.flag("list"), called)?,
    };
    Ok(Box::new(Answered { data, problems: locks.problems.clone() }))
}

impl LockRow {
    /// A lock as shown.
    pub(super) fn of(lock: &Lock) -> LockRow {
        LockRow {
            address: lock.address,
            kind: lock.kind,
            family: lock.kind.family,
            name: lock.name.clone().ok().flatten(),
            owner: lock.owner_tid().map(|tid| OwnerRow { tid }),
            owner_unknown: match &lock.owner {
                Owner::Unknown(gap) => Some(Gap::to_string(gap)),
                Owner::Thread(_) | Owner::Inferred(_) | Owner::None => None,
            },
            recursion: lock.recursion,
            readers: lock.readers,
            read_by: lock.read_by.clone(),
            waiters: lock.waiters.clone(),
            inferred_waiters: lock.inferred_waiters.clone(),
            evidence: lock.evidence,
            absent: lock.absent.clone(),
            limits: lock.limits.clone(),
        }
    }

    fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }

    fn is_inferred(&self) -> bool {
        self.evidence.inferred
    }
}

impl Locks {
    fn of_all(
        all: &session::Locks,
        explainer: &Explainer<'_>,
        list: bool,
        threads: Arc<FxHashMap<Tid, Cell>>,
    ) -> Result<Locks, Error> {
        let mut explanations = Vec::new();
        let cycles = numbered(&all.cycles);
        // What a reader holds beside one in a cycle is told with the cycle.
        let apart = |holder: &&Holder| holder.locks.iter().any(|lock| !cycles.contains_key(lock));
        let convoys = || all.holders.iter().filter(|holder| holder.waiters.len() >= CONVOY).filter(apart);
        if !list {
            for cycle in all.cycles.iter().take(TOLD) {
                explanations.push(explainer.of_cycle(cycle)?);
            }
            for holder in convoys().take(TOLD) {
                let most = all.locks.iter().filter(|lock| holder.locks.contains(&lock.address));
                if let Some(lock) = most.max_by_key(|lock| lock.waiters.len()) {
                    explanations.extend(explainer.of_lock(lock.address)?);
                }
            }
        }
        let untold = all.cycles.len().saturating_add(convoys().count()).saturating_sub(explanations.len());
        Ok(Locks {
            locks: all.locks.iter().map(LockRow::of).collect(),
            deadlocks: all.cycles.clone(),
            holders: all.holders.clone(),
            places: explanations.iter().flat_map(|explanation| explanation.places.iter().cloned()).collect(),
            threads,
            cycles,
            explanations,
            untold: if list { 0 } else { untold },
            one: false,
        })
    }

    fn of_one(
        all: &session::Locks,
        explainer: &Explainer<'_>,
        address: Addr,
        threads: Arc<FxHashMap<Tid, Cell>>,
    ) -> Result<Locks, Error> {
        let known = all.locks.iter().find(|lock| lock.address == address);
        let (Some(lock), Some(explanation)) = (known, explainer.of_lock(address)?) else {
            return Err(Error::Failed(format!(
                "nobody is known to hold or to wait for a lock at {address}; 'locks' lists those that are"
            )));
        };
        let of_lock = |cycle: &&Cycle| cycle.cycle.iter().any(|step| step.waits_for == address);
        Ok(Locks {
            locks: vec![LockRow::of(lock)],
            deadlocks: all.cycles.iter().filter(of_lock).cloned().collect(),
            holders: all.holders.iter().filter(|holder| holder.locks.contains(&address)).cloned().collect(),
            places: explanation.places.clone(),
            threads,
            cycles: numbered(&all.cycles),
            explanations: vec![explanation],
            untold: 0,
            one: true,
        })
    }

    /// What the table says of a lock and what it has no room for.
    fn fields(&self, lock: &LockRow) -> Vec<(String, Row)> {
        let [_, kind, tid, name, _, note, evidence] = self.cells(lock);
        let tid = match (&lock.owner_unknown, lock.read_by.is_empty()) {
            (Some(reason), true) => Cell::unknown(reason),
            _ => tid,
        };
        let owner =
            Row { cells: vec![tid, name], subject: lock.owner.as_ref().map(|owner| Subject::Thread(owner.tid)) };
        let address = Row::about(Subject::Memory(lock.address), vec![Cell::new(Value::Addr(lock.address))]);
        let waiters = Row {
            cells: vec![Cell::new(Value::Tids(lock.waiters.clone().into()))],
            subject: lock.waiters.first().map(|tid| Subject::Thread(*tid)),
        };
        let fields = [
            ("Lock", Row::new(vec![Cell::text(lock.label()).tone(Tone::Strong)])),
            ("Address", address),
            ("Kind", Row::new(vec![kind])),
            ("Owner", owner),
            ("Waiters", waiters),
            ("In", Row::new(vec![note])),
            ("Evidence", Row::new(vec![evidence.tone(Tone::Plain)])),
        ];
        let is_there = |(_, row): &(&str, Row)| match row.cells.first().map(|cell| &cell.value) {
            Some(Value::Tids(tids)) => !tids.is_empty(),
            first => first.is_some_and(|value| *value != Value::None),
        };
        fields.into_iter().filter(is_there).map(|(label, row)| (label.to_owned(), row)).collect()
    }

    fn table(&self) -> Body {
        let columns = vec![
            Column::wide("Lock", 2).rank(1).min(16),
            Column::left("Kind").min(8),
            Column::right("Owner"),
            Column::wide("Thread", 1),
            Column::right("Waiters"),
            Column::left("In").rank(1),
            Column::left("Evidence").rank(4),
        ];
        let mut locks: Vec<&LockRow> = self.locks.iter().collect();
        // What cannot go on comes first, then what holds up most.
        let cycle = |lock: &LockRow| self.cycles.get(&lock.address).map_or(usize::MAX, |(cycle, _)| *cycle);
        locks.sort_by_key(|lock| (cycle(lock), Reverse(lock.waiters.len())));
        let row = |lock: &LockRow| Row::about(Subject::Lock(lock.address), self.cells(lock).to_vec());
        Body::Table(Table::new(columns, locks.into_iter().map(row).collect()))
    }

    /// Why owners are not known: each reason once, with the locks of which it is true.
    fn unknown(&self) -> Vec<Row> {
        let mut reasons: Vec<(&str, Vec<&LockRow>)> = Vec::new();
        for lock in self.locks.iter().filter(|lock| lock.read_by.is_empty()) {
            let Some(reason) = lock.owner_unknown.as_deref() else { continue };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, locks)) => locks.push(lock),
                None => reasons.push((reason, vec![lock])),
            }
        }
        let more = reasons.len().saturating_sub(REASONS);
        let mut rows: Vec<Row> = reasons.iter().take(REASONS).map(|(reason, locks)| unknown(reason, locks)).collect();
        if more > 0 {
            rows.push(Row::text(format!("… and {}; locks ADDR tells of each", counted(more, "more reason"))));
        }
        rows
    }

    /// Lock, kind, owner, what that is called, waiters, cycle, evidence.
    fn cells(&self, lock: &LockRow) -> [Cell; 7] {
        let owner = match (&lock.owner, &lock.owner_unknown) {
            (Some(owner), _) if lock.is_inferred() => Cell::text(format!("~ {}", owner.tid)).tone(Tone::Guess),
            (Some(owner), _) => Cell::new(Value::Tid(owner.tid)).tone(Tone::Link),
            (None, _) if !lock.read_by.is_empty() => {
                let tone = if lock.is_inferred() { Tone::Guess } else { Tone::Plain };
                Cell::text(readers(&lock.read_by, lock.is_inferred())).tone(tone)
            }
            // Why stands below the table: it would make the narrowest column the widest.
            (None, Some(_)) => Cell::text("?").tone(Tone::Guess),
            (None, None) => Cell::NONE,
        };
        let holder = lock.owner.as_ref().map(|owner| owner.tid).or(lock.read_by.first().copied());
        let called = holder.and_then(|holder| self.threads.get(&holder)).cloned();
        let mut kind = lock.kind.words.to_owned();
        if let Some(times) = lock.recursion.filter(|times| *times > 1) {
            kind.push_str(&format!(" ×{times}"));
        }
        if let Some(readers) = lock.readers.filter(|readers| *readers > 0) {
            kind.push_str(&format!(", {readers} reading"));
        }
        let note = match self.cycles.get(&lock.address) {
            Some((cycle, true)) => Cell::text(format!("cycle {}", cycle.saturating_add(1))).tone(Tone::Guess),
            Some((cycle, false)) => Cell::text(format!("deadlock {}", cycle.saturating_add(1))).tone(Tone::Bad),
            None => Cell::NONE,
        };
        [
            Cell::text(lock.label()).tone(Tone::Link),
            Cell::text(kind),
            owner,
            called.unwrap_or(Cell::NONE),
            Cell::new(Value::Count(lock.waiters.len() as u64)),
            note,
            Cell::text(lock.evidence.to_string()).tone(Tone::Dim),
        ]
    }
}

/// `? owner of g_word, g_other +3: not recorded: …`.
fn unknown(reason: &str, locks: &[&LockRow]) -> Row {
    let names: Vec<String> = locks.iter().take(NAMED).map(|lock| lock.label()).collect();
    let more = locks.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    let words = format!("? owner of {}{more}: {reason}", names.join(", "));
    Row {
        cells: vec![Cell::text(words).tone(Tone::Guess)],
        subject: locks.first().map(|lock| Subject::Lock(lock.address)),
    }
}

/// `~ 4711 +2`: the first of some readers, and how many more.
fn readers(readers: &[Tid], is_inferred: bool) -> String {
    let mark = if is_inferred { "~ " } else { "" };
    match readers {
        [] => String::new(),
        [one] => format!("{mark}{one}"),
        [first, more @ ..] => format!("{mark}{first} +{}", more.len()),
    }
}

/// Which deadlock each lock is part of, and whether that ends by itself.
fn numbered(cycles: &[Cycle]) -> FxHashMap<Addr, (usize, bool)> {
    let of = |(number, cycle): (usize, &Cycle)| (number, cycle.ends());
    let steps = cycles.iter().enumerate().flat_map(|found| found.1.cycle.iter().map(move |step| (of(found), step)));
    steps.map(|(cycle, step)| (step.waits_for, cycle)).collect()
}

impl Draw for Locks {
    fn draw(&self) -> Section {
        let mut bodies = Vec::new();
        if self.one {
            bodies.extend(self.explanations.iter().flat_map(Explanation::bodies));
            bodies.push(Body::Lines(vec![Row::text("")]));
            bodies.extend(self.locks.iter().map(|lock| Body::Fields(self.fields(lock))));
            return Section { bodies, ..Section::default() };
        }
        if self.locks.is_empty() {
            let each = if self.threads.len() == 1 {
                "it holds none and waits for none"
            } else {
                "none holds or waits for one"
            };
            let said = format!("No locks: {}, {each}.", counted(self.threads.len(), "thread"));
            return Section { bodies: vec![Body::Lines(vec![Row::text(said)])], ..Section::default() };
        }
        bodies.push(self.table());
        let unknown = self.unknown();
        if !unknown.is_empty() {
            bodies.push(Body::Lines(std::iter::once(Row::text("")).chain(unknown).collect()));
        }
        for explanation in &self.explanations {
            bodies.push(Body::Lines(vec![Row::text("")]));
            bodies.extend(explanation.bodies());
        }
        if self.untold > 0 {
            let said = format!("… and {}; locks ADDR tells of each", counted(self.untold, "more deadlock or holder"));
            bodies.push(Body::Lines(vec![Row::text(""), Row::text(said)]));
        }
        Section { bodies, ..Section::default() }
    }
}
