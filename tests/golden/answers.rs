//! Every view as text, and as JSON.

use std::sync::Arc;

use dumpscope::commands::{Format, Shell};
use dumpscope::job::Job;
use dumpscope::report::text::Style;
use dumpscope::session::Session;
use dumpscope::views::VIEWS;
use serde::Deserialize;

use super::dumps::open;
use super::standing::check;

/// Every one: the service that is built into the program; threads in three deadlocks; threads at rest; a C++ exception that nobody
/// catches while another is handled; a Rust panic; a deep recursion.
const DUMPS: [&str; 6] = ["demo", "deadlock", "waits", "exception", "panic", "recursion"];

/// What is asked of every dump, beside each view without arguments.
const MORE: [&str; 6] =
    ["stack --all", "stack -a", "stack -full", "locks -list", "printexception -list", "modules -list"];

/// Answers that are long and say in JSON what their text says.
const TEXT_ONLY: [&str; 5] = ["stack --all", "stack -full", "locks -list", "printexception -list", "modules -list"];

fn run(session: &Arc<Session>, line: &str, format: Format) -> String {
    let mut shell = Shell::new(Arc::clone(session));
    let result = shell.run(line, &Job::default());
    let mut out = Vec::new();
    let warnings = shell.print(line, &result, format, &mut out, &Job::default()).expect("a vector takes everything");
    let mut out = String::from_utf8(out).expect("text");
    for warning in warnings {
        out.push_str(&format!("! {warning}\n"));
    }
    if let (Format::Text(_), Err(error)) = (format, &result) {
        out.push_str(&format!("error: {error}\n"));
    }
    out
}

/// A document with a line for each value: what changed is seen in a difference.
fn pretty(line: &str) -> String {
    let mut parser = serde_json::Deserializer::from_str(line);
    // Merged stacks nest deeper than this parser allows by itself.
    parser.disable_recursion_limit();
    let document = serde_json::Value::deserialize(&mut parser).unwrap_or_else(|why| panic!("{why} in: {line:.200}"));
    serde_json::to_string_pretty(&document).expect("a document") + "\n"
}

fn every_answer(name: &str) {
    let session = open(name);
    for line in VIEWS.iter().map(|view| view.name).chain(MORE) {
        let file = line.replace(' ', "").replace("--", "-");
        check(&format!("answers/{name}/{file}.txt"), &run(&session, line, Format::Text(Style::default())));
        // The JSON of 34 threads, and of a recursion, would be larger than what is learned from it.
        if !["demo", "recursion"].contains(&name) && !TEXT_ONLY.contains(&line) {
            check(&format!("answers/{name}/{file}.json"), &pretty(&run(&session, line, Format::Json)));
        }
    }
}

#[test]
fn of_the_demo() {
    every_answer("demo");
}

#[test]
fn of_three_deadlocks() {
    every_answer("deadlock");
}

#[test]
fn of_threads_at_rest() {
    every_answer("waits");
}

#[test]
fn of_an_exception_that_nobody_catches() {
    every_answer("exception");
}

#[test]
fn of_a_panic() {
    every_answer("panic");
}

#[test]
fn of_a_recursion() {
    every_answer("recursion");
}

#[test]
fn no_dump_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/answers");
    let entries = std::fs::read_dir(folder).expect("answers");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mut all = DUMPS.map(str::to_owned).to_vec();
    all.sort();
    assert_eq!(names, all);
}
