//! `moved`: over the captures of a live process, which threads moved and how long the others have been where they are.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Draw, Needs, Query, View, threads};
use crate::analysis::motion::{Motion, Moved};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Subject, Thread, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "moved",
    aliases: &[Alias::of("motion")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: None,
    doc: "Of a live process: which threads moved since the capture before, and how long the others are where they are",
    help: "'refresh' (r) captures the process again. A thread stayed when its whole stack is the same, address for address: \
           for one that waits for work that is as it should be, for one in a loop or behind a lock it tells since when it is \
           stuck.\n\n  #   Tid  Thread  Since   Captures  Waits for      In\n  0  4711  main    moved             read fd 7      \
           main\n  1  4719  worker  12.4 s         3  mutex g_stock  reserve",
    build,
    schema: shape!(Captures),
};

/// What the captures say.
#[derive(Serialize, JsonSchema)]
pub struct Captures {
    /// How many there are.
    pub captures: usize,
    /// Threads of the last one, in its order.
    pub threads: Vec<MovedThread>,
    /// Threads of the one before that are gone.
    pub ended: Vec<Tid>,
}

/// A thread.
#[derive(Serialize, JsonSchema)]
pub struct MovedThread {
    /// Whether it moved.
    #[serde(flatten)]
    pub motion: Motion,
    /// Its name; null when there is none.
    pub name: Option<String>,
    /// The innermost function of the program's own code.
    pub top: Option<String>,
    #[serde(skip)]
    thread: Option<Thread>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let history = session.history().ok_or_else(|| {
        Error::Failed(
            "a dump holds one moment; captures of a live process are compared: dumpscope live -p PID".to_owned(),
        )
    })?;
    let known = session.threads(job)?;
    let threads = history.threads.iter().map(|motion| {
        let thread = known.value.iter().find(|thread| thread.tid == motion.tid).cloned();
        MovedThread {
            motion: motion.clone(),
            name: thread.as_ref().and_then(|thread| thread.name.clone()),
            top: thread.as_ref().and_then(|thread| thread.top.clone()),
            thread,
        }
    });
    let data = Captures { captures: history.captures, threads: threads.collect(), ended: history.ended.clone() };
    Ok(Box::new(Answered { data, problems: known.problems.clone() }))
}

impl Draw for Captures {
    fn draw(&self) -> Section {
        let mut bodies = Vec::new();
        if self.captures < 2 {
            let cells =
                vec![Cell::text("one capture so far; 'refresh' (r) takes another to compare with").tone(Tone::Dim)];
            bodies.push(Body::Lines(vec![Row::new(cells)]));
        }
        let columns = vec![
            Column::right("#"),
            Column::right("Tid"),
            Column::wide("Thread", 2),
            Column::left("Since").rank(1),
            Column::right("Captures").rank(3),
            Column::wide("Waits for", 3).min(20),
            Column::wide("In", 3).min(12),
        ];
        let rows: Vec<Row> = self.threads.iter().map(row).collect();
        bodies.push(Body::Table(Table::new(columns, rows)));
        if !self.ended.is_empty() {
            let cells =
                vec![Cell::text("ended:").tone(Tone::Dim), Cell::new(Value::Tids(self.ended.as_slice().into()))];
            bodies.push(Body::Lines(vec![Row::new(cells)]));
        }
        Section { bodies, ..Section::default() }
    }
}

fn row(moved: &MovedThread) -> Row {
    let motion = &moved.motion;
    let since = match motion.moved {
        Moved::New => Cell::text("new").tone(Tone::Dim),
        Moved::Moved => Cell::text("moved"),
        Moved::Stayed => Cell::new(Value::Millis(motion.still_ms)).tone(Tone::Strong),
    };
    let cells = match &moved.thread {
        Some(thread) => threads::row(thread).cells,
        None => vec![Cell::NONE; 6],
    };
    // `threads` has the state where the time stands here: a live thread that stays is known by what it waits for.
    let mut cells: Vec<Cell> =
        cells.into_iter().enumerate().map(|(at, cell)| if at == 3 { since.clone() } else { cell }).collect();
    let captures = matches!(motion.moved, Moved::Stayed).then(|| Cell::new(Value::Count(motion.captures as u64)));
    cells.insert(4, captures.unwrap_or(Cell::NONE));
    Row::about(Subject::Thread(motion.tid), cells)
}
