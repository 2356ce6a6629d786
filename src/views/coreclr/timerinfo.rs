//! `timerinfo`: timers that run.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::RunningTimer;
use crate::shape;
use crate::views::{Alias, Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "timerinfo",
    aliases: &[Alias::of("ti")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "Timers that run: when each is due, how often it calls, what, and with which object",
    help: "Times are as the timer was set: how much of them has passed is not told.

$ dumpscope shop.core -c timerinfo
Timer           List   Due ms     Every ms  State           Type                                       Function
0x7f8f1d818fc0  long   3,600,000  3,600,000  0x7f9af420d710  System.String                             Museum.Program+<>c.<Pool>b__17_0
0x7f8f1fc179e8  long   259,200,000          0x7f8f1fc179a0  System.Threading.Tasks.Task+DelayPromise
…",
    build,
    schema: shape!(Timers),
};

/// Timers.
#[derive(Serialize, JsonSchema)]
pub struct Timers {
    /// Those that run.
    pub timers: Vec<TimerRow>,
    /// Whether those are all.
    pub complete: bool,
}

/// A timer.
#[derive(Serialize, JsonSchema)]
pub struct TimerRow {
    /// The object that the runtime keeps of it.
    pub address: Addr,
    /// The list that it is in: `short`: due within a third of a second, or `long`.
    pub list: &'static str,
    /// Milliseconds from when it was set; null where it is not due.
    pub due_ms: Option<u32>,
    /// Milliseconds between calls; null for one that calls once.
    pub period_ms: Option<u32>,
    /// What it passes on; null where that is nothing.
    pub state: Option<Addr>,
    /// The class of that; null where there is nothing, or it cannot be read.
    pub state_type: Option<String>,
    /// What it calls; null where that cannot be told.
    pub function: Option<String>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let timers = with(session, job, |runtime| {
        runtime.timers(job)?.map_err(|gap| Error::Failed(format!("the timers cannot be read: {gap}")))
    })?;
    let problem = |gap| {
        let message = format!("not all timers can be read: {gap}");
        Problem::new("timer-unread", Subject::Capture, message)
    };
    let problems: Vec<Problem> = timers.unread.iter().map(problem).collect();
    let data = Timers { timers: timers.all.into_iter().map(row).collect(), complete: timers.unread.is_none() };
    Ok(Box::new(Answered { data, problems }))
}

fn row(timer: RunningTimer) -> TimerRow {
    TimerRow {
        address: timer.at,
        list: if timer.is_short { "short" } else { "long" },
        due_ms: timer.due_ms,
        period_ms: timer.period_ms,
        state: Some(timer.state).filter(|state| state.0 != 0),
        state_type: timer.state_type,
        function: timer.function,
    }
}

impl Draw for Timers {
    fn draw(&self) -> Section {
        if self.timers.is_empty() {
            let said = if self.complete { "No timer runs." } else { "The timers that run could not be read." };
            return Section { bodies: vec![Body::Lines(vec![Row::text(said)])], ..Section::default() };
        }
        let columns = vec![
            Column::left("Timer").rank(4),
            Column::left("List").rank(4),
            Column::right("Due ms"),
            Column::right("Every ms"),
            Column::left("State").rank(3),
            Column::wide("Type", 2).rank(3),
            Column::wide("Function", 3).rank(1),
        ];
        let row = |timer: &TimerRow| {
            let time = |time: Option<u32>| time.map_or(Cell::NONE, |time| Cell::new(Value::Count(time.into())));
            let object = |at: Addr| Cell::new(Value::Object(at)).tone(Tone::Dim);
            let function = timer.function.as_deref().map(|name| Cell::new(Value::Function(name.into())));
            let cells = vec![
                object(timer.address),
                Cell::text(timer.list),
                time(timer.due_ms),
                time(timer.period_ms),
                timer.state.map_or(Cell::NONE, object),
                timer.state_type.as_deref().map_or(Cell::NONE, |name| Cell::new(Value::Type(name.into()))),
                function.unwrap_or(Cell::NONE),
            ];
            Row::about(Subject::Object(timer.state.unwrap_or(timer.address)), cells)
        };
        let rows = self.timers.iter().map(row).collect();
        Section { bodies: vec![Body::Table(Table::new(columns, rows))], ..Section::default() }
    }
}
