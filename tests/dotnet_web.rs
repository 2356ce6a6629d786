//! Requests of ASP.NET Core in flight, told of a dump of the process: what the source of fixtures/dotnet-web has them do.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Dotnet, run};

/// A service on each version of ASP.NET Core that can be had, with its requests where they stay, dumped by createdump.
fn each_dump(fixture: &str, program: &str, kind: &str, test: impl Fn(&Path)) {
    let dotnet = Dotnet::find();
    for major in [9, 10] {
        println!("ASP.NET Core {major}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (process, createdump) = dotnet.start_web(major, fixture, program, folder.path());
        let dump = folder.path().join("web.core");
        let mut command = Command::new(createdump);
        command.args([kind, "-f"]).arg(&dump).arg(process.pid().to_string());
        run(command).expect_status(0);
        // The process lives until then: its ports stay its own.
        test(&dump);
    }
}

fn answer(dump: &Path, line: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "-c", line]);
    run(command).expect_status(0).documents().remove(0)["data"].take()
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn requests_in_flight_are_told_with_who_serves_them() {
    each_dump("dotnet-web", "Web", "--withheap", requests);
}

fn requests(dump: &Path) {
    let told = answer(dump, "dumprequests");
    let all = told["requests"].as_array().expect("requests");
    let of = |path: &str| -> Vec<&Value> { all.iter().filter(|request| request["path"] == path).collect() };
    let one = |path: &str| -> &Value {
        let found = of(path);
        assert_eq!(found.len(), 1, "{path}: {told}");
        found[0]
    };
    for request in all {
        assert!(request["remote"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{request}");
        assert_eq!(request["protocol"], "HTTP/1.1");
    }
    let (first, second) = (one("/orders/1"), one("/orders/2"));
    assert_eq!((&first["query"], &second["query"]), (&"?page=2".into(), &Value::Null));
    for awaiting in [first, second, one("/orders/99")] {
        assert_eq!((&awaiting["method"], &awaiting["tid"]), (&"GET".into(), &Value::Null), "{awaiting}");
        assert_eq!(awaiting["endpoint"], "HTTP: GET /orders/{id:int}");
        assert_eq!(awaiting["state"], "in the application");
        // It waits three seconds before it says that it is ready.
        let age = awaiting["age_ms"].as_u64().expect("an age");
        assert!((1000..300_000).contains(&age), "{age} ms");
    }
    // What both await in the end, as the source has it; the methods between are in 'dumpasync'.
    let stacks = answer(dump, "dumpasync");
    for awaiting in [first, second] {
        assert_eq!(awaiting["awaits"], "completion-source Shop.Store.Answer", "{awaiting}");
        let index = usize::try_from(awaiting["stack"].as_u64().expect("an index")).expect("it is small");
        let frames = stacks["stacks"][index]["frames"].as_array().expect("frames");
        let methods: Vec<&str> = frames.iter().filter_map(|frame| frame["method"].as_str()).collect();
        assert_eq!(methods[..2], ["Shop.Store.Load", "Shop.Orders.Find"], "{methods:?}");
    }
    let upload = one("/upload");
    assert!(upload["awaits"].as_str().is_some_and(|awaits| awaits.starts_with("pipe ")), "{upload}");
    assert_eq!((&upload["method"], &upload["tid"]), (&"POST".into(), &Value::Null));
    // A thread that waits for a task, one that sleeps with the lock and one that waits for it.
    let ledger = of("/ledger");
    assert_eq!(ledger.len(), 2, "{told}");
    let mut served: Vec<u64> = [one("/blocked/3"), ledger[0], ledger[1]]
        .iter()
        .map(|request| request["tid"].as_u64().unwrap_or_else(|| panic!("no thread serves {request}")))
        .collect();
    assert!(all.iter().all(|request| request["tid"].is_null() == request["evidence"].is_null()), "{told}");
    assert_eq!(ledger[0]["evidence"], "inferred:stack-scan");
    served.sort_unstable();
    served.dedup();
    assert_eq!(served.len(), 3, "{told}");
    // Half of its headers have come: it has no path yet, or one that is being read.
    assert!(all.iter().any(|request| request["state"] == "reading headers"), "{told}");
    assert_eq!((&told["idle"], &told["complete"]), (&1.into(), &true.into()), "{told}");
    // The first screen has their number, and the oldest with what it waits for.
    let summary = answer(dump, "summary");
    let (requests, oldest) = (&summary["requests"], &all[0]);
    assert_eq!(requests["count"], all.len(), "{requests}");
    assert_eq!((&requests["age_ms"], &requests["complete"]), (&oldest["age_ms"], &true.into()));
    let method = oldest["method"].as_str().expect("a method");
    let path = format!("{method} {}", oldest["path"].as_str().expect("a path"));
    assert!(requests["oldest"].as_str().is_some_and(|words| words.starts_with(&path)), "{requests}, {oldest}");
    let waits_for = if oldest["tid"].is_null() { &oldest["awaits"] } else { &oldest["waits_for"] };
    assert_eq!(&requests["waits_for"], waits_for);
    let with_idle = answer(dump, "dumprequests -all");
    assert_eq!(with_idle["requests"].as_array().map(Vec::len), Some(all.len() + 1));
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_call_without_an_answer_is_told_with_its_connection() {
    each_dump("dotnet-web", "Web", "--withheap", calls);
}

fn calls(dump: &Path) {
    let told = answer(dump, "dumphttp -pending");
    let calls = told["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 1, "{told}");
    assert_eq!((&calls[0]["method"], &calls[0]["status"]), (&"GET".into(), &Value::Null));
    assert!(calls[0]["uri"].as_str().is_some_and(|uri| uri.ends_with("/orders/99")), "{told}");
    assert!(calls[0]["connection"].is_string(), "{told}");
    assert_eq!((&told["complete"], &calls[0]["unread"]), (&true.into(), &Value::Null));
    assert_eq!(answer(dump, "dumphttp -completed")["calls"], Value::Array(Vec::new()));
    let stats = answer(dump, "dumphttp -stats -uri orders");
    assert_eq!(stats["stats"][0]["count"], 1, "{stats}");
}

#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn a_dump_without_a_heap_says_why_it_tells_no_requests() {
    each_dump("dotnet-web", "Web", "--triage", reason);
}

fn reason(dump: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump).args(["--json", "--offline", "-c", "dumprequests"]);
    let told = run(command).expect_status(0).documents().remove(0);
    assert_eq!(
        (&told["data"]["requests"], &told["data"]["complete"]),
        (&Value::Array(Vec::new()), &false.into()),
        "{told}"
    );
    let why = told["warnings"][0]["message"].as_str().expect("a warning");
    assert!(why.contains("of the managed heap are not searched") && why.contains("not in the dump"), "{told}");
}

/// fixtures/dotnet-http2: both ends of one connection of HTTP/2 in one process.
#[test]
#[ignore = "needs .NET: tests/run takes it where it is"]
fn requests_and_calls_of_http_2_are_told_on_their_one_connection() {
    each_dump("dotnet-http2", "Http2", "--withheap", http2);
}

fn http2(dump: &Path) {
    let told = answer(dump, "dumprequests");
    let mut served: Vec<(&str, &str, bool)> = told["requests"]
        .as_array()
        .expect("requests")
        .iter()
        .map(|one| {
            assert_eq!((&one["method"], &one["protocol"]), (&"GET".into(), &"HTTP/2".into()), "{one}");
            let path = one["path"].as_str().expect("a path");
            (path, one["query"].as_str().unwrap_or_default(), one["tid"].is_u64())
        })
        .collect();
    served.sort_unstable();
    let expected =
        [("/begun", "", false), ("/blocked/3", "", true), ("/orders/1", "?page=2", false), ("/orders/2", "", false)];
    assert_eq!(served, expected, "{told}");
    let calls = answer(dump, "dumphttp");
    let mut made: Vec<(String, Option<u64>)> = calls["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|one| {
            let uri = one["uri"].as_str().expect("an address");
            let path = uri.splitn(4, '/').last().expect("a path");
            (format!("/{path}"), one["status"].as_u64())
        })
        .collect();
    made.sort_unstable();
    let expected = [
        ("/", Some(200)),
        ("/begun", Some(200)),
        ("/blocked/3", None),
        ("/orders/1?page=2", None),
        ("/orders/2", None),
    ];
    assert_eq!(made, expected.map(|(path, status)| (path.to_owned(), status)), "{calls}");
    // That of those that are under way; the stream of the first has ended.
    let (ended, under_way): (Vec<&Value>, Vec<&Value>) =
        calls["calls"].as_array().expect("calls").iter().partition(|one| {
            one["uri"].as_str().is_some_and(|uri| uri.matches('/').count() == 3 && uri.ends_with('/'))
        });
    assert_eq!((ended.len(), &ended[0]["connection"]), (1, &Value::Null), "{calls}");
    let connections: std::collections::BTreeSet<&str> =
        under_way.iter().map(|one| one["connection"].as_str().unwrap_or_else(|| panic!("none: {one}"))).collect();
    assert_eq!(connections.len(), 1, "{calls}");
    let connection = connections.first().expect("it is one");
    let object = answer(dump, &format!("dumpobj {connection}"));
    assert_eq!(object["type"], "System.Net.Http.Http2Connection", "{object}");
}
