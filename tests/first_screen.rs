//! What a user reads first, for each way to die that the fixtures know: who took which signal, where that thread was, and
//! a first sentence that says the words that matter. (`crashes.rs` has the exceptions and the rules.)

use serde_json::Value;
use support::{Dump, Output, Stack, Truth, as_address, dump};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

struct Case {
    name: String,
    expected: Value,
    truth: Truth,
    dump: Dump,
    seen: Output,
}

impl Case {
    fn of(fixture: &str, variant: &str) -> Case {
        let dump = dump(fixture, variant);
        let expected = dump.expected().variant(variant).clone();
        assert!(expected.is_object(), "{fixture}/{variant} is not in expected.json");
        let commands = ["-c", "summary", "-c", "stack", "-c", "threads"];
        let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        run.arg("analyze").arg(dump.core()).args(["--offline", "--json"]).args(commands);
        let seen = support::run(run).expect_status(0);
        Case { name: format!("{fixture}/{variant}"), expected, truth: dump.truth(), dump, seen }
    }

    fn check(&self) {
        self.check_thread_and_signal();
        self.check_stack();
        self.check_verdict();
    }

    fn check_thread_and_signal(&self) {
        let threads = self.seen.data("threads");
        let first = &threads["threads"][0];
        let tid = self.truth.tid(text(&self.expected, "thread"));
        assert_eq!(first["tid"].as_u64(), Some(tid), "{}: the thread that took the signal comes first", self.name);
        assert_eq!(first["crashed"], true, "{}: {first}", self.name);
        let signal = &self.seen.data("summary")["process"]["signal"];
        assert_eq!(signal, &self.expected["signal"], "{}", self.name);
    }

    fn check_stack(&self) {
        let stacks = Stack::all(&self.seen.data("stack"));
        let stack = stacks.first().expect("a stack");
        for key in ["functions", "interrupted", "outermost"] {
            let wanted = &self.expected[key];
            assert!(
                wanted.is_null() || stack.has_run(wanted),
                "{}: {key} {wanted}: {:#?}",
                self.name,
                stack.functions()
            );
        }
        if let Some(pc) = as_address(&self.expected["pc"]) {
            assert_eq!(as_address(&stack.frames[0]["pc"]), Some(pc), "{}", self.name);
        }
    }

    fn check_verdict(&self) {
        let summary = self.seen.data("summary");
        let finding = &summary["findings"][0];
        for words in self.expected["says"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(text(finding, "title").contains(words), "{}: no '{words}' in {finding}", self.name);
        }
        let sender = std::fs::read_to_string(self.dump.dir().join("sender")).ok();
        if self.expected["sender"] == "other" {
            let sender = sender.expect("the recipe leaves the sender's pid");
            assert!(text(finding, "title").contains(sender.trim()), "{}: {sender}: {finding}", self.name);
        }
    }
}

/// All variants of a fixture for which `pick` says so; at least `least` of them.
fn check_all(fixture: &str, least: usize, pick: impl Fn(&str, &Value) -> bool) {
    let expected = support::Expected::of(fixture);
    let variants = expected.json()["variants"].as_object().expect("variants");
    let picked: Vec<&String> =
        variants.iter().filter(|(name, value)| pick(name, value)).map(|(name, _)| name).collect();
    assert!(picked.len() >= least, "only {picked:?}");
    for variant in picked {
        Case::of(fixture, variant).check();
    }
}

fn has_exceptions(value: &Value) -> bool {
    value["exceptions"].is_array()
}

#[test]
fn faults_of_the_processor_name_the_access_and_its_cause() {
    check_all("crash", 12, |name, value| {
        let signal = text(value, "signal");
        ["SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS"].contains(&signal)
            && !has_exceptions(value)
            && !name.starts_with("killed")
    });
}

#[test]
fn aborts_show_the_text_that_the_c_library_left() {
    check_all("crash", 8, |name, value| {
        text(value, "signal") == "SIGABRT" && !has_exceptions(value) && !name.starts_with("killed")
    });
}

#[test]
fn exceptions_have_their_type_and_text_on_any_thread_with_or_without_symbols() {
    check_all("crash", 14, |_, value| has_exceptions(value));
}

#[test]
fn a_process_killed_from_outside_says_by_whom() {
    check_all("crash", 3, |name, _| name.starts_with("killed"));
}

#[test]
fn rust_panics_show_their_message_and_the_function_that_panicked() {
    check_all("crash-rust", 12, |_, value| value["panic"].is_object());
}

#[test]
fn other_crashes_of_rust_programs_are_told_as_what_they_are() {
    check_all("crash-rust", 3, |_, value| !value["panic"].is_object());
}

#[test]
fn a_function_of_the_program_may_have_the_name_of_musls_own() {
    // main of this program waits below its own function `start`.
    for variant in ["glibc", "musl"] {
        let dump = dump("deadlock", variant);
        let output = support::dumpscope!("analyze", dump.core(), "--offline", "-c", "summary").expect_status(0);
        let main = dump.truth().tid("main").to_string();
        let line = output.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{main} main:")));
        assert!(line.is_some_and(|line| line.contains("start main.c")), "{variant}: {line:?}:\n{}", output.stdout);
    }
}
