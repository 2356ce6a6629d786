//! `ps`: the processes of this machine, what runs in each, and why some may not be dumped. It asks no dump: the command line, and a picker,
//! draw it from [`crate::processes::list`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::shape::Shape;
use super::{Answered, Draw};
use crate::model::{Partial, RuntimeKind, Tid};
use crate::processes::{Process, Reason};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::shape;

/// The command's name in the envelope and in the schema.
pub const NAME: &str = "ps";
/// The shape of its data.
pub const SHAPE: Shape = shape!(Processes);

/// The processes.
#[derive(Serialize, JsonSchema)]
pub struct Processes {
    /// In the order asked for.
    pub processes: Vec<Process>,
    /// How many of those that are not listed may not be dumped, by the first reason.
    pub hidden: BTreeMap<Reason, u64>,
}

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Most resident memory first.
    #[default]
    Rss,
    /// Smallest id first.
    Pid,
    /// Youngest first.
    Age,
    /// Most threads first.
    Threads,
    /// By name.
    Name,
}

/// The answer: those that may be dumped, or `all`.
pub fn answer(found: Partial<Vec<Process>>, all: bool, order: Order) -> Answered<Processes> {
    let (mut processes, others): (Vec<Process>, Vec<Process>) =
        found.value.into_iter().partition(|process| all || process.dumpable);
    let mut hidden: BTreeMap<Reason, u64> = BTreeMap::new();
    for refusal in others.iter().filter_map(|process| process.refusals.first()) {
        let count = hidden.entry(refusal.reason).or_default();
        *count = count.saturating_add(1);
    }
    match order {
        Order::Rss => processes.sort_by_key(|process| std::cmp::Reverse(process.rss_bytes)),
        Order::Pid => processes.sort_by_key(|process| process.pid),
        Order::Age => processes.sort_by_key(|process| std::cmp::Reverse(process.start_ticks)),
        Order::Threads => processes.sort_by_key(|process| std::cmp::Reverse(process.threads)),
        Order::Name => processes.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    Answered { data: Processes { processes, hidden }, problems: found.problems }
}

impl Draw for Processes {
    fn draw(&self) -> Section {
        let refused = self.processes.iter().any(|process| !process.dumpable);
        let contained =
            self.processes.iter().any(|process| process.container.is_some() || process.namespace_pid.is_some());
        let mut columns = vec![
            Column::right("Pid"),
            Column::left("Name"),
            Column::left("Runtime").rank(3),
            Column::right("Threads").rank(4),
            Column::right("RSS").rank(3),
            Column::right("Age").rank(4),
            Column::left("User").rank(4),
        ];
        columns.extend(contained.then(|| Column::left("Container").rank(3)));
        columns.extend(refused.then(|| Column::left("Why not")));
        columns.push(Column::wide("Command line", 1).rank(1).min(24).enough(30));
        let rows = self.processes.iter().map(|process| row(process, contained, refused)).collect();
        let mut bodies = vec![Body::Table(Table::new(columns, rows))];
        let legend = self.legend();
        if !legend.is_empty() {
            bodies.push(Body::Heading("May not be dumped".to_owned()));
            bodies.push(Body::Lines(legend));
        }
        Section { bodies, ..Section::default() }
    }
}

impl Processes {
    /// Each reason once: how many processes, what it means, what to change.
    fn legend(&self) -> Vec<Row> {
        let mut counts = self.hidden.clone();
        for refusal in self.processes.iter().flat_map(|process| &process.refusals) {
            let count = counts.entry(refusal.reason).or_default();
            *count = count.saturating_add(1);
        }
        let mut lines: Vec<Row> = Vec::new();
        for (reason, count) in counts {
            lines.push(Row::new(vec![
                Cell::new(Value::Count(count)).tone(Tone::Strong),
                Cell::text(reason.word()).tone(Tone::Guess),
                Cell::text(":"),
                Cell::text(reason.meaning()),
            ]));
            lines.extend(
                reason.remedy().map(|remedy| Row::new(vec![Cell::text("   "), Cell::text(remedy).tone(Tone::Dim)])),
            );
        }
        if !self.hidden.is_empty() {
            lines.push(Row::text("--all lists them, each with its own reasons in --json"));
        }
        lines
    }
}

fn row(process: &Process, contained: bool, refused: bool) -> Row {
    let mut cells = vec![
        Cell::new(Value::Tid(Tid(process.pid))),
        name(process),
        runtime(process),
        count(process.threads, Value::Count),
        process.rss_bytes.map_or(Cell::NONE, |bytes| Cell::new(Value::Bytes(bytes))),
        count(process.age_seconds, Value::Seconds),
        match (&process.user, process.uid) {
            (Some(user), _) => Cell::text(user.as_str()),
            (None, Some(uid)) => Cell::text(uid.to_string()),
            (None, None) => Cell::unknown("unreadable"),
        },
    ];
    if contained {
        cells.push(container(process));
    }
    if refused {
        let reasons: Vec<&str> = process.refusals.iter().map(|refusal| refusal.reason.word()).collect();
        cells.push(Cell::text(reasons.join(", ")).tone(Tone::Guess));
    }
    let line = process.command_line.as_ref().map(|arguments| arguments.join(" "));
    cells.push(Cell::text_or_none(line));
    Row::new(cells)
}

/// The kernel's name for it; our own process is marked.
fn name(process: &Process) -> Cell {
    let cell = if process.pid == std::process::id() {
        Cell::text(format!("{} (this one)", process.name))
    } else {
        Cell::text(process.name.as_str())
    };
    cell.tone(Tone::Strong)
}

fn count(number: Option<u64>, value: fn(u64) -> Value) -> Cell {
    number.map_or_else(|| Cell::unknown("unreadable"), |number| Cell::new(value(number)))
}

/// `.NET 9.0.22`, `JVM 17.0.15 + Python 3.11`.
fn runtime(process: &Process) -> Cell {
    let words = |runtime: &crate::processes::Runtime| match &runtime.version {
        Some(version) => format!("{} {version}", runtime.kind.words()),
        None => runtime.kind.words().to_owned(),
    };
    let cell = Cell::text(process.runtimes.iter().map(words).collect::<Vec<_>>().join(" + "));
    match process.runtimes.first().map(|runtime| runtime.kind) {
        Some(RuntimeKind::Native) => cell.tone(Tone::Dim),
        Some(RuntimeKind::Unknown) => cell.tone(Tone::Guess),
        _ => cell,
    }
}

/// The engine and the id's first 12 digits, as the engines themselves shorten it; the pid inside, where it is another.
fn container(process: &Process) -> Cell {
    let mut words = Vec::new();
    if let Some(container) = &process.container {
        words.push(container.engine.words().to_owned());
        words.push(container.id.chars().take(12).collect());
    }
    words.extend(process.namespace_pid.map(|pid| format!("pid {pid}")));
    Cell::text(words.join(" "))
}
