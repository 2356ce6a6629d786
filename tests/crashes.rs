//! What ended real processes: exceptions, faults and the verdict, compared with what the fixtures' sources dictate and
//! what the processes said of themselves.

use serde_json::Value;
use support::{Dump, as_address, dump, dumpscope};

/// The C library of a variant, as `expected.json` names it.
fn library(variant: &str) -> &'static str {
    if variant.starts_with("musl") { "musl" } else { "glibc" }
}

/// What one run says of a dump, and what it should.
struct Seen {
    dump: Dump,
    expected: Value,
    exceptions: Vec<Value>,
    findings: Vec<Value>,
}

fn look(fixture: &str, variant: &str) -> Seen {
    let dump = dump(fixture, variant);
    let output = dumpscope!("analyze", dump.core(), "--json", "-c", "printexception", "-c", "summary").expect_status(0);
    let list = |value: &Value| value.as_array().expect("an array").clone();
    let expected = dump.expected().json()["variants"][variant].clone();
    assert!(expected.is_object(), "{variant} is not in expected.json");
    Seen {
        exceptions: list(&output.data("printexception")["exceptions"]),
        findings: list(&output.data("summary")["findings"]),
        dump,
        expected,
    }
}

/// The rule that should speak first, by the cause that `expected.json` states.
fn rule(cause: &str) -> &'static str {
    match cause {
        "null access" | "null member access" => "null-access",
        "write to read-only memory"
        | "non-canonical address"
        | "division by zero"
        | "illegal instruction"
        | "page beyond the end of a mapped file"
        | "raised by the process itself"
        | "signal of a timer"
        | "breakpoint"
        | "stack smashed on musl"
        | "address of the kernel's"
        | "forbidden system call" => "fatal-signal",
        "call of a null pointer" | "jump to nowhere" => "wild-jump",
        "execution of data" => "data-execution",
        "stack overflow" => "stack-overflow",
        "stack smashed" | "buffer overflow" | "heap misuse" | "heap smashed" | "abort" => "abort",
        "use after free" => "freed-memory",
        "assertion" => "assertion",
        "killed from outside" => "killed",
        "uncaught exception" => "uncaught-exception",
        "std::terminate" | "pure virtual call" => "terminate",
        "panic" => "panic",
        other => panic!("no rule for the cause '{other}'"),
    }
}

impl Seen {
    fn check(&self) {
        let first = self.findings.first().expect("a finding");
        let title = first["title"].as_str().expect("a title");
        let cause = self.expected["cause"].as_str().expect("a cause");
        assert_eq!(first["rule"], rule(cause), "{cause}: {title}");
        let fatal = self.exceptions.first().expect("an exception");
        assert_eq!(fatal["fatal"], Value::Bool(true), "{fatal}");
        self.check_thread(fatal);
        self.check_address(fatal);
        self.check_exceptions();
        self.check_texts(fatal, title);
        self.check_functions(title, first);
    }

    fn check_thread(&self, fatal: &Value) {
        let thread = self.expected["thread"].as_str().expect("a thread");
        assert_eq!(fatal["tid"].as_u64(), Some(self.dump.truth().tid(thread)), "the thread that ended the process");
    }

    /// A literal, or a value of the truth line, shifted and increased.
    fn check_address(&self, fatal: &Value) {
        let address = match &self.expected["address"] {
            Value::String(_) => as_address(&self.expected["address"]),
            Value::Object(made) => {
                let value = self.dump.truth().value(made["value"].as_str().expect("a value's name"));
                let shift = made.get("shift_right").and_then(Value::as_u64).unwrap_or(0);
                let plus = made.get("plus").and_then(Value::as_u64).unwrap_or(0);
                Some((value >> shift) + plus)
            }
            _ => as_address(&self.expected["real_address"]),
        };
        if let Some(address) = address {
            assert_eq!(as_address(&fatal["address"]), Some(address), "{fatal}");
        }
        let words = match self.expected["access"].as_str() {
            Some("read") => "reading",
            Some("write") => "writing",
            Some("execute") => "executing",
            _ => return,
        };
        let message = fatal["message"].as_str().expect("a message");
        assert!(message.starts_with(words), "{message}");
    }

