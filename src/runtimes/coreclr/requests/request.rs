//! A request that the server has taken, and how far it has come.

use rayon::prelude::*;

use super::find::{Found, property};
use super::{awaited, date, served};
use crate::model::{Addr, Gap, Known, Tid};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::methods::Methods;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::tasks::Pending;
use crate::runtimes::coreclr::unread::Unread;

/// The class of which each connection's protocol (HTTP/1.1), or stream (HTTP/2, HTTP/3), is one.
const PROTOCOL: &str = "Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.HttpProtocol";

/// The classes whose objects are read, in the order of [`Pending::others`]: connections, and the server's clock.
pub(in crate::runtimes::coreclr) const CLASSES: [&str; 2] = [PROTOCOL, date::CLOCK];

/// A connection of the server's, with the request that it is at.
#[derive(Clone, Debug)]
pub struct Request {
    /// The object of the connection's protocol.
    pub address: Addr,
    /// `HTTP/1.1`, `HTTP/2`, `HTTP/3`.
    pub protocol: &'static str,
    /// How far it has come.
    pub stage: Known<Stage>,
    /// `GET`; `None` before the request's first line has come.
    pub method: Known<Option<&'static str>>,
    /// The path, decoded; `None` before the request's first line has come.
    pub path: Known<Option<String>>,
    /// What follows it, with its question mark.
    pub query: Known<Option<String>>,
    /// What serves it, as its route is called: `HTTP: GET /orders/{id}`; `None` where none was chosen yet.
    pub endpoint: Known<Option<String>>,
    /// The client's address and port.
    pub remote: Known<Option<String>>,
    /// The status that the answer has, or is to have.
    pub status: Known<u32>,
    /// Milliseconds from its beginning to the server's last look at the clock, which it takes once a second.
    pub age_ms: Known<u64>,
    /// The connection's id, as the server's log has it.
    pub connection: Known<Option<String>>,
    /// The trace that it belongs to, `4bf92f3577b34da6a3ce929d0e0e4736`; `None` where it belongs to none.
    pub trace: Known<Option<String>>,
    /// The thread that seems to run it: its stack holds the connection where the server processes requests. That is inferred: what is in a
    /// frame may be left over from an earlier request.
    pub tid: Option<Tid>,
    /// Where none does: the stack of methods that await something for it, as a position in [`Pending::listed`].
    pub stack: Option<usize>,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing of it has come: the connection is idle.
    Idle,
    /// Its first line is being read.
    Line,
    /// Its headers are being read.
    Headers,
    /// The application has it.
    Application,
    /// The application has it, and the answer's headers are settled.
    Answering,
    /// The answer is on its way.
    Sending,
    /// The answer is complete.
    Done,
}

impl Request {
    /// Whether it is being served. Fails where no thread runs it, and how far it has come cannot be read.
    pub fn is_served(&self) -> Known<bool> {
        let is_at_it = |stage: &Stage| !matches!(stage, Stage::Idle | Stage::Done);
        if self.tid.is_some() { Ok(true) } else { self.stage.as_ref().map(is_at_it).map_err(Gap::clone) }
    }

    /// Whether its connection waits for a request.
    pub fn is_idle(&self) -> bool {
        self.is_served() == Ok(false)
    }

    /// `GET /orders/1?page=2`, as far as it is known.
    pub fn words(&self) -> String {
        let known = |text: &Known<Option<String>>| text.clone().ok().flatten().unwrap_or_default();
        let method = self.method.clone().ok().flatten().unwrap_or("?");
        format!("{method} {}{}", known(&self.path), known(&self.query))
    }
}

impl Stage {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Stage::Idle => "idle",
            Stage::Line => "reading the request line",
            Stage::Headers => "reading headers",
            Stage::Application => "in the application",
            Stage::Answering => "answer begun",
            Stage::Sending => "sending",
            Stage::Done => "done",
        }
    }

    /// Source: HttpProtocol.cs, enum RequestProcessingStatus.
    fn of(number: u32) -> Known<Stage> {
        const ALL: [Stage; 7] = [
            Stage::Idle,
            Stage::Line,
            Stage::Headers,
            Stage::Application,
            Stage::Answering,
            Stage::Sending,
            Stage::Done,
        ];
        let known = usize::try_from(number).ok().and_then(|number| ALL.get(number));
        known.copied().ok_or_else(|| Gap::Corrupt(format!("a request of status {number}")))
    }
}

/// Every connection of the server's that has something in flight, and the idle ones; by address.
pub(in crate::runtimes::coreclr) fn requests(
    methods: &Methods,
    pending: &Pending,
    scene: &Scene<'_>,
) -> Found<Request> {
    let types = methods.types();
    let mut unread = pending.gaps.words();
    let [found, clocks] = pending.others.as_slice() else { return Found { all: Vec::new(), unread } };
    if found.is_empty() {
        return Found { all: Vec::new(), unread };
    }
    let now = date::now(types, clocks);
    let running = served::running(methods, scene, found);
    let suspended = awaited::stacks(types, pending);
    let read = |at: &Addr| {
        let tid = running.get(at).copied();
        let stack = suspended.by.get(at).copied().filter(|_| tid.is_none());
        let now = now.as_ref().map_err(Gap::clone).copied();
        types.object(*at).map(|protocol| Request { tid, stack, ..read(&protocol, now) })
    };
    let read: Vec<Known<Request>> = found.par_iter().map(read).collect();
    let (mut all, mut lost) = (Vec::with_capacity(read.len()), Unread::default());
    for request in read {
        match request {
            Ok(request) => all.push(request),
            Err(gap) => lost.add(&gap),
        }
    }
    unread.extend(lost.words("requests cannot be read"));
    unread.extend(suspended.unread.words("methods process requests, of which connection cannot be read"));
    Found { all, unread }
}

