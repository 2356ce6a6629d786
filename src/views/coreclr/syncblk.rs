//! `syncblk`: Monitors that somebody has or waits for, as SOS lists them, thin ones too.

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use crate::analysis::deadlock::Cycle;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, Lock, Owner, Problem, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::coreclr::{CoreClr, LockState, ManagedThread, SyncBlock, lock_kinds};
use crate::session::{self, Session};
use crate::shape;
use crate::views::locks::LockRow;
use crate::views::{Answered, Answers, Arg, Arity, Draw, Kind, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "syncblk",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Operand("index", Kind::Count, Arity::Optional, "the place of one entry in the table of SyncBlocks"),
        Arg::Flag("all", "also entries of the table whose lock nobody has or waits for"),
    ],
    pane: None,
    doc: "Monitors of .NET that somebody has or waits for: SyncBlocks, and thin locks",
    help: "Columns are SOS's, and who waits. MonitorHeld counts 1 for the owner and 2 for each thread that waits to take it. A thin lock is \
           in its object's header and has no SyncBlock: it is found by a walk of the heap. 'locks' lists every other kind of lock, and draws \
           deadlocks.

$ dumpscope shop.core -c syncblk
Index       SyncBlock  MonitorHeld  Recursion    Tid  ID  Thread   Object          Type           Waiters
    2  0x55dd14091b38            3          1  11241   4  cashier  0x7f278001a2c8  System.Object  11242
    3  0x55dd14091b90            3          1  11242   5  clerk    0x7f278001a2e0  System.Object  11241
                                            2  11243   6  owner    0x7f278001a2f8  System.Object
Total 3, free 0",
    build,
    schema: shape!(SyncBlk),
};

/// Monitors.
#[derive(Serialize, JsonSchema)]
pub struct SyncBlk {
    /// Each, those of the table first, in its order.
    pub locks: Vec<MonitorRow>,
    /// Cycles of threads that wait for each other, of all kinds of locks.
    pub deadlocks: Vec<Cycle>,
    /// Entries of the table that are in use.
    pub total: usize,
    /// Entries that are not.
    pub free: u32,
}

/// A Monitor.
#[derive(Serialize, JsonSchema)]
pub struct MonitorRow {
    /// As `locks` tells it; `address` is the object.
    #[serde(flatten)]
    pub lock: LockRow,
    /// Its place in the table of SyncBlocks; null for a thin lock.
    pub index: Option<u32>,
    /// The SyncBlock; null for a thin lock.
    pub sync_block: Option<Addr>,
    /// 1 for the owner and 2 for each thread that waits to take it; null for a thin lock, and where that cannot be read.
    pub monitor_held: Option<u32>,
    /// Why that, and how often the owner has it, is not known; null where it is.
    pub monitor_held_unknown: Option<String>,
    /// The owner's managed id; null where there is no owner, or it cannot be read.
    pub owner_id: Option<u32>,
    /// Why the id of an owner who is known is not; null where it is.
    pub owner_id_unknown: Option<String>,
    /// The owner's structure.
    pub owner_thread: Option<Addr>,
    /// The owner's name; null where there is no owner, he has none, or it cannot be read.
    pub owner_name: Option<String>,
    /// Why the name of an owner who is known is not; null where it is, or he has none.
    pub owner_name_unknown: Option<String>,
    /// The object's type; null where it cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Why it cannot be read; null where it can.
    pub type_unknown: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let locks = session.all_locks(job)?;
    let data = super::with(session, job, |runtime| told(runtime, &locks, query, job))?;
    let problems = locks.problems.iter().cloned().chain(unread(&data.locks)).collect();
    Ok(Box::new(Answered { data, problems }))
}

/// What of the rows could not be read, each kind once: in a narrow column there is no room for it.
fn unread(rows: &[MonitorRow]) -> impl Iterator<Item = Problem> {
    type Reason = fn(&MonitorRow) -> Option<&str>;
    let kinds: [(&str, Reason); 4] = [
        ("who has it and waits for it", |row| row.monitor_held_unknown.as_deref()),
        ("the managed ids of the owners", |row| row.owner_id_unknown.as_deref()),
        ("the names of the owners", |row| row.owner_name_unknown.as_deref()),
        ("the types of the objects", |row| row.type_unknown.as_deref()),
    ];
    kinds.into_iter().filter_map(|(what, reason)| {
        let mut reasons = rows.iter().filter_map(reason);
        let first = reasons.next()?;
        let count = reasons.count().saturating_add(1);
        let message = format!("{what} cannot be read of {count} of the Monitors: {first}");
        Some(Problem::new("locks-unread", Subject::Capture, message))
    })
}

