//! Stacks of programs on glibc: every thread shows the callers that its source dictates, by unwind tables and not by
//! guesses, and frame by frame what gdb shows.

use serde_json::Value;
use support::{Dump, GdbFrame, Stack, as_address, dump, dumpscope, gdb_stacks};

fn stacks_of(dump: &Dump, options: &[&str]) -> Vec<Stack> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["--offline", "--json", "-c", "stack --all"]).args(options);
    Stack::all(&support::run(command).expect_status(0).data("stack"))
}

fn of(stacks: &[Stack], tid: u64) -> &Stack {
    stacks.iter().find(|stack| stack.tid == tid).unwrap_or_else(|| panic!("no stack of {tid}"))
}

/// Every thread of `expected.json` shows the run of functions it names.
#[track_caller]
fn assert_expected_functions(dump: &Dump, stacks: &[Stack], expected: &support::Expected) {
    let truth = dump.truth();
    let mut compared = 0;
    for (pattern, wanted) in expected.threads() {
        for (name, tid) in truth.threads(pattern) {
            let stack = of(stacks, tid);
            let functions = &wanted["functions"];
            assert!(stack.has_run(functions), "{name}: wanted {functions}, shown {:#?}", stack.functions());
            compared += 1;
        }
    }
    assert_eq!(compared, stacks.len(), "threads compared, threads shown");
}

/// The stack reaches the bottom and no frame of it is a guess.
#[track_caller]
fn assert_by_tables(stack: &Stack) {
    let guessed = |frame: &&Value| matches!(frame["trust"].as_str(), Some("scan" | "frame-pointer"));
    let guess = stack.frames.iter().find(guessed);
    assert_eq!(guess, None, "thread {} shows {:?}", stack.tid, stack.functions());
    assert_eq!(stack.end, "bottom", "thread {}: {:?}", stack.tid, stack.functions());
}

/// The physical frames have the addresses that gdb's have.
#[track_caller]
fn assert_like_gdb(dump: &Dump, stacks: &[Stack]) {
    let gdb = gdb_stacks(&dump.exe(), &dump.core());
    assert_eq!(gdb.len(), stacks.len(), "threads");
    for stack in stacks {
        let physical = stack.frames.iter().filter(|frame| frame["kind"] != "inline");
        let ours: Vec<u64> = physical.filter_map(|frame| as_address(&frame["pc"])).collect();
        let frames = gdb.get(&stack.tid).unwrap_or_else(|| panic!("gdb has no thread {}", stack.tid));
        let theirs: Vec<u64> = frames.iter().filter(|frame| !frame.inline).map(|frame: &GdbFrame| frame.pc).collect();
        assert_eq!(
            ours.iter().map(|pc| format!("{pc:#x}")).collect::<Vec<_>>(),
            theirs.iter().map(|pc| format!("{pc:#x}")).collect::<Vec<_>>(),
            "thread {}: {:?}",
            stack.tid,
            stack.functions()
        );
    }
}

#[track_caller]
fn check(name: &str, variant: &str) {
    let dump = dump(name, variant);
    let stacks = stacks_of(&dump, &[]);
    assert_expected_functions(&dump, &stacks, &dump.expected());
    stacks.iter().for_each(assert_by_tables);
    assert_like_gdb(&dump, &stacks);
}

#[test]
fn a_deadlocked_program_shows_every_thread_as_gdb_does() {
    check("deadlock", "glibc");
}

#[test]
fn a_program_at_fixed_addresses_without_frame_pointers_does_too() {
    check("deadlock", "glibc-nopie");
}

#[test]
fn a_static_program_does_too() {
    check("deadlock", "glibc-static");
}

#[test]
fn a_core_written_by_gcore_does_too() {
    check("deadlock", "glibc-gcore");
}

#[test]
fn a_core_with_file_pages_and_shared_memory_does_too() {
    check("deadlock", "glibc-filter-7f");
}

#[test]
fn every_wait_of_glibc_and_libstdcxx_is_walked_through_to_the_program() {
    check("locks", "glibc");
    check("locks", "static");
}

#[test]
fn rust_threads_are_walked_from_the_futex_to_the_bottom() {
    check("rust-std", "gnu");
    check("rust-std", "v0");
    check("rust-parking-lot", "gnu");
}

#[test]
fn a_core_from_outside_a_pid_namespace_shows_the_same_stacks() {
    check("pidns", "glibc");
}

