//! `clrthreads`: the threads that .NET knows, with what it keeps of each.

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use crate::job::Job;
use crate::model::{Addr, Known, Problem, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::{ManagedThread, ManagedThreads, is_pool_worker, words};
use crate::shape;
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "clrthreads",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "Threads that .NET knows: managed id, OS id, name, role, mode, locks held, last exception, state",
    help: "Also those that have ended or were not started, which have no OS id. Columns are SOS's, but for the \
           name, which SOS does not show, and the state in words. Locks are counted that it holds: Monitors and every other kind whose \
           owner is known, each once.

$ dumpscope shop.core -c clrthreads
ID    Tid  Name      Role       Mode        Locks  Last exception   State
 1  11227  main                 preemptive      0                   legal to join, fully initialized, interruptible
 2  11233            finalizer  preemptive      0                   legal to join, background, CLR owns, fully initialized
…
 6  11243  owner                preemptive      1                   legal to join, background, CLR owns, fully initialized
 7  11245  handler              preemptive      0  Shop.OutOfStock  legal to join, background, CLR owns, fully initialized",
    build,
    schema: shape!(ClrThreads),
};

/// What .NET knows of its threads.
#[derive(Serialize, JsonSchema)]
pub struct ClrThreads {
    /// How many it counts; null where that cannot be read.
    pub count: Option<u32>,
    /// Each, in the order of its own list.
    pub threads: Vec<ClrThread>,
}

/// One thread.
#[derive(Serialize, JsonSchema)]
pub struct ClrThread {
    /// Managed id; null where it cannot be read.
    pub id: Option<u32>,
    /// OS id; null for one that has none (any more, or yet).
    pub tid: Option<Tid>,
    /// The runtime's structure.
    pub address: Addr,
    /// The name that the program gave it; null where it gave none, or the dump does not hold it.
    pub name: Option<String>,
    /// `finalizer`, `gc` (it has stopped the others to collect), `pool-worker`; null for others.
    pub role: Option<&'static str>,
    /// `preemptive`, `cooperative`; null where it cannot be read.
    pub mode: Option<&'static str>,
    /// The state word; null where it cannot be read.
    pub state: Option<u32>,
    /// The state word's bits in words.
    pub states: Vec<String>,
    /// Locks that it holds; null where not all are known, since the dump has no heap.
    pub lock_count: Option<usize>,
    /// The exception that it threw last: null where it has thrown none, or that cannot be read.
    pub last_exception: Option<LastException>,
}

/// The exception that a thread threw last.
#[derive(Serialize, JsonSchema)]
pub struct LastException {
    /// The object.
    pub address: Addr,
    /// Its type; null where that cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let list = super::with(session, job, |runtime| runtime.threads(job))?;
    let locks = session.all_locks(job)?;
    let has_heap = super::with(session, job, |runtime| runtime.has_objects(job))?;
    let mut counts: FxHashMap<Tid, usize> = FxHashMap::default();
    for holder in locks.locks.iter().flat_map(|lock| lock.holders().into_iter().collect::<FxHashSet<Tid>>()) {
        let count = counts.entry(holder).or_default();
        *count = count.saturating_add(1);
    }
    let held = |thread: &ManagedThread| {
        let tid = thread.tid.clone().ok()?;
        has_heap.then(|| tid.and_then(|tid| counts.get(&tid)).copied().unwrap_or(0))
    };
    let threads = list.threads.iter().map(|thread| told(thread, held(thread))).collect();
    let data = ClrThreads { count: list.count.clone().ok(), threads };
    Ok(Box::new(Answered { data, problems: problems(&list) }))
}

