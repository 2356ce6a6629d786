//! `locks`: every lock that someone holds or waits for, its owner with the evidence, and each deadlock cycle.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Answer, Answered, Draw, Query, View};
use crate::analysis::deadlock::Cycle;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Evidence, Gap, Lock, LockKind, Owner, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;

/// The view.
pub const VIEW: View = View {
    name: "locks",
    aliases: &["syncblk"],
    pane: Some("Locks"),
    doc: "Every lock that someone holds or waits for, its owner with the evidence, then each deadlock cycle",
    help: "locks\n\nAn owner is recorded by the lock, inferred (a ~ stands before it, and the evidence says from what) or \
           unknown (?).\n\nLock      Kind   Owner           Waiters  Evidence\ng_orders  mutex  4719 worker-3        1  \
           owner-field\ng_stock   mutex  4723 worker-7        1  owner-field\n\nDeadlock: 4719 worker-3 waits for g_stock \
           (held by 4723 worker-7); 4723 worker-7 waits for g_orders (held by 4719 worker-3)",
    build,
    schema: || schemars::schema_for!(Locks),
};

/// Locks and deadlocks.
#[derive(Serialize, JsonSchema)]
pub struct Locks {
    /// Every lock that someone holds or waits for.
    pub locks: Vec<LockRow>,
    /// Cycles of threads that wait for each other.
    pub deadlocks: Vec<Cycle>,
    /// Labels of the threads that appear, for text.
    #[serde(skip)]
    labels: FxHashMap<Tid, String>,
}

/// A lock as shown.
#[derive(Serialize, JsonSchema)]
pub struct LockRow {
    /// The object itself.
    pub address: Addr,
    /// What it is.
    pub kind: LockKind,
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
    /// All threads that wait for it.
    pub waiters: Vec<Tid>,
    /// How the owner (or the wait) is known.
    pub evidence: Evidence,
}

/// An owner.
#[derive(Serialize, JsonSchema)]
pub struct OwnerRow {
    /// Its OS id.
    pub tid: Tid,
}

fn build(session: &Session, query: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    query.only(&[])?;
    let locks = session.locks(job)?;
    let threads = session.threads(job)?;
    let labels = threads.value.iter().map(|thread| (thread.tid, thread.label())).collect();
    let data = Locks { locks: locks.locks.iter().map(LockRow::of).collect(), deadlocks: locks.cycles.clone(), labels };
    Ok(Box::new(Answered { data, problems: locks.problems.clone() }))
}

impl LockRow {
    fn of(lock: &Lock) -> LockRow {
        LockRow {
            address: lock.address,
            kind: lock.kind,
            name: lock.name.clone().ok().flatten(),
            owner: lock.owner_tid().map(|tid| OwnerRow { tid }),
            owner_unknown: match &lock.owner {
                Owner::Unknown(gap) => Some(Gap::to_string(gap)),
                Owner::Thread(_) | Owner::Inferred(_) | Owner::None => None,
            },
            recursion: lock.recursion,
            readers: lock.readers,
            waiters: lock.waiters.clone(),
            evidence: lock.evidence,
        }
    }

    fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }

    fn is_inferred(&self) -> bool {
        self.evidence.word().starts_with("inferred:")
    }
}

impl Locks {
    fn thread(&self, tid: Tid) -> String {
        self.labels.get(&tid).cloned().unwrap_or_else(|| tid.to_string())
    }

    fn row(&self, lock: &LockRow) -> Row {
        let owner = match (&lock.owner, &lock.owner_unknown) {
            (Some(owner), _) if lock.is_inferred() => {
                Cell::text(format!("~ {}", self.thread(owner.tid))).tone(Tone::Guess)
            }
            (Some(owner), _) => Cell::text(self.thread(owner.tid)).tone(Tone::Link),
            (None, Some(reason)) => Cell::unknown(reason),
            (None, None) => Cell::NONE,
        };
        let mut kind = lock.kind.words().to_owned();
        if let Some(times) = lock.recursion.filter(|times| *times > 1) {
            kind.push_str(&format!(" ×{times}"));
        }
        if let Some(readers) = lock.readers.filter(|readers| *readers > 0) {
            kind.push_str(&format!(", {readers} reading"));
        }
        let cycle =
            self.deadlocks.iter().position(|cycle| cycle.cycle.iter().any(|step| step.waits_for == lock.address));
        let note = match cycle {
            Some(cycle) => Cell::text(format!("deadlock {}", cycle.saturating_add(1))).tone(Tone::Bad),
            None => Cell::NONE,
        };
        Row::about(
            Subject::Lock(lock.address),
            vec![
                Cell::text(lock.label()).tone(Tone::Link),
                Cell::text(kind),
                owner,
                Cell::new(Value::Count(lock.waiters.len() as u64)),
                note,
                Cell::text(lock.evidence.word()).tone(Tone::Dim),
            ],
        )
    }

    fn sentence(&self, cycle: &Cycle) -> String {
        let steps: Vec<String> = cycle
            .cycle
            .iter()
            .enumerate()
            .map(|(at, step)| {
                let lock = self.locks.iter().find(|lock| lock.address == step.waits_for);
                let name = lock.map_or_else(|| step.waits_for.to_string(), LockRow::label);
                let next = cycle.cycle.get(at.saturating_add(1)).or(cycle.cycle.first());
                let holder = next.map_or_else(|| "?".to_owned(), |next| self.thread(next.tid));
                let held = if lock.is_some_and(LockRow::is_inferred) { "probably held by" } else { "held by" };
                format!("{} waits for {name} ({held} {holder})", self.thread(step.tid))
            })
            .collect();
        let word = if cycle.certain { "Deadlock" } else { "Likely deadlock (an owner is inferred)" };
        format!("{word}: {}", steps.join("; "))
    }
}

impl Draw for Locks {
    fn draw(&self) -> Section {
        let columns = vec![
            Column::wide("Lock", 2),
            Column::left("Kind"),
            Column::wide("Owner", 1),
            Column::right("Waiters"),
            Column::left("In"),
            Column::left("Evidence"),
        ];
        let rows = self.locks.iter().map(|lock| self.row(lock)).collect();
        let mut bodies = vec![Body::Table(Table { columns, rows: Arc::new(rows) })];
        if !self.deadlocks.is_empty() {
            let line = |cycle: &Cycle| {
                let subject = cycle.cycle.first().map(|step| Subject::Thread(step.tid));
                Row { cells: vec![Cell::text(self.sentence(cycle)).tone(Tone::Bad)], subject }
            };
            bodies.push(Body::Lines(self.deadlocks.iter().map(line).collect()));
        }
        Section { bodies, ..Section::default() }
    }
}