fn told(runtime: &CoreClr, locks: &session::Locks, query: &Query, job: &Job) -> Result<SyncBlk, Error> {
    let blocks = runtime.sync_blocks(job)?;
    let threads = runtime.threads(job)?;
    let by_tid: FxHashMap<Tid, &ManagedThread> =
        threads.threads.iter().filter_map(|thread| Some((thread.tid.clone().ok()??, thread))).collect();
    let missing = threads.unread();
    let owner = |lock: &Lock| match lock.owner_tid() {
        Some(tid) => by_tid.get(&tid).copied().map_or_else(|| missing.clone().map_or(Ok(None), Err), |of| Ok(Some(of))),
        None => Ok(None),
    };
    let row = |lock: &Lock| row(blocks.of(lock.address), owner(lock), runtime.type_of(lock.address), lock);
    let wanted = query.number("index");
    let mut rows: Vec<MonitorRow> = locks.locks.iter().filter(|lock| is_monitor(lock)).map(row).collect();
    let all = query.flag("all") || wanted.is_some();
    rows.extend(others(runtime.monitors(job)?, &rows).iter().filter(|lock| all || lock.owner != Owner::None).map(row));
    rows.sort_by_key(|row| (row.index.is_none(), row.index));
    if let Some(wanted) = wanted {
        rows.retain(|row| row.index.map(u64::from) == Some(wanted));
        if rows.is_empty() {
            return Err(Error::Failed(format!("no SyncBlock {wanted}; 'syncblk -all' lists them")));
        }
    }
    Ok(SyncBlk { locks: rows, deadlocks: locks.cycles.clone(), total: blocks.all.len(), free: blocks.free })
}

fn is_monitor(lock: &Lock) -> bool {
    lock.kind == lock_kinds::MONITOR || lock.kind == lock_kinds::MONITOR_WAIT
}

/// Entries of the table that no row tells: those that nobody has, and those in an object that is another kind of lock.
fn others(monitors: Vec<Lock>, rows: &[MonitorRow]) -> Vec<Lock> {
    let told: FxHashSet<Addr> = rows.iter().filter(|row| row.index.is_some()).map(|row| row.lock.address).collect();
    monitors.into_iter().filter(|lock| !told.contains(&lock.address)).collect()
}

fn row(
    block: Option<&SyncBlock>,
    owner: Known<Option<&ManagedThread>>,
    type_name: Known<String>,
    lock: &Lock,
) -> MonitorRow {
    let state = block.map(|block| block.state.as_ref());
    let held = |state: &LockState| u32::from(state.is_locked).saturating_add(state.waiters.saturating_mul(2));
    let words = |gap: &Gap| gap.to_string();
    let id = owner.clone().and_then(|owner| owner.map(|owner| owner.id.clone()).transpose());
    let name = owner.clone().and_then(|owner| owner.map_or(Ok(None), |owner| owner.name.clone()));
    MonitorRow {
        lock: LockRow::of(lock),
        index: block.map(|block| block.index),
        sync_block: block.map(|block| block.address),
        monitor_held: state.and_then(Result::ok).map(held),
        monitor_held_unknown: state.and_then(Result::err).map(words),
        owner_id_unknown: id.as_ref().err().map(words),
        owner_id: id.ok().flatten(),
        owner_thread: owner.ok().flatten().map(|owner| owner.address),
        owner_name_unknown: name.as_ref().err().map(words),
        owner_name: name.ok().flatten(),
        type_unknown: type_name.as_ref().err().map(words),
        type_name: type_name.ok(),
    }
}

impl Draw for SyncBlk {
    fn draw(&self) -> Section {
        let total = Row::text(format!("Total {}, free {}", self.total, self.free));
        if self.locks.is_empty() {
            let said = Row::text("No Monitors: nobody has or waits for one.");
            return Section { bodies: vec![Body::Lines(vec![said, total])], ..Section::default() };
        }
        let columns = vec![
            Column::right("Index"),
            Column::right("SyncBlock").rank(4),
            Column::right("MonitorHeld").rank(3),
            Column::right("Recursion").rank(2),
            Column::right("Tid"),
            Column::right("ID").rank(2),
            Column::wide("Thread", 1),
            Column::right("Object"),
            Column::wide("Type", 2),
            Column::left("Waiters"),
        ];
        let table = Body::Table(Table::new(columns, self.locks.iter().map(cells).collect()));
        Section { bodies: vec![table, Body::Lines(vec![total])], ..Section::default() }
    }
}

