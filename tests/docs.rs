//! docs/commands.md is what the program's own `help` says, docs/keys.md what its key table says.

use std::fmt::Write as _;
use std::path::Path;

/// Set to rewrite the file instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

#[test]
fn the_command_reference_is_what_help_says() {
    let mut text = String::from(
        "# Commands\n\nThe same after `-c`, on standard input and at the `:` prompt. Generated from the program's own help: `UPDATE_DOCS=1 cargo test --test docs`.\n",
    );
    for command in dumpscope::commands::commands() {
        write!(text, "\n## {}\n\n", command.name).expect("writing to a string");
        if !command.aliases.is_empty() {
            write!(text, "Also: `{}`\n\n", command.also_words().join("`, `")).expect("writing to a string");
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
fn the_key_reference_is_the_key_table() {
    let text = dumpscope::tui::keymap::markdown();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&file, &text).expect("docs/keys.md can be written");
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == text, "docs/keys.md is out of date: run UPDATE_DOCS=1 cargo test --test docs");
}