/// The object that a property leads to, or a field of its name.
fn kept_in<'a>(object: &Instance<'a>, name: &str) -> Known<Option<Instance<'a>>> {
    match object.reference(&property(name)) {
        Err(Gap::NoLayout(_)) => object.reference(name),
        kept => kept,
    }
}

/// Reads a request. `now`: ticks of 100 ns since the year 1.
fn read(protocol: &Instance<'_>, now: Known<u64>) -> Request {
    let activity = activity(protocol);
    let started = activity.as_ref().map_err(Gap::clone).and_then(started);
    let age = started.and_then(|started| Ok(now?.saturating_sub(started) / date::TICKS_PER_MS));
    Request {
        address: protocol.at,
        protocol: version(protocol.name()),
        stage: stage(protocol),
        method: protocol.u8(&property("Method")).map(method),
        path: protocol.text(&property("Path")),
        query: protocol.text(&property("QueryString")).map(|query| query.filter(|query| !query.is_empty())),
        endpoint: endpoint(protocol),
        remote: remote(protocol),
        status: protocol.u32("_statusCode"),
        age_ms: age,
        connection: connection(protocol),
        trace: activity.and_then(|activity| trace(&activity)),
        tid: None,
        stack: None,
    }
}

fn version(class: &str) -> &'static str {
    if class.contains("Http3Stream") {
        "HTTP/3"
    } else if class.contains("Http2Stream") {
        "HTTP/2"
    } else {
        "HTTP/1.1"
    }
}

/// HTTP/2 and 3 leave the stage where it was: a request that has a target is in the application.
fn stage(protocol: &Instance<'_>) -> Known<Stage> {
    let stage = Stage::of(protocol.u32("_requestProcessingStatus")?)?;
    let is_begun = stage == Stage::Idle && version(protocol.name()) != "HTTP/1.1";
    let has_target = is_begun && protocol.text(&property("RawTarget"))?.is_some_and(|target| !target.is_empty());
    Ok(if has_target { Stage::Application } else { stage })
}

/// Source: dotnet/aspnetcore src/Shared/ServerInfrastructure/Http/HttpMethod.cs.
fn method(number: u8) -> Option<&'static str> {
    const ALL: [&str; 9] = ["GET", "PUT", "DELETE", "POST", "HEAD", "TRACE", "PATCH", "CONNECT", "OPTIONS"];
    ALL.get(usize::from(number)).copied()
}

fn endpoint(protocol: &Instance<'_>) -> Known<Option<String>> {
    match protocol.reference("_endpoint")? {
        Some(endpoint) => endpoint.text(&property("DisplayName")),
        None => Ok(None),
    }
}

/// `127.0.0.1:41234`.
fn remote(protocol: &Instance<'_>) -> Known<Option<String>> {
    let Some(address) = protocol.reference(&property("RemoteIpAddress"))? else { return Ok(None) };
    let port = protocol.u32(&property("RemotePort"))?;
    // Source: dotnet/runtime src/libraries/System.Net.Primitives/src/System/Net/IPAddress.cs: `_numbers` is null for IPv4.
    let Some(numbers) = address.reference("_numbers")? else {
        let bytes = address.u32("_addressOrScopeId")?.to_le_bytes();
        return Ok(Some(format!("{}:{port}", std::net::Ipv4Addr::from(bytes))));
    };
    let memory = &numbers.types.clr.target.memory;
    let part = |index| Ok::<u16, Gap>(memory.u16(numbers.element(index)?)?);
    let mut parts = [0; 8];
    for (index, to) in (0..).zip(&mut parts) {
        *to = part(index)?;
    }
    Ok(Some(format!("[{}]:{port}", std::net::Ipv6Addr::from(parts))))
}

fn connection(protocol: &Instance<'_>) -> Known<Option<String>> {
    let context = protocol.reference("_context")?;
    match context {
        Some(context) => context.text(&property("ConnectionId")),
        None => Ok(None),
    }
}

/// What the host keeps of the request for tracing.
fn activity<'a>(protocol: &Instance<'a>) -> Known<Instance<'a>> {
    let none = || Gap::NotRecorded("the host traces no requests: it keeps no time of their beginning".to_owned());
    let fields = protocol.types.fields(protocol.class.table)?;
    let mut names = fields.iter().map(|field| &*field.name);
    let kept = names.find(|name| name.ends_with("HostContext>k__BackingField")).ok_or_else(none)?;
    let context = protocol.reference(kept)?.ok_or_else(none)?;
    let feature = kept_in(&context, "HttpActivityFeature")?.ok_or_else(none)?;
    kept_in(&feature, "Activity")?.ok_or_else(none)
}

/// When it began, in ticks.
fn started(activity: &Instance<'_>) -> Known<u64> {
    date::ticks(activity.inner(&property("StartTimeUtc"))?.u64("_dateData")?)
}

fn trace(activity: &Instance<'_>) -> Known<Option<String>> {
    activity.text("_traceId").map(|id| id.filter(|id| !id.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_names() {
        // HttpMethod.cs and HttpProtocol.cs.
        assert_eq!([0, 3, 8, 9, 255].map(method), [Some("GET"), Some("POST"), Some("OPTIONS"), None, None]);
        assert_eq!(Stage::of(0), Ok(Stage::Idle));
        assert_eq!(Stage::of(3).map(Stage::words), Ok("in the application"));
        assert!(Stage::of(7).is_err());
        assert_eq!(version("X.Http2Stream<Y>"), "HTTP/2");
        assert_eq!(version("X.Http1Connection<Y>"), "HTTP/1.1");
    }
}