    fn check_exceptions(&self) {
        let Some(wanted) = self.expected["exceptions"].as_array() else { return };
        for wanted in wanted {
            let found = self.exceptions.iter().find(|found| found["type"] == wanted["type"]);
            let found = found.unwrap_or_else(|| panic!("{wanted} is not among {:#?}", self.exceptions));
            same_exception(found, wanted);
            assert_eq!(found["fatal"], wanted["fatal"], "{found}");
            let tid = self.dump.truth().tid(wanted["thread"].as_str().expect("a thread"));
            assert_eq!(found["tid"].as_u64(), Some(tid), "{found}");
        }
        let cxx = self.exceptions.iter().filter(|found| found["kind"] == "cxx").count();
        assert_eq!(cxx, wanted.len(), "{:#?}", self.exceptions);
    }

    fn check_texts(&self, fatal: &Value, title: &str) {
        for words in self.expected["says"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(title.contains(words), "{words} is not in: {title}");
        }
        if let Some(text) = self.expected["abort_text"].as_str() {
            assert_eq!(fatal["message"], text);
            assert!(title.contains(text), "{title}");
        }
        if let Some(text) = self.expected["terminate"].as_str() {
            let message = fatal["message"].as_str().expect("a message");
            let wanted = if text.contains("pure") { "pure virtual" } else { "joinable" };
            assert!(message.contains(wanted), "{message}");
        }
        if let Some(panic) = self.expected["panic"].as_object() {
            assert_eq!(fatal["kind"], "rust-panic");
            assert_eq!(fatal["message"], panic["message"], "{fatal}");
            if let Some(earlier) = panic.get("unwinding") {
                assert_eq!(fatal["inner"]["message"], *earlier, "{fatal}");
            }
            if let Some(why) = panic.get("why").and_then(Value::as_str) {
                assert!(fatal["message_unknown"].as_str().is_some_and(|told| told.contains(why)), "{fatal}");
            }
            let file = panic["file"].as_str().and_then(|file| file.rsplit('/').next()).expect("a file");
            assert!(title.contains(file), "{file} is not in: {title}");
        }
    }

    /// The program's own function at fault is in the title or in the evidence.
    fn check_functions(&self, title: &str, finding: &Value) {
        let Some(functions) = self.expected["functions"].as_array() else { return };
        let told = format!("{title} {}", finding["evidence"]);
        for function in functions.iter().take(2).filter_map(Value::as_str) {
            assert!(function.split('|').any(|name| told.contains(name)), "{function} is not in: {told}");
        }
    }
}

fn same_exception(found: &Value, wanted: &Value) {
    assert_eq!(found["type"], wanted["type"]);
    // A null in expected.json says that what() is no text in a field; it may be known all the same.
    let message = [&wanted["message"], &wanted["text_in_field"]].into_iter().find_map(Value::as_str);
    if let Some(message) = message {
        assert_eq!(found["message"], message, "{found}");
    }
    match wanted.get("inner") {
        Some(inner) => same_exception(&found["inner"], inner),
        None => assert!(found["inner"].is_null(), "{found}"),
    }
}

macro_rules! variants {
    ($fixture:literal: $($name:ident $variant:literal)*) => {
        $(#[test]
        fn $name() {
            look($fixture, $variant).check();
        })*
    };
}

