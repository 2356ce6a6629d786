//! `help`: the list of commands, and what one takes.

use serde::Serialize;

use super::foreign;
use super::outcome::Outcome;
use super::{Command, Resolved, commands, resolve_with};
use crate::error::Error;
use crate::job::Job;
use crate::model::Subject;
use crate::report::section::{Body, Cell, Row, Section, Tone};
use crate::session::Session;
use crate::views::{self, Arg, View};

impl Command {
    /// What it is called with: `stack [-all] [-t TID]`.
    pub fn usage(&self) -> String {
        let words: Vec<String> =
            std::iter::once(self.name.to_owned()).chain(self.args.iter().filter_map(Arg::usage)).collect();
        words.join(" ")
    }

    /// Usage, arguments, then what else there is to know.
    pub fn help_text(&self) -> String {
        let mut parts = vec![self.usage()];
        let listed = self.args.iter().filter(|argument| !matches!(argument, Arg::Apart(..)));
        let shown: Vec<(String, String)> = listed.map(|argument| (argument.label(), said(argument))).collect();
        if !shown.is_empty() {
            let wide = shown.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
            let lines: Vec<String> = shown.iter().map(|(label, doc)| format!("  {label:wide$}  {doc}")).collect();
            parts.push(lines.join("\n"));
        }
        let apart: Vec<String> = self.args.iter().filter_map(|argument| self.apart(argument)).collect();
        if !apart.is_empty() {
            parts.push(apart.join("\n"));
        }
        if !self.help.is_empty() {
            parts.push(self.help.trim_end().to_owned());
        }
        parts.join("\n\n")
    }

    /// `-all does not go with -t TID, -frame.`
    fn apart(&self, argument: &Arg) -> Option<String> {
        let Arg::Apart(one, others) = argument else { return None };
        let label = |name: &str| self.args.iter().find(|argument| argument.name() == name).map(Arg::label);
        let others: Vec<String> = others.iter().filter_map(|other| label(other)).collect();
        Some(format!("{} does not go with {}.", label(one)?, others.join(", ")))
    }

    /// Its other names, with what they stand for where that is more: `eestack (-all)`.
    pub fn also_words(&self) -> Vec<String> {
        let words = |alias: &crate::views::Alias| match alias.preset {
            [] => alias.name.to_owned(),
            preset => format!("{} ({})", alias.name, preset.join(" ")),
        };
        self.aliases.iter().map(words).collect()
    }
}

fn said(argument: &Arg) -> String {
    match argument {
        Arg::Refused(_, why) => format!("not taken: {why}"),
        other => other.doc().to_owned(),
    }
}

#[derive(Serialize)]
struct HelpRow {
    name: &'static str,
    aliases: Vec<&'static str>,
    doc: &'static str,
    usage: String,
}

/// The list of commands, or what `name` takes; of another tool's command, what it is here.
pub(super) fn help(name: Option<&str>, session: &Session, job: &Job) -> Result<Outcome, Error> {
    let brought = || views::brought(session, job);
    let Some(name) = name else { return Ok(list(&brought())) };
    match resolve_with(name, brought)? {
        Resolved::Ours { command, .. } => Ok(explained(&command, name)),
        Resolved::Foreign(found) => Ok(foreign_explained(&found, session, job)),
    }
}

fn explained(command: &Command, typed: &str) -> Outcome {
    let mut lines = vec![Row::new(vec![Cell::text(format!("{}.", command.doc)).tone(Tone::Strong)]), Row::default()];
    lines.extend(command.help_text().lines().map(Row::text));
    if !command.aliases.is_empty() {
        lines.extend([Row::default(), Row::text(format!("Also: {}", command.also_words().join(", ")))]);
    }
    let first = typed.split_whitespace().next().unwrap_or_default();
    if !command.names().any(|name| name.eq_ignore_ascii_case(first)) {
        lines.insert(0, Row::text(format!("'{typed}' is '{}' here.", command.name)));
    }
    let data = serde_json::json!({
        "name": command.name, "aliases": command.also(), "doc": command.doc, "help": command.help_text(),
    });
    Outcome::Text(Section { bodies: vec![Body::Lines(lines)], ..Section::default() }, data)
}

fn foreign_explained(found: &foreign::Found, session: &Session, job: &Job) -> Outcome {
    let sentence = found.sentence(Some(session), job);
    let data = serde_json::json!({ "name": found.words, "doc": sentence });
    let lines = vec![Row::text(format!("{}: {sentence}", found.words))];
    Outcome::Text(Section { bodies: vec![Body::Lines(lines)], ..Section::default() }, data)
}

/// `brought`: views of the runtimes in the dump.
fn list(brought: &[&'static View]) -> Outcome {
    let all = || commands().chain(brought.iter().copied().map(Command::of));
    let fields: Vec<(String, Row)> = all()
        .map(|command| {
            let mut cells = vec![Cell::text(format!("{}.", command.doc))];
            let also = command.also_words();
            cells.extend((!also.is_empty()).then(|| Cell::text(format!("Also {}.", also.join(", "))).tone(Tone::Dim)));
            (command.name.to_owned(), Row::about(Subject::Command(command.name), cells))
        })
        .collect();
    let list: Vec<HelpRow> =
        all().map(|c| HelpRow { name: c.name, aliases: c.also(), doc: c.doc, usage: c.usage() }).collect();
    let data = serde_json::json!({ "commands": list });
    let more =
        Row::text("help NAME explains one; commands of SOS, gdb, lldb and WinDbg are explained too: help eeheap");
    Outcome::Text(Section { bodies: vec![Body::Fields(fields), Body::Lines(vec![more])], ..Section::default() }, data)
}
