//! `dumprequests`: what ASP.NET Core's server is at, and who serves it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{cell, with, with_scene};
use crate::job::Job;
use crate::model::{Addr, Evidence, Known, Problem, Subject, Tid};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::{AsyncStack, Request, Stage};
use crate::shape;
use crate::views::arguments::Arg;
use crate::views::threads::waits_for;
use crate::views::{Answered, Answers, Draw, Needs, OptionalPane, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumprequests",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[Arg::Flag("all", "also connections that wait for a request")],
    pane: Some("Requests"),
    doc: "HTTP requests that ASP.NET Core is serving: path, endpoint, age, client, and who serves each",
    help: "Oldest first. A request that a thread runs at the moment shows the thread and what that waits for; one that awaits \
           something shows what that is in the end: 'dumpasync' has the methods between. The age ends with the server's last look at its clock, which it takes \
           once a second; it is known where the host traces requests, as it does unless all logging is off. That a thread runs it is inferred: a frame of \
           the server on its stack refers to the connection.

$ dumpscope web.core -c dumprequests
   Age  Method  Path     Endpoint           State               Tid  Waits for                   Client           Object
  3.0s  GET     /ledger  HTTP: GET /ledger  in the application  511  Monitor Shop.Orders.Ledger  127.0.0.1:40644  0x7fa55c9c5b58",
    build,
    schema: shape!(Requests),
};

/// Its pane: a program that has no server has none.
pub const PANE: OptionalPane = OptionalPane {
    view: "dumprequests",
    is_empty: |session, job| with(session, job, |runtime| Ok(runtime.may_serve())).is_ok_and(|may| !may),
};

/// The server's requests.
#[derive(Serialize, JsonSchema)]
pub struct Requests {
    /// The oldest first.
    pub requests: Vec<RequestRow>,
    /// Connections that wait for a request.
    pub idle: u64,
    /// Whether all of the heap could be read: else there are at least these.
    pub complete: bool,
}

/// A request.
#[derive(Serialize, JsonSchema)]
pub struct RequestRow {
    /// The object of its connection's protocol.
    pub address: Addr,
    /// `HTTP/1.1`, `HTTP/2`, `HTTP/3`.
    pub protocol: &'static str,
    /// `GET`; null where it is not known.
    pub method: Option<&'static str>,
    /// The path, decoded; null where it is not known.
    pub path: Option<String>,
    /// What follows it, with its question mark; null where there is none.
    pub query: Option<String>,
    /// What serves it, as its route is called; null where none was chosen.
    pub endpoint: Option<String>,
    /// The client's address and port; null where it is not known.
    pub remote: Option<String>,
    /// Milliseconds since it began; null where that is not recorded.
    pub age_ms: Option<u64>,
    /// How far it has come, in words; null where that cannot be read.
    pub state: Option<&'static str>,
    /// The status of its answer as it is set so far; null where it cannot be read.
    pub status: Option<u32>,
    /// The connection's id in the server's log; null where it is not known.
    pub connection: Option<String>,
    /// The trace that it belongs to; null where it belongs to none.
    pub trace: Option<String>,
    /// The thread that runs it; null where none does.
    pub tid: Option<Tid>,
    /// What that is told by; null where no thread runs it.
    pub evidence: Option<Evidence>,
    /// That thread's name; null where it has none.
    pub thread: Option<String>,
    /// What that thread waits for, in words; null where it runs.
    pub waits_for: Option<String>,
    /// Where no thread runs it: the stack of methods that await something for it, as an index into what 'dumpasync' lists; null where there is none.
    pub stack: Option<usize>,
    /// What that stack awaits in the end, in words.
    pub awaits: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    let found = with_scene(session, job, |runtime, scene| runtime.requests(scene, job))?;
    let pending = with(session, job, |runtime| runtime.pending(job))?;
    let listed: Vec<&AsyncStack> = pending.listed().collect();
    let threads = session.threads(job)?;
    let known = |tid: Tid| threads.value.iter().find(|thread| thread.tid == tid);
    let row = |request: &Request| {
        let thread = request.tid.and_then(known);
        let waiting = thread.and_then(|thread| thread.waiting_on.as_ref());
        RequestRow {
            address: request.address,
            protocol: request.protocol,
            method: told(&request.method),
            path: told(&request.path),
            query: told(&request.query),
            endpoint: told(&request.endpoint),
            remote: told(&request.remote),
            age_ms: request.age_ms.clone().ok(),
            state: request.stage.clone().ok().map(Stage::words),
            status: request.status.clone().ok(),
            connection: told(&request.connection),
            trace: told(&request.trace),
            tid: request.tid,
            evidence: request.tid.map(|_| Evidence::STACK_SCAN),
            thread: thread.and_then(|thread| thread.name.clone()),
            waits_for: waiting.map(waits_for),
            stack: request.stack,
            awaits: request.stack.and_then(|index| listed.get(index)).map(|stack| stack.awaits.words()),
        }
    };
    let idle = found.all.iter().filter(|request| request.is_idle()).count() as u64;
    let shown = found.all.iter().filter(|request| query.flag("all") || !request.is_idle());
    let mut requests: Vec<RequestRow> = shown.map(row).collect();
    requests.sort_by_key(|request| std::cmp::Reverse(request.age_ms));
    let problem = |words: &String| Problem::new("request-unread", Subject::Capture, words.clone());
    let problems = found.unread.iter().map(problem).chain(problems(&found.all)).collect();
    let complete = found.unread.is_empty();
    Ok(Box::new(Answered { data: Requests { requests, idle, complete }, problems }))
}

