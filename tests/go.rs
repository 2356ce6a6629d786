//! What ended a Go program, against what its source dictates and what Go's runtime itself printed.

use serde_json::Value;
use support::{Dump, Stack, as_address, dump, dumpscope, is_named};

/// What one run says of a dump, and what it should.
struct Seen {
    variant: &'static str,
    dump: Dump,
    expected: Value,
    exceptions: Vec<Value>,
    /// The finding that `expected.json` asks for, else the first.
    finding: Value,
    runtimes: Value,
}

fn look(variant: &'static str) -> Seen {
    let dump = dump("go", variant);
    let output = dumpscope!("analyze", dump.core(), "--json", "-c", "printexception", "-c", "summary").expect_status(0);
    let expected = dump.expected().json()["variants"][variant].clone();
    assert!(expected.is_object(), "{variant} is not in expected.json");
    let summary = output.data("summary");
    let mut findings = summary["findings"].as_array().expect("a list").iter();
    let finding = match expected["rule"].as_str() {
        Some(rule) => findings.find(|finding| finding["rule"] == rule),
        None => findings.next(),
    };
    let finding = finding.unwrap_or_else(|| panic!("no finding as wanted among {}", summary["findings"]));
    Seen {
        variant,
        exceptions: output.data("printexception")["exceptions"].as_array().expect("a list").clone(),
        finding: finding.clone(),
        runtimes: summary["runtimes"].clone(),
        dump,
        expected,
    }
}

impl Seen {
    fn check(&self) {
        let fatal = &self.exceptions[0];
        assert_eq!(fatal["fatal"], true, "{fatal}");
        assert_eq!(self.exceptions.iter().filter(|exception| exception["fatal"] == true).count(), 1);
        assert_eq!(fatal["kind"], self.expected["kind"], "{fatal}");
        self.check_version();
        let said = self.expected["says"].as_str().expect("a text");
        let title = self.finding["title"].as_str().expect("a title");
        match fatal["kind"].as_str() {
            Some("go-panic") => self.check_text(fatal, "panic: ", said),
            Some("go-fatal") => self.check_text(fatal, "fatal error: ", said),
            Some("signal") => {
                assert_eq!(fatal["detail"]["signal"]["number"], self.expected["signal"], "{fatal}");
                assert_eq!(as_address(&fatal["address"]), as_address(&self.expected["address"]), "{fatal}");
                assert!(title.contains(said), "{title}");
            }
            _ => assert!(title.contains(said), "{title}"),
        }
        self.check_place(fatal, title);
        self.check_functions(fatal, title);
    }

    /// The value as the runtime printed it, all of it.
    fn check_text(&self, fatal: &Value, label: &str, said: &str) {
        let message = fatal["message"].as_str().unwrap_or_else(|| panic!("no message: {fatal}"));
        assert!(message.starts_with(said), "{message}");
        let stderr = self.dump.stderr();
        assert!(stderr.contains(&format!("{label}{message}\n")), "{message} is not what was printed: {stderr}");
        let title = self.finding["title"].as_str().expect("a title");
        for line in message.lines() {
            assert!(title.contains(line), "{line} is not in: {title}");
        }
        if let Some(earlier) = self.expected["earlier"].as_str() {
            assert_eq!(fatal["inner"]["message"], earlier, "{fatal}");
            assert!(stderr.contains(&format!("panic: {earlier}")), "{stderr}");
        }
        if let Some(waits) = self.expected["waits"].as_str() {
            assert!(self.finding["evidence"].to_string().contains(waits), "{}", self.finding);
        }
    }

    /// The source line that holds the text which `at` states.
    fn check_place(&self, fatal: &Value, title: &str) {
        let Some(text) = self.expected["at"].as_str() else { return };
        let source = std::fs::read_to_string(support::repository().join("fixtures/go/main.go")).expect("the source");
        let line = source.lines().position(|line| line.contains(text)).expect("the line") + 1;
        assert_eq!(fatal["detail"]["place"]["line"], line, "{fatal}");
        assert!(title.contains(&format!("main.go:{line}")), "{title}");
    }