fn told(thread: &ManagedThread, lock_count: Option<usize>) -> ClrThread {
    let state = thread.state.clone().ok();
    let role = match () {
        () if thread.finalizer => Some("finalizer"),
        () if thread.collecting => Some("gc"),
        () if state.is_some_and(is_pool_worker) => Some("pool-worker"),
        () => None,
    };
    let mode = |preemptive: bool| if preemptive { "preemptive" } else { "cooperative" };
    ClrThread {
        id: thread.id.clone().ok(),
        tid: thread.tid.clone().ok().flatten(),
        address: thread.address,
        name: thread.name.clone().ok().flatten(),
        role,
        mode: thread.preemptive.clone().ok().map(mode),
        state,
        states: state.map(words).unwrap_or_default(),
        lock_count,
        last_exception: thread
            .last_exception
            .clone()
            .ok()
            .flatten()
            .map(|thrown| LastException { address: thrown.address, type_name: thrown.type_name.ok() }),
    }
}

/// What is missing: the end of the list, and what could not be read of threads, each kind once.
fn problems(list: &ManagedThreads) -> Vec<Problem> {
    let mut problems = Vec::new();
    let told = list.threads.len() as u64;
    if let Some(gap) = &list.cut {
        problems.push(Problem::new("threads-missing", Subject::Capture, format!("managed threads are missing: {gap}")));
    } else if let Ok(count) = list.count
        && u64::from(count) != told
    {
        let message = format!(
            "the runtime counts {count} threads, and its list has {told}: it was changed meanwhile, or is damaged"
        );
        problems.push(Problem::new("threads-missing", Subject::Capture, message));
    }
    let mut unread = |what: &str, gaps: &mut dyn Iterator<Item = String>| {
        if let Some(first) = gaps.next() {
            let count = gaps.count().saturating_add(1);
            let message = format!("{what} of {count} managed threads cannot be read: {first}");
            problems.push(Problem::new("thread-unread", Subject::Capture, message));
        }
    };
    fn gaps<'l, T>(
        list: &'l ManagedThreads,
        part: impl Fn(&ManagedThread) -> &Known<T> + 'l,
    ) -> impl Iterator<Item = String> + 'l {
        list.threads.iter().filter_map(move |thread| part(thread).as_ref().err().map(ToString::to_string))
    }
    unread("the names", &mut gaps(list, |thread| &thread.name));
    unread("the states", &mut gaps(list, |thread| &thread.state));
    unread("the last exceptions", &mut gaps(list, |thread| &thread.last_exception));
    problems
}

impl Draw for ClrThreads {
    fn draw(&self) -> Section {
        if self.threads.is_empty() {
            let said = Row::text("No managed threads could be read.");
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let columns = vec![
            Column::right("ID"),
            Column::right("Tid"),
            Column::wide("Name", 2).enough(12),
            Column::left("Role").rank(3),
            Column::left("Mode").rank(4),
            Column::right("Locks").rank(2),
            Column::wide("Last exception", 2).rank(1),
            Column::wide("State", 3).rank(3).enough(24),
        ];
        let rows = self.threads.iter().map(row).collect();
        Section { bodies: vec![Body::Table(Table::new(columns, rows))], ..Section::default() }
    }
}

fn row(thread: &ClrThread) -> Row {
    let unread = || Cell::unknown("it cannot be read");
    let exception = thread.last_exception.as_ref().map_or(Cell::NONE, |exception| match &exception.type_name {
        Some(name) => Cell::new(Value::Type(name.as_str().into())).tone(Tone::Bad),
        None => Cell::new(Value::Addr(exception.address)),
    });
    let cells = vec![
        thread.id.map_or_else(unread, |id| Cell::new(Value::Count(id.into()))),
        thread.tid.map_or(Cell::NONE, |tid| Cell::new(Value::Tid(tid)).tone(Tone::Link)),
        thread.name.as_deref().map_or(Cell::NONE, |name| Cell::text(name).tone(Tone::Strong)),
        Cell::text_or_none(thread.role),
        thread.mode.map_or_else(unread, Cell::text),
        // Why stands in 'locks': it would make a narrow column the widest.
        thread
            .lock_count
            .map_or_else(|| Cell::text("?").tone(Tone::Guess), |count| Cell::new(Value::Count(count as u64))),
        exception,
        if thread.state.is_some() { Cell::text(thread.states.join(", ")) } else { unread() },
    ];
    match thread.tid {
        Some(tid) => Row::about(Subject::Thread(tid), cells),
        None => Row::new(cells),
    }
}