fn told<T: Clone>(known: &Known<Option<T>>) -> Option<T> {
    known.clone().ok().flatten()
}

/// What could not be read of requests, each kind once.
fn problems(all: &[Request]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut unread = |what: &str, gaps: Vec<String>| {
        if let Some(first) = gaps.first() {
            let message = format!("{what} of {} requests cannot be told: {first}", gaps.len());
            problems.push(Problem::new("request-unread", Subject::Capture, message));
        }
    };
    let served = || all.iter().filter(|request| !matches!(request.stage, Ok(Stage::Idle)));
    unread("the age", served().filter_map(|request| request.age_ms.as_ref().err().map(ToString::to_string)).collect());
    unread(
        "the stage",
        all.iter().filter_map(|request| request.stage.as_ref().err().map(ToString::to_string)).collect(),
    );
    unread("the path", served().filter_map(|request| request.path.as_ref().err().map(ToString::to_string)).collect());
    problems
}

impl Draw for Requests {
    fn draw(&self) -> Section {
        if self.requests.is_empty() {
            let none =
                if self.complete { "No request is in flight" } else { "No request was found in what could be read" };
            let idle = match self.idle {
                0 => format!("{none}."),
                1 => format!("{none}; 1 connection waits for one."),
                count => format!("{none}; {count} connections wait for one."),
            };
            return Section { bodies: vec![Body::Lines(vec![Row::text(idle)])], ..Section::default() };
        }
        let columns = vec![
            Column::right("Age"),
            Column::left("Method"),
            Column::wide("Path", 3).enough(16),
            Column::wide("Endpoint", 2).rank(2),
            Column::left("State").rank(1),
            Column::right("Tid"),
            Column::wide("Waits for", 2).rank(1),
            Column::rigid("Client").rank(4),
            Column::rigid("Object").rank(3),
        ];
        let rows = self.requests.iter().map(row).collect();
        let mut bodies = vec![Body::Table(Table::new(columns, rows))];
        if !self.complete {
            bodies.push(Body::Lines(vec![Row::text("There may be more: not all of the heap could be read.")]));
        }
        if self.idle > 0 {
            let waiting = format!("{} connections wait for a request.", self.idle);
            bodies.push(Body::Lines(vec![Row::text(waiting)]));
        }
        Section { bodies, ..Section::default() }
    }
}

fn row(request: &RequestRow) -> Row {
    let path = request.path.as_ref().map(|path| format!("{path}{}", request.query.as_deref().unwrap_or("")));
    let cells = vec![
        request.age_ms.map_or_else(|| Cell::unknown("not recorded"), |age| Cell::new(Value::Millis(age))),
        cell(request.method),
        path.map_or(Cell::NONE, |path| Cell::text(path).tone(Tone::Strong)),
        cell(request.endpoint.as_deref()),
        request.state.map_or_else(|| Cell::unknown("it cannot be read"), Cell::text),
        request.tid.map_or(Cell::NONE, |tid| Cell::new(Value::Tid(tid)).tone(Tone::Guess)),
        cell(request.waits_for.as_deref().or(request.awaits.as_deref())),
        cell(request.remote.as_deref()),
        Cell::new(Value::Object(request.address)).tone(Tone::Dim),
    ];
    let about = request.tid.map_or(Subject::Object(request.address), Subject::Thread);
    Row::about(about, cells)
}
