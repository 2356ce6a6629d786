//! `syncblk`: Monitors that somebody has or waits for, as SOS lists them, thin ones too.

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use crate::analysis::deadlock::Cycle;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Lock, Owner, Problem, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::coreclr::{CoreClr, ManagedThread, SyncBlock, lock_kinds};
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
    /// The owner's managed id; null where there is no owner, or he has none.
    pub owner_id: Option<u32>,
    /// The owner's structure.
    pub owner_thread: Option<Addr>,
    /// The owner's name.
    pub owner_name: Option<String>,
    /// The object's type; null where it cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let locks = session.all_locks(job)?;
    let data = super::with(session, job, |runtime| told(runtime, &locks, query, job))?;
    Ok(Box::new(Answered { data, problems: problems(&locks) }))
}

/// What is missing of Monitors.
fn problems(locks: &session::Locks) -> Vec<Problem> {
    locks.problems.clone()
}

fn told(runtime: &CoreClr, locks: &session::Locks, query: &Query, job: &Job) -> Result<SyncBlk, Error> {
    let blocks = runtime.sync_blocks(job)?;
    let threads = runtime.threads(job)?;
    let by_tid: FxHashMap<Tid, &ManagedThread> =
        threads.threads.iter().filter_map(|thread| Some((thread.tid.clone().ok()??, thread))).collect();
    let row = |lock: &Lock| row(runtime, &by_tid, blocks.of(lock.address), lock);
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
    runtime: &CoreClr,
    threads: &FxHashMap<Tid, &ManagedThread>,
    block: Option<&SyncBlock>,
    lock: &Lock,
) -> MonitorRow {
    let owner = lock.owner_tid().and_then(|tid| threads.get(&tid));
    let held = |block: &SyncBlock| {
        let state = block.state.as_ref().ok()?;
        Some(u32::from(state.is_locked).saturating_add(state.waiters.saturating_mul(2)))
    };
    MonitorRow {
        lock: LockRow::of(lock),
        index: block.map(|block| block.index),
        sync_block: block.map(|block| block.address),
        monitor_held: block.and_then(held),
        owner_id: owner.and_then(|owner| owner.id.clone().ok()),
        owner_thread: owner.map(|owner| owner.address),
        owner_name: owner.and_then(|owner| owner.name.clone().ok().flatten()),
        type_name: runtime.type_of(lock.address).ok(),
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
    let count = |count: Option<u32>| count.map_or(Cell::NONE, |count| Cell::new(Value::Count(count.into())));
    let owner = match (&row.lock.owner, &row.lock.owner_unknown) {
        (Some(owner), _) => Cell::new(Value::Tid(owner.tid)).tone(Tone::Link),
        // 'locks' tells why: it would make a narrow column the widest.
        (None, Some(_)) => Cell::text("?").tone(Tone::Guess),
        (None, None) => Cell::NONE,
    };
    let type_name = match &row.type_name {
        Some(name) => Cell::new(Value::Type(name.as_str().into())),
        None => Cell::unknown("its type cannot be read"),
    };
    let waiters = match row.lock.waiters.as_slice() {
        [] => Cell::NONE,
        waiters => Cell::new(Value::Tids(waiters.into())),
    };
    let cells = vec![
        count(row.index),
        row.sync_block.map_or(Cell::NONE, |at| Cell::new(Value::Addr(at))),
        count(row.monitor_held),
        count(row.lock.recursion),
        owner,
        count(row.owner_id),
        row.owner_name.as_deref().map_or(Cell::NONE, Cell::text),
        Cell::new(Value::Addr(row.lock.address)),
        type_name,
        waiters,
    ];
    Row::about(Subject::Lock(row.lock.address), cells)
}