fn cells(row: &MonitorRow) -> Row {
    // Why is said below: it would make a narrow column the widest.
    let unknown = || Cell::text("?").tone(Tone::Guess);
    let missing = |is_unread: bool| if is_unread { unknown() } else { Cell::NONE };
    let count = |count: u32| Cell::new(Value::Count(count.into()));
    let is_unread = row.monitor_held_unknown.is_some();
    // Of an owner who is not known nothing is; why is told by 'locks'.
    let is_lost = row.lock.owner_unknown.is_some();
    let owner = match &row.lock.owner {
        Some(owner) => Cell::new(Value::Tid(owner.tid)).tone(Tone::Link),
        None => missing(is_lost),
    };
    let type_name = match (&row.type_name, &row.type_unknown) {
        (Some(name), _) => Cell::new(Value::Type(name.as_str().into())),
        (None, Some(_)) => unknown(),
        (None, None) => Cell::NONE,
    };
    let waiters = match row.lock.waiters.as_slice() {
        [] => Cell::NONE,
        waiters => Cell::new(Value::Tids(waiters.into())),
    };
    let cells = vec![
        row.index.map_or(Cell::NONE, count),
        row.sync_block.map_or(Cell::NONE, |at| Cell::new(Value::Addr(at))),
        row.monitor_held.map_or_else(|| missing(is_unread), count),
        row.lock.recursion.map_or_else(|| missing(is_unread), count),
        owner,
        row.owner_id.map_or_else(|| missing(is_lost || row.owner_id_unknown.is_some()), count),
        row.owner_name.as_deref().map_or_else(|| missing(is_lost || row.owner_name_unknown.is_some()), Cell::text),
        Cell::new(Value::Addr(row.lock.address)),
        type_name,
        waiters,
    ];
    Row::about(Subject::Lock(row.lock.address), cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Evidence;

    fn monitor(owner: Owner) -> Lock {
        Lock {
            address: Addr(0x10),
            kind: lock_kinds::MONITOR,
            name: Ok(None),
            owner,
            recursion: None,
            readers: None,
            read_by: Vec::new(),
            waiters: Vec::new(),
            evidence: Evidence::WAIT,
            inferred_waiters: Vec::new(),
            absent: None,
            limits: Vec::new(),
        }
    }

    fn owner(name: Known<Option<String>>) -> ManagedThread {
        ManagedThread {
            address: Addr(0x20),
            id: Ok(6),
            tid: Ok(Some(Tid(7))),
            name,
            state: Ok(0),
            preemptive: Ok(true),
            finalizer: false,
            collecting: false,
            last_exception: Ok(None),
        }
    }

    /// MonitorHeld, Recursion, Tid, ID, Thread, Type.
    fn shown(row: &MonitorRow) -> Vec<Value> {
        let cells = cells(row).cells;
        [2, 3, 4, 5, 6, 8].into_iter().map(|at| cells.get(at).unwrap().value.clone()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_no_blank_and_is_told_once() {
        let gap = || Gap::NotRecorded("it".to_owned());
        let unknown = || Value::Text("?".into());
        let block = |state| SyncBlock { index: 1, address: Addr(0x30), object: Addr(0x10), state };
        let lost = row(Some(&block(Err(gap()))), Ok(None), Err(gap()), &monitor(Owner::Unknown(gap())));
        assert_eq!(shown(&lost), [unknown(), unknown(), unknown(), unknown(), unknown(), unknown()]);
        let free = LockState { is_locked: false, recursion: 0, owner: 0, tid: 0, waiters: 0 };
        let free = row(Some(&block(Ok(free))), Ok(None), Ok("Shop.Till".to_owned()), &monitor(Owner::None));
        let none = Value::None;
        let named = Value::Type("Shop.Till".into());
        assert_eq!(
            shown(&free),
            [Value::Count(0), none.clone(), none.clone(), none.clone(), none.clone(), named.clone()]
        );
        // A thin lock; an owner without a name, one whose name cannot be read, one who is not among those that can be.
        let thin = |owner| row(None, owner, Ok("Shop.Till".to_owned()), &monitor(Owner::Thread(Tid(7))));
        let (plain, unread) = (owner(Ok(None)), owner(Err(gap())));
        let (plain, unread, gone) = (thin(Ok(Some(&plain))), thin(Ok(Some(&unread))), thin(Err(gap())));
        let of = |id: Value, name: Value| [none.clone(), none.clone(), Value::Tid(Tid(7)), id, name, named.clone()];
        assert_eq!(shown(&plain), of(Value::Count(6), none.clone()));
        assert_eq!(shown(&unread), of(Value::Count(6), unknown()));
        assert_eq!(shown(&gone), of(unknown(), unknown()));
        let problems: Vec<String> =
            super::unread(&[lost, free, plain, unread, gone]).map(|said| said.message).collect();
        assert_eq!(
            problems,
            [
                "who has it and waits for it cannot be read of 1 of the Monitors: not recorded: it",
                "the managed ids of the owners cannot be read of 1 of the Monitors: not recorded: it",
                "the names of the owners cannot be read of 2 of the Monitors: not recorded: it",
                "the types of the objects cannot be read of 1 of the Monitors: not recorded: it",
            ]
        );
    }
}
