//! `threadpoolqueue`: what is queued for the thread pool.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::threadpool::{pool_of, unread};
use super::with;
use crate::job::Job;
use crate::model::{Addr, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::{Queued, Work};
use crate::shape;
use crate::views::{Alias, Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "threadpoolqueue",
    aliases: &[Alias::of("tpq")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "What is queued for the thread pool, in the order of its queues, and how many of each function",
    help: "`task` is a task's own code, `method` an asynchronous method that goes on, `work` a callback. Items of a thread's own queue are \
           `local`.

$ dumpscope shop.core -c threadpoolqueue
Object          Queue   Kind  Function
0x7f8f1d818998  global  task  Museum.Program+<>c__DisplayClass17_0.<Pool>b__2()
0x7f8f1d818a68  global  work  Museum.Program.Blocked(System.Object)
…",
    build,
    schema: shape!(WorkQueue),
};

/// What is queued.
#[derive(Serialize, JsonSchema)]
pub struct WorkQueue {
    /// Each piece of work, what is taken first before the others of its queue.
    pub items: Vec<WorkRow>,
    /// How many of each function, most first.
    pub functions: Vec<FunctionCount>,
    /// Whether that is all.
    pub complete: bool,
}

/// A piece of work.
#[derive(Serialize, JsonSchema)]
pub struct WorkRow {
    /// The object.
    pub address: Addr,
    /// `high priority`, `global`, `local`, `low priority`.
    pub queue: &'static str,
    /// `task`, `method`, `work`, `other`; null where the object cannot be read.
    pub kind: Option<&'static str>,
    /// The object's class; null where it cannot be read.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// What it would run; null where that cannot be told.
    pub function: Option<String>,
}

/// How often a function is queued.
#[derive(Serialize, JsonSchema)]
pub struct FunctionCount {
    /// How often.
    pub count: u64,
    /// As that of a piece of work; null where its object cannot be read.
    pub kind: Option<&'static str>,
    /// The function, else the object's class; null where neither can be told.
    pub function: Option<String>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let (data, problems) = with(session, job, |runtime| {
        let pool = pool_of(runtime.thread_pool(job)?)?;
        let works = runtime.works(&pool.queued, job)?;
        let items: Vec<WorkRow> = pool.queued.iter().zip(works).map(|(item, work)| row(item, work.ok())).collect();
        Ok((WorkQueue { functions: counted(&items), items, complete: pool.unread.is_none() }, unread(&pool)))
    })?;
    Ok(Box::new(Answered { data, problems }))
}

fn row(item: &Queued, work: Option<Work>) -> WorkRow {
    WorkRow {
        address: item.at,
        queue: item.queue.words(),
        kind: work.as_ref().map(|work| work.kind),
        type_name: work.as_ref().and_then(|work| work.type_name.clone()),
        function: work.and_then(|work| work.function),
    }
}

fn counted(items: &[WorkRow]) -> Vec<FunctionCount> {
    let mut counts: BTreeMap<(Option<&'static str>, Option<&str>), u64> = BTreeMap::new();
    for item in items {
        let function = item.function.as_deref().or(item.type_name.as_deref());
        let count = counts.entry((item.kind, function)).or_default();
        *count = count.saturating_add(1);
    }
    let row = |((kind, function), count): ((Option<&'static str>, Option<&str>), u64)| FunctionCount {
        count,
        kind,
        function: function.map(str::to_owned),
    };
    let mut rows: Vec<FunctionCount> = counts.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    rows
}

impl Draw for WorkQueue {
    fn draw(&self) -> Section {
        if self.items.is_empty() {
            let said = if self.complete { "Nothing is queued." } else { "What is queued could not be read." };
            let said = Row::text(said);
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let columns = vec![
            Column::left("Object").rank(3),
            Column::left("Queue").rank(3),
            Column::left("Kind"),
            Column::wide("Function", 3).rank(1),
        ];
        let row = |item: &WorkRow| {
            let address = Cell::new(Value::Object(item.address)).tone(Tone::Dim);
            let cells = vec![address, Cell::text(item.queue), kind(item.kind), called(&item.function, &item.type_name)];
            Row::about(Subject::Object(item.address), cells)
        };
        let items = Body::Table(Table::new(columns, self.items.iter().map(row).collect()));
        let columns = vec![Column::right("Count"), Column::left("Kind"), Column::wide("Function", 3).rank(1)];
        let row = |of: &FunctionCount| {
            Row::new(vec![Cell::new(Value::Count(of.count)), kind(of.kind), called(&of.function, &None)])
        };
        let functions = Body::Table(Table::new(columns, self.functions.iter().map(row).collect()));
        Section { bodies: vec![items, functions], ..Section::default() }
    }
}

fn kind(kind: Option<&'static str>) -> Cell {
    kind.map_or_else(|| Cell::unknown("the object cannot be read"), Cell::text)
}

fn called(function: &Option<String>, type_name: &Option<String>) -> Cell {
    match (function, type_name) {
        (Some(function), _) => Cell::new(Value::Function(function.as_str().into())),
        (None, Some(name)) => Cell::new(Value::Type(name.as_str().into())).tone(Tone::Dim),
        (None, None) => Cell::unknown("it cannot be told"),
    }
}
