//! musl has no unwind tables, so other tools show one to three frames of a blocked thread. Here every thread shows the
//! program's real callers, and what was found by scanning says so.

use std::ffi::OsStr;

use support::{Dump, Expected, Stack, dump};

fn stacks_of(dump: &Dump, options: &[&OsStr]) -> Vec<Stack> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dumpscope"));
    command.arg("analyze").arg(dump.core()).args(["--offline", "--json", "-c", "stack --all"]).args(options);
    Stack::all(&support::run(command).expect_status(0).data("stack"))
}

/// Every thread shows its callers; nothing that the source does not call stands between or beneath them.
#[track_caller]
fn check(name: &str, variant: &str) {
    let dump = dump(name, variant);
    check_dump(&dump, &dump.expected(), &[]);
}

#[track_caller]
fn check_dump(dump: &Dump, expected: &Expected, options: &[&OsStr]) {
    let truth = dump.truth();
    let stacks = stacks_of(dump, options);
    let mut compared = 0;
    for (pattern, wanted) in expected.threads() {
        for (thread, tid) in truth.threads(pattern) {
            let stack = stacks.iter().find(|stack| stack.tid == tid).unwrap_or_else(|| panic!("no stack of {thread}"));
            let functions = &wanted["functions"];
            let at = stack.run_at(functions);
            let at = at.unwrap_or_else(|| panic!("{thread}: wanted {functions}, shown {:#?}", stack.functions()));
            // What lies above the run is the C library's, or the standard library's: none of the program's own functions.
            let own = stack.functions().iter().take(at).filter(|function| is_own(expected, function)).count();
            assert_eq!(own, 0, "{thread}: {:#?}", stack.functions());
            let first = stack.frames.get(at).expect("the run's first frame");
            let how = first["trust"].as_str().unwrap_or("");
            assert!(["scan", "cfi", "frame-pointer"].contains(&how), "{thread}: {first}");
            compared += 1;
        }
    }
    assert_eq!(compared, stacks.len(), "threads compared, threads shown");
}

/// Whether the name is one that `expected.json` lists for some thread, and so a function of the program.
fn is_own(expected: &Expected, function: &str) -> bool {
    expected.threads().iter().any(|(_, wanted)| {
        let functions = wanted["functions"].as_array().into_iter().flatten();
        functions.filter_map(|name| name.as_str()).any(|name| support::is_named(function, name))
    })
}

#[test]
fn every_thread_of_a_dynamic_musl_program_shows_its_callers() {
    check("deadlock", "musl");
}

#[test]
fn every_thread_of_a_static_musl_program_shows_its_callers() {
    check("deadlock", "musl-static");
}

#[test]
fn every_thread_of_an_aarch64_musl_program_shows_its_callers() {
    for variant in ["deadlock-musl", "deadlock-musl-static"] {
        let dump = dump("aarch64", variant);
        let (exe, sysroot) = (dump.exe(), dump.dir().join("root"));
        // A static program has no other files.
        let root = [OsStr::new("--sysroot"), sysroot.as_os_str()];
        let root = if variant.ends_with("static") { &[][..] } else { &root };
        let options = [&[OsStr::new("--exe"), exe.as_os_str()], root].concat();
        check_dump(&dump, &Expected::of("deadlock"), &options);
    }
}

#[test]
fn a_musl_core_written_by_gcore_shows_the_same() {
    check("deadlock", "musl-gcore");
}

#[test]
fn a_musl_core_from_outside_a_pid_namespace_shows_the_same() {
    check("pidns", "musl");
}

#[test]
fn rust_on_musl_shows_its_callers() {
    check("rust-std", "musl");
    check("rust-parking-lot", "musl");
}

#[test]
fn frames_found_without_tables_say_so() {
    for stack in stacks_of(&dump("deadlock", "musl"), &[]) {
        let scanned = stack.frames.iter().filter(|frame| frame["trust"] == "scan").count();
        let guessed = stack.frames.iter().filter(|frame| frame["trust"] == "frame-pointer").count();
        assert!(scanned + guessed > 0, "thread {}: {:#?}", stack.tid, stack.frames);
    }
}

#[test]
fn a_signal_handler_on_musl_shows_the_frames_it_interrupted() {
    for variant in ["segv-musl", "block-musl"] {
        let dump = dump("altstack", variant);
        let expected = dump.expected();
        let wanted = expected.variant(variant);
        let stacks = stacks_of(&dump, &[]);
        let stack = stacks.first().expect("a stack");
        let handler = stack.run_at(&wanted["functions"]);
        assert!(handler.is_some(), "{variant}: {:#?}", stack.functions());
        assert!(stack.run_at(&wanted["interrupted"]) > handler, "{variant}: {:#?}", stack.functions());
    }
}
