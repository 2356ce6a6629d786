//! Requests in flight in a few words, for the first screen.

use super::find::Found;
use super::request::Request;
use crate::model::{InFlight, OldestRequest};
use crate::runtimes::coreclr::tasks::{AsyncStack, Pending};

/// How many there are, and the oldest; `None` where there is none.
pub(in crate::runtimes::coreclr) fn in_flight(found: &Found<Request>, pending: &Pending) -> Option<InFlight> {
    let served: Vec<&Request> = found.all.iter().filter(|request| !request.is_idle()).collect();
    let listed: Vec<&AsyncStack> = pending.listed().collect();
    let age = |request: &&&Request| std::cmp::Reverse(request.age_ms.clone().ok());
    // Of several the first, as they are listed.
    let oldest = served.iter().min_by_key(age)?;
    let stack = oldest.stack.and_then(|index| listed.get(index));
    Some(InFlight {
        count: served.len() as u64,
        is_least: !found.unread.is_empty(),
        oldest: OldestRequest {
            words: oldest.words(),
            age_ms: oldest.age_ms.clone().ok(),
            tid: oldest.tid,
            awaits: stack.map(|stack| stack.awaits.words()),
        },
        command: "dumprequests",
    })
}
