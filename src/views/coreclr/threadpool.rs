//! `threadpool`: how many threads the pool has and may have, and how much is queued.

use schemars::JsonSchema;
use serde::Serialize;

use super::with;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Known, Problem, Subject};
use crate::report::section::{Body, Cell, Row, Section, Value};
use crate::session::Session;
use crate::session::coreclr::ThreadPool;
use crate::shape;
use crate::views::{Answered, Answers, Arg, Draw, Needs, Query, View};

const ITEMS: &str = "'threadpoolqueue' lists what is queued";

/// The view.
pub const VIEW: View = View {
    name: "threadpool",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Refused("wi", ITEMS),
        Arg::Refused("stat", ITEMS),
        Arg::Refused("summary", ITEMS),
        Arg::Refused("hc", "the log of how the number of threads was chosen is not read"),
        Arg::Refused("ti", "the log of how the number of threads was chosen is not read"),
    ],
    pane: None,
    doc: "The thread pool: threads that it has and may have, those that work and block, how much is queued",
    help: "Threads that block are those that have told the pool so, which .NET's own waits for tasks do.

$ dumpscope shop.core -c threadpool
Processors in use  0%
Threads            3
  working          3
  idle             0
  blocked          0
  at least         2
  at most          3
  wanted           3
Queued             9",
    build,
    schema: shape!(ThreadPoolRow),
};

/// The pool.
#[derive(Serialize, JsonSchema)]
pub struct ThreadPoolRow {
    /// Share of the processors in use, in percent, as the pool measured it last; null where it cannot be read.
    pub processors: Option<u32>,
    /// Threads that it has.
    pub threads: u16,
    /// Those that work.
    pub working: u16,
    /// Those that do not.
    pub idle: u16,
    /// Threads that have said that they block; null where it cannot be read.
    pub blocked: Option<u16>,
    /// Threads that it keeps at least.
    pub least: u16,
    /// Threads that it may have at most.
    pub most: u16,
    /// Threads that it would like to have.
    pub goal: u16,
    /// Pieces of work that are queued, as far as they could be read; null where none could be.
    pub queued: Option<usize>,
    /// Whether those are all.
    pub complete: bool,
}

fn build(session: &Session, _: &Query, job: &Job) -> Answers {
    let pool = with(session, job, |runtime| pool_of(runtime.thread_pool(job)?))?;
    let problems = unread(&pool);
    let data = ThreadPoolRow {
        processors: pool.processors.ok(),
        threads: pool.threads,
        working: pool.working,
        idle: pool.threads.saturating_sub(pool.working),
        blocked: pool.blocked.ok(),
        least: pool.least,
        most: pool.most,
        goal: pool.goal,
        queued: Some(pool.queued.len()).filter(|count| *count > 0 || pool.unread.is_none()),
        complete: pool.unread.is_none(),
    };
    Ok(Box::new(Answered { data, problems }))
}

/// That its queue could not be read to its end.
pub(super) fn unread(pool: &ThreadPool) -> Vec<Problem> {
    let problem = |gap| {
        let message = format!("the queues of the thread pool cannot be read to their ends: {gap}");
        Problem::new("queue-unread", Subject::Capture, message)
    };
    pool.unread.iter().map(problem).collect()
}

/// The pool, or why there is none.
pub(super) fn pool_of(pool: Known<Option<ThreadPool>>) -> Result<ThreadPool, Error> {
    match pool {
        Ok(Some(pool)) => Ok(pool),
        Ok(None) => Err(Error::Failed("the program has not used the thread pool".to_owned())),
        Err(gap) => Err(Error::Failed(format!("the thread pool cannot be read: {gap}"))),
    }
}

impl Draw for ThreadPoolRow {
    fn draw(&self) -> Section {
        let count = |count: u64| Cell::new(Value::Count(count));
        let known = |number: Option<u64>| number.map_or_else(|| Cell::unknown("it cannot be read"), count);
        let processors = match self.processors {
            Some(percent) => Cell::new(Value::Percent(percent.saturating_mul(10))),
            None => Cell::unknown("it cannot be read"),
        };
        let fields = [
            ("Processors in use", processors),
            ("Threads", count(self.threads.into())),
            ("  working", count(self.working.into())),
            ("  idle", count(self.idle.into())),
            ("  blocked", known(self.blocked.map(u64::from))),
            ("  at least", count(self.least.into())),
            ("  at most", count(self.most.into())),
            ("  wanted", count(self.goal.into())),
            (if self.complete { "Queued" } else { "Queued, at least" }, known(self.queued.map(|queued| queued as u64))),
        ];
        let fields = fields.map(|(label, cell)| (label.to_owned(), Row::new(vec![cell]))).to_vec();
        Section { bodies: vec![Body::Fields(fields)], ..Section::default() }
    }
}