variants! { "crash":
    a_read_through_a_null_pointer "null-read"
    a_member_of_a_null_pointer "null-member"
    a_write_through_a_null_pointer "null-write"
    a_write_to_read_only_data "write-rodata"
    a_read_at_a_non_canonical_address "noncanonical-read"
    a_call_of_a_null_pointer "call-null"
    a_call_of_a_wild_pointer "call-deadbeef"
    an_execution_of_heap_memory "execute-heap"
    an_execution_of_the_stack "execute-stack"
    a_jump_to_nowhere "jump-nowhere"
    a_return_over_a_smashed_address "smashed-return"
    an_execution_of_the_programs_own_data "execute-table"
    a_fault_of_generated_code "generated-code"
    a_frame_larger_than_the_stack "large-frame"
    an_overflow_that_the_allocator_met "allocating-overflow"
    an_overflow_whose_handler_took_no_siginfo "handled-overflow"
    a_fault_whose_handler_sent_it_again "sent-again"
    an_abort_signal_of_a_timer "timer-abort"
    a_breakpoint "breakpoint"
    a_read_of_the_kernels_memory "kernel-address"
    a_system_call_that_is_forbidden "forbidden-call"
    an_exception_that_was_kept_and_thrown_again "rethrown"
    a_terminate_while_an_exception_is_handled "terminate-while-handling"
    an_overflow_of_the_main_stack "stack-overflow"
    an_overflow_of_a_threads_stack "thread-stack-overflow"
    a_smashed_stack_that_the_compiler_noticed "stack-smash"
    a_fortified_copy_that_is_too_long "buffer-overflow"
    a_use_after_free "use-after-free"
    a_double_free "double-free"
    a_free_of_no_heap_pointer "free-invalid"
    a_heap_smashed_at_its_top "heap-smash-top"
    a_heap_smashed_in_the_next_chunk "heap-smash-next"
    a_failed_assertion "assert"
    a_plain_abort "abort"
    a_division_by_zero "division-by-zero"
    an_illegal_instruction "illegal-instruction"
    a_read_past_the_end_of_a_mapped_file "truncated-mapping"
    a_signal_that_the_process_raised "raised-segv"
    a_segv_from_outside "killed-segv"
    an_abort_signal_from_outside "killed-abrt"
    a_quit_from_outside "killed-quit"
    an_uncaught_runtime_error "uncaught"
    an_uncaught_int "uncaught-int"
    an_uncaught_bad_alloc "uncaught-bad-alloc"
    an_uncaught_system_error "uncaught-system-error"
    an_uncaught_exception_with_its_own_what "uncaught-own-what"
    an_uncaught_exception_of_a_thread "uncaught-custom"
    a_nested_exception "nested"
    an_uncaught_exception_under_an_own_terminate_handler "terminate-handler"
    an_exception_that_another_thread_handles "caught-elsewhere"
    an_exception_that_the_crashing_thread_handles "caught-and-null"
    an_exception_out_of_a_noexcept_function "noexcept"
    a_joinable_thread_that_is_destroyed "joinable-thread"
    a_pure_virtual_call "pure-virtual"
    an_uncaught_exception_of_a_stripped_program "uncaught-stripped"
    an_uncaught_exception_of_a_stripped_programs_thread "uncaught-custom-stripped"
    a_null_member_of_a_stripped_program "null-member-stripped"
    a_double_free_of_a_stripped_program "double-free-stripped"
    an_uncaught_exception_of_a_static_program "uncaught-static"
    an_uncaught_exception_of_a_static_programs_thread "uncaught-custom-static"
    a_double_free_of_a_static_program "double-free-static"
}

variants! { "crash-musl":
    an_uncaught_exception_on_musl "uncaught"
    an_uncaught_exception_with_its_own_what_on_musl "uncaught-own-what"
    an_uncaught_exception_of_a_thread_on_musl "uncaught-custom"
    a_nested_exception_on_musl "nested"
    an_uncaught_exception_under_an_own_terminate_handler_on_musl "terminate-handler"
    an_exception_that_another_thread_handles_on_musl "caught-elsewhere"
    an_exception_that_the_crashing_thread_handles_on_musl "caught-and-null"
    an_exception_out_of_a_noexcept_function_on_musl "noexcept"
    a_joinable_thread_that_is_destroyed_on_musl "joinable-thread"
    a_pure_virtual_call_on_musl "pure-virtual"
    a_smashed_stack_on_musl "stack-smash"
    an_uncaught_exception_in_a_plugin_on_musl "uncaught-plugin"
    an_uncaught_exception_of_a_plugins_thread_on_musl "uncaught-custom-plugin"
    a_nested_exception_in_a_plugin_on_musl "nested-plugin"
    an_exception_that_another_thread_of_a_plugin_handles_on_musl "caught-elsewhere-plugin"
    an_exception_that_the_crashing_thread_of_a_plugin_handles_on_musl "caught-and-null-plugin"
}