#[test]
fn a_handler_on_an_alternate_stack_shows_the_frames_it_interrupted() {
    for variant in ["segv", "nested", "block", "same", "segv-static", "block-O0"] {
        let dump = dump("altstack", variant);
        let stacks = stacks_of(&dump, &[]);
        let expected = dump.expected();
        let wanted = expected.variant(variant);
        let stack = of(&stacks, dump.truth().tid("main"));
        let handler = stack.run_at(&wanted["functions"]);
        let interrupted = stack.run_at(&wanted["interrupted"]);
        assert!(handler.is_some() && handler < interrupted, "{variant}: {:?}", stack.functions());
        let signal_frames = stack.frames.iter().filter(|frame| frame["kind"] == "signal").count();
        assert_eq!(signal_frames, 1, "{variant}: {:?}", stack.functions());
        stacks.iter().for_each(assert_by_tables);
        assert_like_gdb(&dump, &stacks);
    }
}

#[test]
fn inlined_calls_are_expanded_with_their_lines_wherever_the_debug_information_is() {
    let expected = support::Expected::of("stripped");
    let json = expected.json();
    for (variant, how) in json["variants"].as_object().expect("variants") {
        let dump = dump("stripped", variant);
        let folder = dump.dir().join(how["symbols"].as_str().unwrap_or("none"));
        let options =
            if how["symbols"].is_null() { vec![] } else { vec!["--symbols", folder.to_str().expect("UTF-8")] };
        let stacks = stacks_of(&dump, &options);
        let stack = of(&stacks, dump.truth().tid("main"));
        assert_by_tables(stack);
        let has_names = stack.has_run(&json["threads"]["main"]["functions"]);
        let inlined = stack.frames.iter().find(|frame| {
            let is = |name: &Value| {
                support::is_named(frame["function"].as_str().unwrap_or(""), name.as_str().unwrap_or("?"))
            };
            frame["kind"] == "inline" && is(&json["inlined"]["function"])
        });
        let information = how["information"].as_str().expect("a word");
        assert_eq!(has_names, information != "none", "{variant}: {:?}", stack.functions());
        assert_eq!(inlined.is_some(), information == "dwarf", "{variant}: {:?}", stack.functions());
        if let Some(frame) = inlined {
            assert!(
                frame["file"].as_str().is_some_and(|file| file.ends_with("stripped/ledger.cc")),
                "{variant}: {frame}"
            );
            assert_eq!(frame["line"], json["inlined"]["line"], "{variant}: {frame}");
        }
    }
}

#[test]
fn a_debug_file_of_another_build_is_refused_and_named() {
    let dump = dump("stripped", "debuglink-wrong");
    let output = dumpscope!("analyze", dump.core(), "--offline", "--json", "-c", "modules").expect_status(0);
    assert!(output.stdout.contains("exe.debug"), "{}", output.stdout);
}

#[test]
fn two_hundred_thousand_frames_are_all_there_and_folded_in_text() {
    let expected = support::Expected::of("deep");
    for variant in ["abort", "segv", "mutual"] {
        let dump = dump("deep", variant);
        let wanted = expected.variant(variant);
        let tid = dump.truth().tid("diver");
        let json = dumpscope!("analyze", dump.core(), "--offline", "--json", "-c", "stack").expect_status(0);
        let stacks = Stack::all(&json.data("stack"));
        let stack = of(&stacks, tid);
        assert!(stack.has_run(&wanted["functions"]), "{variant}: {:?}", stack.functions().iter().take(12));
        assert!(stack.has_run(&wanted["outermost"]), "{variant}: {:?}", stack.functions().iter().rev().take(6));
        let cycle = wanted["recursive"].as_array().expect("functions");
        let first = cycle.first().and_then(Value::as_str).expect("a function");
        let times = stack.functions().iter().filter(|function| support::is_named(function, first)).count();
        assert_eq!(Some(times as u64), wanted["repeats"].as_u64(), "{variant}: {first}");
        assert_by_tables(stack);

        let text = dumpscope!("analyze", dump.core(), "--offline", "-c", "stack").expect_status(0);
        let lines = text.stdout.lines().count();
        assert!(lines < 60, "{variant}: {lines} lines");
        let folded = text.stdout.lines().find(|line| line.trim_start().starts_with('…')).unwrap_or("");
        let folded = folded.split(" more").next().unwrap_or("");
        let count: u64 = folded.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
        let close =
            wanted["repeats"].as_u64().is_some_and(|repeats| count > 0 && count <= repeats * cycle.len() as u64);
        assert!(close, "{variant}:\n{}", text.stdout);
    }
}
