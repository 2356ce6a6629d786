//! Calls that the process makes over HTTP.

use super::find::{of_class, property};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::objects::Instance;
use crate::runtimes::coreclr::types::Types;

/// The class of a call that is to be made, or was.
const MESSAGE: &str = "System.Net.Http.HttpRequestMessage";
/// That of its answer.
const ANSWER: &str = "System.Net.Http.HttpResponseMessage";
/// That of a connection, which holds the call that it is at.
const CONNECTION: &str = "System.Net.Http.HttpConnection";

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
    /// The connection that is at it; `None` where none is.
    pub connection: Option<Addr>,
}

/// The calls whose objects are on the heap, by address.
pub(in crate::runtimes::coreclr) fn calls(
    types: Types<'_>,
    segments: &Segments,
    job: &Job,
) -> Result<Vec<Call>, Error> {
    let messages = of_class(types, segments, MESSAGE, job)?;
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let holder = |class: &str, field: &str| -> Result<Vec<(Addr, Addr)>, Error> {
        let all = of_class(types, segments, class, job)?;
        let held = |at: &Addr| Some((types.object(*at).ok()?.address(field).ok()?, *at));
        Ok(all.iter().filter_map(held).collect())
    };
    let connections = holder(CONNECTION, "_currentRequest")?;
    let answers = holder(ANSWER, "_requestMessage")?;
    let find = |all: &[(Addr, Addr)], at: Addr| all.iter().find(|(message, _)| *message == at).map(|(_, by)| *by);
    let read = |at: &Addr| {
        let message = types.object(*at).ok()?;
        let status = find(&answers, *at).map(|answer| types.object(answer)?.u32("_statusCode")).transpose();
        Some(Call {
            address: *at,
            table: message.class.table,
            method: method(&message),
            uri: uri(&message),
            status,
            connection: find(&connections, *at),
        })
    };
    Ok(messages.iter().filter_map(read).collect())
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
