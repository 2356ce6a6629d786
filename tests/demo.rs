//! The demo: one command, no other file, and everything about the hanging shop is there as its source dictates.

use std::process::Command;

use serde_json::Value;
use support::{Expected, Output, Stack, Truth, as_address, repository, run};

fn demo(commands: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("demo").args(commands).env_clear().current_dir("/");
    run(command).expect_status(0)
}

fn truth() -> Truth {
    let file = repository().join("fixtures/demo/truth.json");
    Truth::parse(&std::fs::read_to_string(file).expect("the demo's truth is committed"))
}

#[test]
fn every_thread_shows_the_functions_of_the_source() {
    let (truth, expected) = (truth(), Expected::of("demo"));
    let output = demo(&["--json", "-c", "stack --all", "-c", "threads"]);
    let stacks = Stack::all(&output.data("stack"));
    let threads = output.data("threads");
    assert_eq!(stacks.len(), truth.threads("*").len());
    for (pattern, wanted) in expected.threads() {
        for (name, tid) in truth.threads(pattern) {
            let stack = stacks.iter().find(|stack| stack.tid == tid).unwrap_or_else(|| panic!("no stack of {name}"));
            assert!(stack.has_run(&wanted["functions"]), "{name}: {wanted}: {:#?}", stack.functions());
            let list = threads["threads"].as_array().expect("threads");
            let thread = list.iter().find(|thread| thread["tid"].as_u64() == Some(tid)).expect("a thread");
            assert_eq!(thread["state"], wanted["state"], "{name}: {thread}");
        }
    }
    assert_eq!(threads["threads"][0]["tid"].as_u64(), Some(truth.tid("watchdog")), "who took the signal comes first");
}

#[test]
fn its_locks_have_the_owners_and_waiters_of_the_source() {
    let (truth, expected) = (truth(), Expected::of("demo"));
    let locks = demo(&["--json", "-c", "locks"]).data("locks");
    for (name, wanted) in expected.locks() {
        let address = truth.lock(name);
        let lock =
            locks["locks"].as_array().expect("locks").iter().find(|lock| as_address(&lock["address"]) == Some(address));
        let lock = lock.unwrap_or_else(|| panic!("no {name} at {address:#x} in {locks}"));
        assert_eq!(lock["kind"], wanted["kind"], "{name}");
        let owner = wanted["owner"].as_str().map(|owner| truth.tid(owner));
        assert_eq!(lock["owner"]["tid"].as_u64(), owner, "{name}: {lock}");
        if owner.is_some() {
            assert_eq!(lock["recursion"], wanted["recursion"], "{name}: {lock}");
        }
        let patterns = wanted["waiters"].as_array().expect("waiters").iter().filter_map(Value::as_str);
        let mut waiters: Vec<u64> = patterns.flat_map(|pattern| truth.threads(pattern)).map(|(_, tid)| tid).collect();
        let mut shown: Vec<u64> =
            lock["waiters"].as_array().expect("waiters").iter().filter_map(Value::as_u64).collect();
        waiters.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, waiters, "{name}");
    }
    let cycles = locks["deadlocks"].as_array().expect("deadlocks");
    assert_eq!(cycles.len(), 1, "{cycles:?}");
    let cycle = cycles.first().expect("a cycle");
    assert_eq!(cycle["certain"], true);
    let mut members: Vec<u64> =
        cycle["cycle"].as_array().expect("a cycle").iter().filter_map(|link| link["tid"].as_u64()).collect();
    members.sort_unstable();
    assert_eq!(members, [truth.tid("worker-3"), truth.tid("worker-7")]);
}

#[test]
fn its_exceptions_are_the_one_that_killed_it_and_the_one_being_handled() {
    let (truth, expected) = (truth(), Expected::of("demo"));
    let shown = demo(&["--json", "-c", "printexception"]).data("printexception");
    for wanted in expected.json()["exceptions"].as_array().expect("exceptions") {
        let tid = wanted["thread"].as_str().map(|thread| truth.tid(thread));
        let list = shown["exceptions"].as_array().expect("exceptions");
        let found = list.iter().any(|one| {
            one["type"] == wanted["type"]
                && one["message"] == wanted["message"]
                && one["fatal"] == wanted["fatal"]
                && one["tid"].as_u64() == tid
        });
        assert!(found, "no {wanted} in {shown}");
    }
}

#[test]
fn its_first_screen_tells_the_deadlock_the_convoy_and_the_exception() {
    let text = demo(&[]).stdout;
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("no '{words}' in:\n{text}"));
    assert!(
        at("deadlock: 4719") < at("watchdog: no order finished for 30 s"),
        "the cause comes before its consequence"
    );
    at("19 threads wait for g_pool_mu, held by 4711");
    at("/srv/orders-api --port 8080");
}

#[test]
fn one_exception_and_one_module_are_told_alone() {
    let exceptions = demo(&["--json", "-c", "printexception -n 1"]).data("printexception");
    let list = exceptions["exceptions"].as_array().expect("exceptions");
    assert_eq!(list.len(), 1, "{exceptions}");
    assert_eq!(list[0]["type"], "shop::OutOfStock");
    let table = demo(&["-c", "printexception -list"]).stdout;
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 3, "a heading and two exceptions, without their stacks: {table}");
    assert!(rows[1].contains("watchdog: no order finished for 30 s"), "{table}");
    // g_orders lies in the executable, the only module that is mapped from a file.
    let inside = format!("modules {:#x}", truth().lock("g_orders"));
    let modules = demo(&["--json", "-c", &inside]).data("modules");
    let paths: Vec<&Value> = modules["modules"].as_array().expect("modules").iter().map(|one| &one["path"]).collect();
    assert_eq!(paths, ["/srv/orders-api"]);
}

#[test]
fn it_is_small() {
    let size = |name: &str| std::fs::metadata(repository().join("fixtures/demo").join(name)).expect("committed").len();
    let bytes = size("demo.core.zst") + size("demo.exe.zst");
    assert!(bytes <= 2 << 20, "{bytes} bytes");
}
