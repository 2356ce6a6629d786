//! docs/commands.md is what the program's own `help` says, docs/keys.md what its key table says.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use dumpscope::commands::{Command, Format, Shell, commands};
use dumpscope::job::Job;
use dumpscope::report::text::Style;
use dumpscope::target::Search;

/// Set to rewrite the file instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

#[test]
fn the_command_reference_is_what_help_says() {
    let mut text = String::from(
        "# Commands\n\nThe same after `-c`, on standard input and at the `:` prompt. Generated from the program's own help: `UPDATE_DOCS=1 cargo test --test docs`.\n",
    );
    for command in commands().chain(dumpscope::views::of_runtimes().map(Command::of)) {
        write!(text, "\n## {}\n\n", command.name).expect("writing to a string");
        if !command.aliases.is_empty() {
            write!(text, "Also: `{}`\n\n", command.also_words().join("`, `")).expect("writing to a string");
        }
        if dumpscope::views::of_runtimes().any(|view| view.name == command.name) {
            text.push_str("Where the dump has a .NET runtime.\n\n");
        }
        write!(text, "{}.\n\n```text\n{}\n```\n", command.doc, command.help_text()).expect("writing to a string");
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, &text).expect("docs/commands.md can be written");
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == text, "docs/commands.md is out of date: run UPDATE_DOCS=1 cargo test --test docs");
}

#[test]
fn the_schema_in_the_program_is_what_its_types_say() {
    let text = serde_json::to_string_pretty(&dumpscope::views::shapes::document()).expect("JSON") + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema.json.gz");
    if std::env::var_os(UPDATE).is_some() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(text.as_bytes()).expect("memory can be written");
        std::fs::write(&file, packed.finish().expect("memory can be written")).expect("the file can be written");
    }
    let mut stands = String::new();
    let packed = std::fs::File::open(&file).expect("docs/schema.json.gz");
    flate2::read::GzDecoder::new(packed).read_to_string(&mut stands).expect("text");
    assert!(stands == text, "docs/schema.json.gz is out of date: run UPDATE_DOCS=1 cargo test --test docs");
}

/// What an example in `help` begins with; the command line stands behind it, in quotes where it is of several words.
const EXAMPLE: &str = "$ dumpscope demo -c ";

/// Commands that the demo has no answer to: it is no live process, and of it there is no other dump.
const WITHOUT_EXAMPLE: [&str; 2] = ["moved", "diff"];

#[test]
fn examples_in_help_are_what_the_demo_prints() {
    for view in dumpscope::views::VIEWS {
        let command = Command::of(view);
        let help = command.help_text();
        let Some((_, example)) = help.split_once(EXAMPLE) else {
            assert!(WITHOUT_EXAMPLE.contains(&view.name), "{} has no example", view.name);
            continue;
        };
        let mut lines = example.lines();
        let line = lines.next().unwrap_or_default().trim_matches('\'');
        let printed = printed(line);
        // Lines are left out where a line of one sign says so, and cut where the same sign ends one.
        let mut rest = printed.lines().map(str::trim_end);
        for wanted in lines.filter(|line| *line != "…") {
            let is_wanted = |printed: &str| match wanted.strip_suffix(" …") {
                Some(beginning) => printed == wanted || printed.starts_with(beginning),
                None => printed == wanted,
            };
            assert!(rest.any(is_wanted), "'{wanted}' is not what '{line}' prints:\n{printed}");
        }
    }
}

/// The text of an answer of the demo, of which nothing else was asked before.
fn printed(line: &str) -> String {
    let alone = Search { alone: true, ..Search::default() };
    let session = dumpscope::demo::open(&alone, &Job::default()).expect("the demo opens");
    let mut shell = Shell::new(Arc::new(session));
    let (result, mut out) = (shell.run(line, &Job::default()), Vec::new());
    assert!(result.is_ok(), "{line}: {:?}", result.err());
    let text = Format::Text(Style::default());
    shell.print(line, &result, text, &mut out, &Job::default()).expect("a vector takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn the_key_reference_is_the_key_table() {
    let text = dumpscope::tui::keymap::markdown();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, &text).expect("docs/keys.md can be written");
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == text, "docs/keys.md is out of date: run UPDATE_DOCS=1 cargo test --test docs");
}
