//! Processes in which every thread waits for another, on locks of C++ that the C library does not know: what each waits for, and
//! whether the verdict says that nobody is left to wake one.

use serde_json::Value;
use support::{Dump, as_address, dump, dumpscope};

struct Seen {
    dump: Dump,
    threads: Vec<Value>,
    rules: Vec<String>,
}

fn look(variant: &str) -> Seen {
    let dump = dump("stuck", variant);
    let output =
        dumpscope!("analyze", dump.core(), "--offline", "--json", "-c", "threads", "-c", "summary").expect_status(0);
    let list = |value: &Value| value.as_array().expect("an array").clone();
    let rule = |finding: &Value| finding["rule"].as_str().expect("a rule").to_owned();
    Seen {
        threads: list(&output.data("threads")["threads"]),
        rules: list(&output.data("summary")["findings"]).iter().map(rule).collect(),
        dump,
    }
}

impl Seen {
    fn check(&self) {
        let (truth, expected) = (self.dump.truth(), self.dump.expected());
        for (name, wanted) in expected.json()["threads"].as_object().expect("threads") {
            let tid = truth.tid(name);
            let thread = self.threads.iter().find(|thread| thread["tid"] == tid).expect("the thread");
            let waits = &thread["waiting_on"];
            assert_eq!(waits["kind"], wanted["kind"], "{name}: {thread}");
            if let Some(lock) = wanted["lock"].as_str() {
                assert_eq!(as_address(&waits["address"]), Some(truth.lock(lock)), "{name}: {thread}");
                // `g_word` is a pointer: nothing names what it leads to.
                assert!(lock == "g_word" || waits["name"] == lock, "{name}: {thread}");
            }
            let told = waits["name"].as_str().unwrap_or_default();
            assert!(!told.contains("__"), "the library's own names tell a reader nothing: {thread}");
        }
    }

    fn is_stuck(&self) -> bool {
        self.rules.iter().any(|rule| rule == "stuck")
    }
}

#[test]
fn waits_on_private_memory_that_nobody_can_end_are_the_verdict() {
    for variant in ["kernel", "gcore", "static"] {
        let seen = look(variant);
        seen.check();
        assert!(seen.is_stuck(), "{variant}: {:?}", seen.rules);
    }
}

#[test]
fn a_wait_on_memory_that_another_process_may_share_is_not_hopeless() {
    for variant in ["shared", "shared-gcore"] {
        let seen = look(variant);
        seen.check();
        assert!(!seen.is_stuck(), "{variant}: {:?}", seen.rules);
    }
}
