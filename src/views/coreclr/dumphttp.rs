//! `dumphttp`: calls that the process makes over HTTP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{cell, with};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Problem, Subject};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone, Value};
use crate::session::Session;
use crate::session::coreclr::Call;
use crate::shape;
use crate::views::arguments::{Arg, Kind};
use crate::views::{Answered, Answers, Draw, Needs, Query, View};

/// The view.
pub const VIEW: View = View {
    name: "dumphttp",
    aliases: &[],
    needs: Needs::Process,
    home_of: &[],
    args: &[
        Arg::Flag("stats", "how many there are of each method, status and host"),
        Arg::Flag("pending", "those without an answer"),
        Arg::Flag("completed", "those with an answer"),
        Arg::Value("uri", Kind::Word, "those whose address holds this"),
        Arg::Value("statuscode", Kind::Count, "those whose answer has this status"),
    ],
    pane: None,
    doc: "HTTP calls of the process whose objects are on the heap, with the status of each answer",
    help: "A call without a status has no answer yet, or its answer was collected; one that a connection is at waits for it.

$ dumpscope shop.core -c dumphttp
Method  Status  Uri                                     Connection      Object
GET             http://127.0.0.1:41107/gallery?room=12  0x7f8f1fc26aa0  0x7f8f1fc265b8",
    build,
    schema: shape!(Calls),
};

/// The calls.
#[derive(Serialize, JsonSchema)]
pub struct Calls {
    /// By address.
    pub calls: Vec<CallRow>,
    /// How many there are of each method, status and host; null where that was not asked for.
    pub stats: Option<Vec<CallGroup>>,
    /// Whether all of the heap could be read: else there are at least these.
    pub complete: bool,
}

/// A call.
#[derive(Serialize, JsonSchema)]
pub struct CallRow {
    /// The `HttpRequestMessage`.
    pub address: Addr,
    /// Its method table.
    pub table: Addr,
    /// `GET`; null where it is not known.
    pub method: Option<String>,
    /// Where it goes to; null where it is not known.
    pub uri: Option<String>,
    /// The status of its answer; null where there is none, or it cannot be read.
    pub status: Option<u32>,
    /// The connection that is at it; null where none is, and where that cannot be read.
    pub connection: Option<Addr>,
    /// Why its answer is not known; null where it is, or there is none.
    pub unread: Option<String>,
}

/// Calls that have something in common.
#[derive(Serialize, JsonSchema)]
pub struct CallGroup {
    /// How many.
    pub count: u64,
    /// Their method.
    pub method: Option<String>,
    /// The status of their answers.
    pub status: Option<u32>,
    /// Scheme, host and port.
    pub host: Option<String>,
}

fn build(session: &Session, query: &Query, job: &Job) -> Answers {
    if query.flag("pending") && query.flag("completed") {
        return Err(Error::Usage("dumphttp: -pending and -completed exclude each other".to_owned()));
    }
    let found = with(session, job, |runtime| runtime.calls(job))?;
    let wanted = |call: &CallRow| {
        // One of which that is not known is neither.
        let is_known = call.unread.is_none();
        let by_answer = !(query.flag("pending") && !(is_known && call.status.is_none())
            || query.flag("completed") && !(is_known && call.status.is_some()));
        let by_uri = query.text("uri").is_none_or(|uri| call.uri.as_deref().is_some_and(|own| own.contains(uri)));
        let by_status = query.number("statuscode").is_none_or(|status| call.status.map(u64::from) == Some(status));
        by_answer && by_uri && by_status
    };
    let unknown = |what: &str, gaps: Vec<&Gap>| {
        gaps.first().map(|gap| format!("the {what} of {} calls are not known: {gap}", gaps.len()))
    };
    let answers = unknown("answers", found.all.iter().filter_map(|call| call.status.as_ref().err()).collect());
    let carriers = unknown("connections", found.all.iter().filter_map(|call| call.connection.as_ref().err()).collect());
    let problem = |words| Problem::new("call-unread", Subject::Capture, words);
    let problems: Vec<Problem> = found.unread.iter().cloned().chain(answers).chain(carriers).map(problem).collect();
    let calls: Vec<CallRow> = found.all.iter().map(told).filter(wanted).collect();
    let stats = query.flag("stats").then(|| groups(&calls));
    Ok(Box::new(Answered { data: Calls { calls, stats, complete: found.unread.is_empty() }, problems }))
}