    /// The program's functions stand on the stack in this order, and the innermost is told.
    fn check_functions(&self, fatal: &Value, title: &str) {
        let wanted: Vec<&str> =
            self.expected["functions"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let frames = fatal["frames"].as_array().expect("frames").iter().filter_map(|frame| frame["function"].as_str());
        let mut frames = frames.clone();
        for name in &wanted {
            assert!(frames.any(|frame| is_named(frame, name)), "{name} is not on the stack: {}", fatal["frames"]);
        }
        if let Some(first) = wanted.first() {
            assert!(title.contains(first), "{first} is not in: {title}");
            assert_eq!(fatal["tid"].as_u64(), Some(self.dump.truth().tid("crasher")), "{fatal}");
        }
    }

    /// What `go version` says of the compiler.
    fn check_version(&self) {
        let version = support::said("go", &["env", "GOVERSION"], "golang-go");
        let go = self.runtimes.as_array().expect("a list").iter().find(|runtime| runtime["kind"] == "go");
        let go = go.unwrap_or_else(|| panic!("{}: Go is not among {}", self.variant, self.runtimes));
        assert_eq!(go["version"].as_str(), version.strip_prefix("go"), "{go}");
    }
}

macro_rules! variants {
    ($($name:ident $variant:literal)*) => {
        $(#[test]
        fn $name() {
            look($variant).check();
        })*

        #[test]
        fn every_variant_is_tested() {
            let expected = dump("go", "index").expected();
            let expected = expected.json();
            let wanted: std::collections::BTreeSet<&str> = expected["variants"].as_object().expect("an object").keys().map(String::as_str).collect();
            assert_eq!(wanted, std::collections::BTreeSet::from([$($variant),*]));
        }
    };
}

variants! {
    an_index_out_of_range "index"
    a_read_through_nil "nil"
    a_write_to_a_nil_map "nil-map"
    a_division_by_zero "divide"
    a_failed_conversion "convert"
    a_channel_closed_twice "close"
    a_panic_with_a_string "string"
    a_panic_with_two_lines "lines"
    a_panic_with_an_error "error"
    a_panic_with_an_error_type "custom"
    a_panic_with_a_stringer "stringer"
    a_panic_with_a_number "number"
    a_panic_with_a_named_number "code"
    a_panic_with_a_structure "struct"
    a_panic_after_a_recovered_one "again"
    a_panic_while_panicking "during"
    concurrent_map_writes "map-race"
    an_unlock_of_a_free_mutex "unlock"
    a_deadlock_that_go_itself_sees "deadlock"
    a_stack_that_grew_too_large "overflow"
    a_bad_address_that_is_no_nil "address"
    a_signal_that_the_program_sent_itself "raise"
    a_signal_from_outside "killed-quit"
    a_fault_in_c_code "c-fault"
    an_abort_in_c_code "c-abort"
    an_index_out_of_range_without_symbols "index-stripped"
    a_read_through_nil_without_symbols "nil-stripped"
    a_panic_after_a_recovered_one_without_symbols "again-stripped"
    a_panic_with_a_structure_without_symbols "struct-stripped"
    concurrent_map_writes_without_symbols "map-race-stripped"
    a_stack_that_grew_too_large_without_symbols "overflow-stripped"
    a_bad_address_without_symbols "address-stripped"
    an_index_out_of_range_at_a_random_base "index-pie"
    a_panic_with_a_structure_at_a_random_base "struct-pie"
}

/// Stripped of everything but Go's own table, the stack is that of the same program with call frame information.
#[test]
fn a_stripped_program_has_the_same_stack() {
    let stack = |variant| {
        let dump = dump("go", variant);
        let output = dumpscope!("analyze", dump.core(), "--json", "-c", "stack").expect_status(0);
        let frames = Stack::all(&output.data("stack"))[0].frames.clone();
        // The line of an inlined call and that of its caller are both right; the physical function has one name.
        let kept = frames.iter().filter(|frame| frame["kind"] != "inline");
        kept.map(|frame| frame["function"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(stack("index-stripped"), stack("index"));
}
