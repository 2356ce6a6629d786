//! Requests in flight in a few words, for the first screen.

use super::find::Found;
use super::request::Request;
use crate::model::{InFlight, OldestRequest};
use crate::runtimes::coreclr::tasks::{AsyncStack, Pending};
use crate::runtimes::coreclr::unread::Unread;

/// How many there are, and the oldest; `None` where none is known. With what is not known of others, in words.
pub(in crate::runtimes::coreclr) fn in_flight(
    found: &Found<Request>,
    pending: &Pending,
) -> (Option<InFlight>, Option<String>) {
    let (mut served, mut unknown) = (Vec::new(), Unread::default());
    for request in &found.all {
        match request.is_served() {
            Ok(true) => served.push(request),
            Ok(false) => {}
            Err(gap) => unknown.add(&gap),
        }
    }
    let unknown = unknown.words("requests may be served: how far they have come cannot be read");
    let listed: Vec<&AsyncStack> = pending.listed().collect();
    let age = |request: &&&Request| std::cmp::Reverse(request.age_ms.clone().ok());
    // Of several the first, as they are listed.
    let in_flight = served.iter().min_by_key(age).map(|oldest| InFlight {
        count: served.len() as u64,
        is_least: !found.unread.is_empty() || unknown.is_some(),
        oldest: OldestRequest {
            words: oldest.words(),
            age_ms: oldest.age_ms.clone().ok(),
            tid: oldest.tid,
            awaits: oldest.stack.and_then(|index| listed.get(index)).map(|stack| stack.awaits.words()),
        },
        command: "dumprequests",
    });
    (in_flight, unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, Gap, Known, Tid};
    use crate::runtimes::coreclr::requests::Stage;

    fn request(stage: Known<Stage>, tid: Option<u32>) -> Request {
        Request {
            address: Addr(0x10),
            protocol: "HTTP/1.1",
            stage,
            method: Ok(Some("GET")),
            path: Ok(Some("/orders/1".to_owned())),
            query: Ok(None),
            endpoint: Ok(None),
            remote: Ok(None),
            status: Ok(200),
            age_ms: Ok(5),
            connection: Ok(None),
            trace: Ok(None),
            tid: tid.map(Tid),
            stack: None,
        }
    }

    fn told(all: Vec<Request>) -> (Option<(u64, bool)>, Option<String>) {
        let (told, unknown) = in_flight(&Found { all, unread: Vec::new() }, &Pending::default());
        (told.map(|told| (told.count, told.is_least)), unknown)
    }

    #[test]
    fn a_request_whose_stage_cannot_be_read_is_neither_in_flight_nor_idle() {
        let unread = || Err(Gap::NotRecorded("its stage".to_owned()));
        let unknown = "1 requests may be served: how far they have come cannot be read: not recorded: its stage";
        let served = || request(Ok(Stage::Application), None);
        assert_eq!(told(vec![served(), request(Ok(Stage::Idle), None)]), (Some((1, false)), None));
        assert_eq!(told(vec![served(), request(unread(), None)]), (Some((1, true)), Some(unknown.to_owned())));
        assert_eq!(told(vec![request(unread(), None)]), (None, Some(unknown.to_owned())));
        // Who has a thread is served.
        assert_eq!(told(vec![request(unread(), Some(7))]), (Some((1, false)), None));
    }
}