fn told(call: &Call) -> CallRow {
    CallRow {
        address: call.address,
        table: call.table,
        method: call.method.clone().ok().flatten(),
        uri: call.uri.clone().ok().flatten(),
        status: call.status.clone().ok().flatten(),
        connection: call.connection.clone().ok().flatten(),
        unread: call.status.as_ref().err().map(ToString::to_string),
    }
}

/// Method, status and host.
type Key<'c> = (Option<&'c str>, Option<u32>, Option<&'c str>);

fn groups(calls: &[CallRow]) -> Vec<CallGroup> {
    let mut groups: BTreeMap<Key<'_>, u64> = BTreeMap::new();
    for call in calls {
        let key = (call.method.as_deref(), call.status, call.uri.as_deref().map(host));
        let count = groups.entry(key).or_default();
        *count = count.saturating_add(1);
    }
    let group = |((method, status, host), count): (Key<'_>, u64)| CallGroup {
        count,
        method: method.map(str::to_owned),
        status,
        host: host.map(str::to_owned),
    };
    let mut groups: Vec<CallGroup> = groups.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// `http://shop:8080` of `http://shop:8080/orders?page=2`.
fn host(uri: &str) -> &str {
    let start = uri.find("://").map_or(0, |at| at.saturating_add(3));
    let path = uri.get(start..).and_then(|rest| rest.find(['/', '?', '#'])).map(|at| at.saturating_add(start));
    uri.get(..path.unwrap_or(uri.len())).unwrap_or(uri)
}

impl Draw for Calls {
    fn draw(&self) -> Section {
        if self.calls.is_empty() {
            let said = if self.complete { "No HTTP calls." } else { "No HTTP calls in what could be read." };
            return Section { bodies: vec![Body::Lines(vec![Row::text(said)])], ..Section::default() };
        }
        let table = self.stats.as_deref().map_or_else(|| self.list(), by_group);
        Section { bodies: vec![Body::Table(table)], ..Section::default() }
    }
}

fn status(status: Option<u32>) -> Cell {
    status.map_or(Cell::NONE, |status| Cell::new(Value::Count(status.into())))
}

impl Calls {
    fn list(&self) -> Table {
        let columns = vec![
            Column::left("Method"),
            Column::right("Status"),
            Column::wide("Uri", 1),
            Column::rigid("Connection").rank(3),
            Column::rigid("Object").rank(2),
        ];
        let row = |call: &CallRow| {
            let object = |at| Cell::new(Value::Object(at)).tone(Tone::Link);
            let cells = vec![
                cell(call.method.as_deref()),
                call.unread.as_deref().map_or_else(|| status(call.status), Cell::unknown),
                cell(call.uri.as_deref()),
                call.connection.map_or(Cell::NONE, object),
                object(call.address),
            ];
            Row::about(Subject::Object(call.address), cells)
        };
        Table::new(columns, self.calls.iter().map(row).collect())
    }
}

fn by_group(groups: &[CallGroup]) -> Table {
    let columns =
        vec![Column::right("Calls"), Column::left("Method"), Column::right("Status"), Column::wide("Host", 1)];
    let row = |group: &CallGroup| {
        let cells = vec![
            Cell::new(Value::Count(group.count)),
            cell(group.method.as_deref()),
            status(group.status),
            cell(group.host.as_deref()),
        ];
        Row::new(cells)
    };
    Table::new(columns, groups.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn a_host_ends_where_its_path_begins() {
        assert_eq!(host("http://shop:8080/orders?page=2"), "http://shop:8080");
        assert_eq!(host("https://shop"), "https://shop");
        assert_eq!(host("shop/orders"), "shop");
    }
}