variants! { "crash-rust":
    a_rust_panic_with_a_formatted_message "panic"
    a_rust_panic_with_a_literal_message "panic-literal"
    a_rust_panic_of_a_thread "panic-thread"
    a_rust_unwrap_of_none "unwrap-none"
    a_rust_expect_of_an_error "expect"
    a_rust_index_out_of_bounds "index"
    a_rust_arithmetic_overflow "overflow"
    a_rust_assertion "assert"
    a_rust_panic_in_a_destructor "drop"
    a_rust_panic_while_another_unwinds "cleanup-unwind"
    a_rust_panic_with_no_text "any"
    a_rust_allocation_that_failed "memory"
    a_rust_panic_that_may_not_leave_its_function "callback-unwind"
    a_rust_read_through_null "null-read"
    a_rust_stack_overflow "stack-overflow"
    a_rust_stack_overflow_of_a_thread "stack-overflow-thread"
    a_rust_panic_with_v0_names "panic-v0"
    a_rust_assertion_with_v0_names "assert-v0"
    a_rust_panic_on_musl "panic-musl"
    a_rust_panic_of_a_thread_on_musl "panic-thread-musl"
}

#[test]
fn a_fault_whose_handler_aborts_is_told_by_the_fault() {
    for variant in ["segv", "segv-musl", "segv-static"] {
        let seen = look("altstack", variant);
        let first = seen.findings.first().expect("a finding");
        assert_eq!(first["rule"], "null-access", "{variant}: {first}");
        let told = first.to_string();
        assert!(told.contains("in leaf, called from mid") && told.contains("on_fault"), "{variant}: {told}");
    }
}

/// What a cause is told by has no rival among the findings that matter, and data that was executed lacks no symbols.
#[test]
fn one_crash_is_one_finding() {
    for variant in ["allocating-overflow", "execute-table", "terminate-while-handling"] {
        let seen = look("crash", variant);
        let rules: Vec<&str> = seen.findings.iter().filter_map(|finding| finding["rule"].as_str()).collect();
        assert_eq!(rules, [rule(seen.expected["cause"].as_str().expect("a cause"))], "{variant}: {:#?}", seen.findings);
    }
}

/// Program headers without notes behind them: neither a signal nor its absence is known.
#[test]
fn a_core_that_lost_its_notes_is_not_said_to_be_of_a_process_that_went_on() {
    let bytes = std::fs::read(dump("crash", "null-read").core()).expect("a core");
    // Elf64_Ehdr is 64 bytes, e_phnum at 56; Elf64_Phdr is 56. Source: elf.h.
    let headers = 64 + 56 * usize::from(u16::from_le_bytes([bytes[56], bytes[57]]));
    let cut = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(cut.path(), &bytes[..headers]).expect("room for it");
    let text = dumpscope!("analyze", cut.path(), "-c", "summary").expect_status(0).stdout;
    assert!(text.contains("Signal   ? (not recorded"), "{text}");
    assert!(text.contains("no module is known") && text.contains("Threads  ?"), "{text}");
}

#[test]
fn a_deadlock_is_the_verdict_with_its_threads_and_locks() {
    for variant in ["glibc", "musl", "glibc-static"] {
        let dump = dump("deadlock", variant);
        let output = dumpscope!("analyze", dump.core(), "--json", "-c", "summary").expect_status(0);
        let findings = output.data("summary")["findings"].clone();
        let expected = dump.expected();
        let cycle = |lock: &str, other: &str| {
            let cycles = findings.as_array().into_iter().flatten().filter(|finding| finding["rule"] == "deadlock");
            let mut titles = cycles.filter_map(|finding| finding["title"].as_str());
            titles.any(|title| title.contains(lock) && title.contains(other))
        };
        assert_eq!(findings[0]["severity"], "critical", "{findings}");
        let waits_for =
            |thread: &str| expected.json()["threads"][thread]["waits_for"].as_str().expect("a lock").to_owned();
        for (thread, other) in [("worker-3", "worker-7"), ("billing-1", "billing-2")] {
            let certain =
                expected.json()["deadlocks"].as_array().into_iter().flatten().any(|cycle| {
                    cycle["cycle"][0] == thread && cycle["certain_on"].to_string().contains(library(variant))
                });
            let found = cycle(&waits_for(thread), &waits_for(other));
            assert!(found || !certain, "{variant}: {thread} and {other} wait for each other: {findings}");
        }
    }
}
