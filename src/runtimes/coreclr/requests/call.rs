//! Calls that the process makes over HTTP.

use rustc_hash::FxHashMap;

use super::find::{Found, of_classes, property};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;
use crate::runtimes::coreclr::unread::Unread;

/// The class of a call that is to be made, or was.
const MESSAGE: &str = "System.Net.Http.HttpRequestMessage";
/// That of its answer.
const ANSWER: &str = "System.Net.Http.HttpResponseMessage";
/// Those that are at a call: of HTTP/1.1 the connection itself, of HTTP/2 and 3 a stream of it. Source: dotnet/runtime src/libraries/System.Net.Http/
/// src/System/Net/Http/SocketsHttpHandler/{HttpConnection,Http2Stream,Http3RequestStream}.cs, of 8.0 to 10.0.
const CARRIERS: [Carrier; 3] = [
    Carrier { class: "System.Net.Http.HttpConnection", call: "_currentRequest", connection: None, ended: &[] },
    Carrier {
        class: "System.Net.Http.Http2Connection+Http2Stream",
        call: "_request",
        connection: Some("_connection"),
        ended: &["_requestCompletionState", "_responseCompletionState"],
    },
    Carrier {
        class: "System.Net.Http.Http3RequestStream",
        call: "_request",
        connection: Some("_connection"),
        ended: &["_requestSendCompleted", "_responseRecvCompleted"],
    },
];

/// What carries a call.
struct Carrier {
    class: &'static str,
    /// The field that holds the call.
    call: &'static str,
    /// That which leads to the connection; `None` where it is one.
    connection: Option<&'static str>,
    /// Those of which none is 0 once it has ended; empty where it then holds the call no more.
    ended: &'static [&'static str],
}

impl Carrier {
    /// The connection that an object is at a call with; `Ok(None)` where the call has ended.
    fn connection(&self, object: &Instance<'_>) -> Known<Option<Addr>> {
        let Some(connection) = self.connection else { return Ok(Some(object.at)) };
        let mut has_ended = true;
        for field in self.ended {
            has_ended &= object.u8(field)? != 0;
        }
        if has_ended { Ok(None) } else { object.address(connection).map(Some) }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The `HttpRequestMessage`.
    pub address: Addr,
    /// Its method table.
    pub table: Addr,
    /// `GET`.
    pub method: Known<Option<String>>,
    /// Where it goes to.
    pub uri: Known<Option<String>>,
    /// The status of the answer; `None` where none has come.
    pub status: Known<Option<u32>>,
    /// The connection that is at it, of HTTP/2 and 3 with others; `None` where none is.
    pub connection: Known<Option<Addr>>,
}

/// The calls whose objects are on the heap, by address.
pub(in crate::runtimes::coreclr) fn calls(
    types: Types<'_>,
    segments: &Segments,
    job: &Job,
) -> Result<Found<Call>, Error> {
    let [first, second, third] = CARRIERS.map(|carrier| carrier.class);
    let Found { all, mut unread } = of_classes(types, segments, &[MESSAGE, ANSWER, first, second, third], job)?;
    let [messages, answers, carriers @ ..] = all.as_slice() else { return Ok(Found { all: Vec::new(), unread }) };
    let answers = Held::of(types, answers, "_requestMessage");
    let mut connections: FxHashMap<Addr, Known<Option<Addr>>> = FxHashMap::default();
    let mut unread_carriers = 0u64;
    // A stream of HTTP/2 makes the answer's object beforehand.
    let mut heads: FxHashMap<Addr, Known<bool>> = FxHashMap::default();
    for (carrier, objects) in CARRIERS.iter().zip(carriers) {
        let held = Held::of(types, objects, carrier.call);
        unread_carriers = unread_carriers.saturating_add(held.unread);
        for (message, by) in held.by {
            let object = types.object(by);
            let object = object.as_ref().map_err(Gap::clone);
            match object.clone().and_then(|object| object.u8("_responseHeadersReceived")) {
                Err(Gap::NoLayout(_)) => {}
                has_come => {
                    heads.insert(message, has_come.map(|has_come| has_come != 0));
                }
            }
            connections.insert(message, object.and_then(|object| carrier.connection(object)));
        }
    }
    if unread_carriers > 0 {
        unread.push(format!("the calls of {unread_carriers} connections cannot be read"));
    }
    // One of those that cannot be read may be the answer to any call.
    let none = || match answers.unread {
        0 => Ok(None),
        count => Err(Gap::NotRecorded(format!("whose answers {count} objects are: they cannot be read"))),
    };
    let read = |at: &Addr| -> Known<Call> {
        let message = types.object(*at)?;
        let status = match (answers.by.get(at), heads.get(at)) {
            (Some(_), Some(Ok(false))) => Ok(None),
            (Some(_), Some(Err(gap))) => Err(gap.clone()),
            (Some(answer), _) => types.object(*answer).and_then(|answer| answer.u32("_statusCode")).map(Some),
            (None, _) => none(),
        };
        Ok(Call {
            address: *at,
            table: message.class.table,
            method: method(&message),
            uri: uri(&message),
            status,
            connection: connections.get(at).cloned().unwrap_or(Ok(None)),
        })
    };
    let (mut calls, mut lost) = (Vec::with_capacity(messages.len()), Unread::default());
    for message in messages {
        match read(message) {
            Ok(call) => calls.push(call),
            Err(gap) => lost.add(&gap),
        }
    }
    unread.extend(lost.words("calls cannot be read"));
    Ok(Found { all: calls, unread })
}

/// Objects by what a field of theirs refers to.
struct Held {
    by: FxHashMap<Addr, Addr>,
    /// How many could not be read.
    unread: u64,
}

impl Held {
    fn of(types: Types<'_>, objects: &[Addr], field: &str) -> Held {
        let mut held = Held { by: FxHashMap::default(), unread: 0 };
        for at in objects {
            match types.object(*at).and_then(|object| object.address(field)) {
                Ok(to) if to.0 != 0 => {
                    held.by.insert(to, *at);
                }
                Ok(_) => {}
                Err(_) => held.unread = held.unread.saturating_add(1),
            }
        }
        held
    }
}

fn method(message: &Instance<'_>) -> Known<Option<String>> {
    match message.reference("_method")? {
        Some(method) => method.text("_method"),
        None => Ok(None),
    }
}

fn uri(message: &Instance<'_>) -> Known<Option<String>> {
    let Some(uri) = message.reference("_requestUri")? else { return Ok(None) };
    match uri.text("_string") {
        Err(Gap::NoLayout(_)) => uri.text(&property("OriginalString")),
        text => text,
    }
}
