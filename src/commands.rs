//! The commands of `-c`, of standard input and of the `:` prompt: one table, one way to run them.

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use crate::analysis::motion::History;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Problem, Tid};
use crate::report::json::{self, Envelope};
use crate::report::section::{Body, Cell, Column, Row, Section, Table, Tone};
use crate::report::text::{self, Style};
use crate::session::Session;
use crate::views::{self, Alias, Focus, Query, VIEWS, View};

/// What a command does.
#[derive(Clone, Copy)]
pub enum Action {
    /// Answers a question.
    View(&'static View),
    /// Selects the thread that the next commands speak of.
    SetThread,
    /// Changes where symbols are looked for.
    SetSymbolServer,
    /// Captures the live process again.
    Refresh,
    /// Lists the commands, or explains one.
    Help,
    /// Ends the session.
    Exit,
}

/// A command.
#[derive(Clone, Copy)]
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// Other names that fingers know.
    pub aliases: &'static [Alias],
    /// One sentence.
    pub doc: &'static str,
    /// Arguments, options and an example.
    pub help: &'static str,
    /// What it does.
    pub action: Action,
}

const OTHERS: &[Command] = &[
    Command {
        name: "setthread",
        aliases: &[Alias::of("thread")],
        doc: "Selects the thread that the next commands speak of",
        help: "setthread INDEX\nsetthread -t TID\n\nINDEX counts as in 'threads'.",
        action: Action::SetThread,
    },
    Command {
        name: "setsymbolserver",
        aliases: &[],
        doc: "Where symbols come from, changed while running",
        help: "setsymbolserver [-directory DIR] [-disable]\n\n  -directory DIR  look for module and debug files there too\n  \
               -disable        forget the directories given so far\n\nWithout options: where is looked.",
        action: Action::SetSymbolServer,
    },
    Command {
        name: "refresh",
        aliases: &[Alias::of("recapture")],
        doc: "Captures the live process again; 'moved' says what changed",
        help: "refresh\n\nStops the process, copies it and lets it go on, as 'live' did. The selected thread stays selected.",
        action: Action::Refresh,
    },
    Command {
        name: "help",
        aliases: &[Alias::of("soshelp"), Alias::of("?")],
        doc: "Lists the commands; help NAME explains one",
        help: "help [NAME]",
        action: Action::Help,
    },
    Command {
        name: "exit",
        aliases: &[Alias::of("quit"), Alias::of("q")],
        doc: "Ends the session",
        help: "exit",
        action: Action::Exit,
    },
];

/// Every command: the views in their order, then the others.
pub fn commands() -> impl Iterator<Item = Command> {
    let of_view = |view: &'static View| Command {
        name: view.name,
        aliases: view.aliases,
        doc: view.doc,
        help: view.help,
        action: Action::View(view),
    };
    VIEWS.iter().map(of_view).chain(OTHERS.iter().copied())
}

/// The command of a name or alias.
pub fn find(name: &str) -> Option<Command> {
    commands().find(|command| command.name == name || command.alias(name).is_some())
}

impl Command {
    /// Its alias of a name.
    pub fn alias(&self, name: &str) -> Option<&'static Alias> {
        self.aliases.iter().find(|alias| alias.name == name)
    }

    /// The names of its aliases.
    pub fn also(&self) -> Vec<&'static str> {
        self.aliases.iter().map(|alias| alias.name).collect()
    }
}

/// The command of a line, and what it asks.
pub fn parse(line: &str, focus: Focus) -> Result<(Command, Query), Error> {
    let mut words = split(line)?.into_iter();
    let name = words.next().ok_or_else(|| Error::Usage("empty command".to_owned()))?;
    let Some(command) = find(&name) else {
        return Err(Error::Failed(format!("unknown command '{name}'; 'help' lists the commands")));
    };
    let preset = command.alias(&name).map(|alias| alias.preset).unwrap_or_default();
    let args = preset.iter().map(|word| (*word).to_owned()).chain(words).collect();
    Ok((command, Query { args, focus }))
}

/// What came of a command line.
pub enum Outcome {
    /// An answer to print.
    Answer(Box<dyn views::Answer>),
    /// Text to print (help).
    Text(Section, serde_json::Value),
    /// The focus or a setting changed; what to say about it.
    Changed(String, serde_json::Value),
    /// The session ends.
    Exit,
}

/// An opened dump with a focus: runs command lines one after the other.
pub struct Shell {
    /// The dump.
    pub session: Arc<Session>,
    /// What the next command speaks of.
    pub focus: Focus,
}

impl Shell {
    /// A shell over an opened dump, nothing selected.
    pub fn new(session: Arc<Session>) -> Shell {
        Shell { session, focus: Focus::default() }
    }

    /// Runs one command line. Words are separated by blanks; `"…"` keeps blanks together.
    pub fn run(&mut self, line: &str, job: &Job) -> Result<Outcome, Error> {
        let (command, query) = parse(line, self.focus)?;
        let args = &query.args;
        match command.action {
            Action::View(view) => view.answer(&self.session, &query, job).map(Outcome::Answer),
            Action::SetThread => self.set_thread(args),
            Action::SetSymbolServer => self.set_symbols(args, job),
            Action::Refresh => self.refresh(args, job),
            Action::Help => help(args.first().map(String::as_str)),
            Action::Exit => Ok(Outcome::Exit),
        }
    }

    fn set_thread(&mut self, args: &[String]) -> Result<Outcome, Error> {
        let threads = self.session.process()?.os_threads();
        let number = |text: &String| {
            text.parse::<u32>().map_err(|_| Error::Usage(format!("'{text}' is no number; see 'help setthread'")))
        };
        let tid = match args {
            [option, tid] if matches!(option.as_str(), "-t" | "--tid") => {
                let tid = Tid(number(tid)?);
                self.session.index_of(tid).ok_or_else(|| Error::Failed(format!("no thread with id {tid}")))?;
                tid
            }
            [index] => {
                let index = number(index)?;
                let thread = usize::try_from(index).ok().and_then(|index| threads.get(index));
                thread.ok_or_else(|| Error::Failed(format!("no thread {index}: there are {}", threads.len())))?.tid
            }
            _ => return Err(Error::Usage("setthread takes INDEX or -t TID".to_owned())),
        };
        self.focus = Focus { thread: Some(tid), ..Focus::default() };
        let index = self.session.index_of(tid);
        Ok(Outcome::Changed(format!("Thread {tid} is selected."), serde_json::json!({ "tid": tid, "index": index })))
    }

    fn set_symbols(&mut self, args: &[String], job: &Job) -> Result<Outcome, Error> {
        let mut search = self.session.search.clone();
        let mut args_left = args.iter();
        while let Some(option) = args_left.next() {
            match option.trim_start_matches('-') {
                "directory" => {
                    let directory =
                        args_left.next().ok_or_else(|| Error::Usage("-directory takes a directory".to_owned()))?;
                    search.directories.push(directory.into());
                }
                "disable" => search.directories.clear(),
                "ms" | "debuginfod" | "cache" => {
                    return Err(Error::Failed(format!(
                        "{option}: symbol servers are not supported yet; directories and local caches are"
                    )));
                }
                _ => return Err(Error::Usage(format!("unknown option '{option}'; see 'help setsymbolserver'"))),
            }
        }
        if !args.is_empty() {
            self.session = Arc::new(self.session.reopen(&search, job));
        }
        let places: Vec<String> = search.directories.iter().map(|place| place.display().to_string()).collect();
        let said = if places.is_empty() { "no directories".to_owned() } else { places.join(", ") };
        Ok(Outcome::Changed(
            format!("Symbols: {said}, then the usual places."),
            serde_json::json!({ "directories": places }),
        ))
    }

    fn refresh(&mut self, args: &[String], job: &Job) -> Result<Outcome, Error> {
        if !args.is_empty() {
            return Err(Error::Usage("refresh takes no argument".to_owned()));
        }
        self.session = Arc::new(self.session.recapture(job)?);
        if self.focus.thread.is_some_and(|tid| self.session.index_of(tid).is_none()) {
            self.focus = Focus { thread: None, frame: 0, ..self.focus };
        }
        let (stayed, moved) = self.session.history().map(History::counts).unwrap_or_default();
        let paused = self.session.pause().unwrap_or_default();
        let pause_ms = paused.as_secs_f64() * 1000.0;
        Ok(Outcome::Changed(
            format!(
                "Captured again, paused {pause_ms:.1} ms; threads that moved: {moved}, that are where they were: {stayed}."
            ),
            serde_json::json!({ "pause_ms": pause_ms, "moved": moved, "stayed": stayed }),
        ))
    }

    /// Prints what came of a command: text for a person, or one line of JSON. Returns what belongs on standard error as warnings.
    pub fn print(
        &self,
        line: &str,
        result: &Result<Outcome, Error>,
        format: Format,
        out: &mut dyn Write,
        job: &Job,
    ) -> Result<Vec<Problem>, Error> {
        match (format, result) {
            (Format::Json, _) => self.json(line, result, out, job).map(|()| Vec::new()),
            (Format::Text(style), Ok(Outcome::Answer(answer))) => {
                text::print_parts(answer.parts(), |index| answer.part(index), style, out, job)?;
                Ok(answer.problems().to_vec())
            }
            (Format::Text(style), Ok(Outcome::Text(section, _))) => {
                text::print(section, style, out, job).map(|()| Vec::new())
            }
            (Format::Text(style), Ok(Outcome::Changed(said, _))) => {
                let said = Section { bodies: vec![Body::Lines(vec![Row::text(said.as_str())])], ..Section::default() };
                text::print(&said, style, out, job).map(|()| Vec::new())
            }
            (Format::Text(_), Ok(Outcome::Exit) | Err(_)) => Ok(Vec::new()),
        }
    }
}

impl Shell {
    /// One line; nothing for a command that ends the session.
    fn json(&self, line: &str, result: &Result<Outcome, Error>, out: &mut dyn Write, job: &Job) -> Result<(), Error> {
        let mut problems = self.session.problems();
        let command = canonical(line);
        let envelope = Envelope::new(out, job);
        match result {
            Ok(Outcome::Answer(answer)) => {
                problems.extend_from_slice(answer.problems());
                envelope.data(&command, &|out, job| answer.write_json(out, job), &problems)
            }
            Ok(Outcome::Text(_, data) | Outcome::Changed(_, data)) => {
                envelope.data(&command, &|out, _| json::write(out, data), &problems)
            }
            Ok(Outcome::Exit) => Ok(()),
            Err(error) => envelope.error(&command, error, &problems),
        }
    }
}

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// Text for a person.
    Text(Style),
    /// One line of JSON a command.
    Json,
}

/// The command's own name for what was typed (`bt` is `stack`); what was typed where there is no such command.
fn canonical(line: &str) -> String {
    let typed = line.split_whitespace().next().unwrap_or_default();
    find(typed).map_or_else(|| typed.to_owned(), |command| command.name.to_owned())
}

/// Longest command line that is understood, in bytes.
const MAX_LINE: usize = 64 * 1024;

fn split(line: &str) -> Result<Vec<String>, Error> {
    if line.len() > MAX_LINE {
        return Err(Error::Usage(format!("the command is longer than {MAX_LINE} bytes")));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quoted {
        return Err(Error::Usage("a quote is not closed".to_owned()));
    }
    words.extend(word);
    Ok(words)
}

#[derive(Serialize)]
struct HelpRow {
    name: &'static str,
    aliases: Vec<&'static str>,
    doc: &'static str,
}

fn help(name: Option<&str>) -> Result<Outcome, Error> {
    if let Some(name) = name {
        let command = find(name).ok_or_else(|| Error::Failed(format!("no command '{name}'; 'help' lists them")))?;
        let mut lines =
            vec![Row::new(vec![Cell::text(format!("{}.", command.doc)).tone(Tone::Strong)]), Row::default()];
        lines.extend(command.help.lines().map(Row::text));
        if !command.aliases.is_empty() {
            lines.extend([Row::default(), Row::text(format!("Also: {}", command.also().join(", ")))]);
        }
        let data = serde_json::json!({ "name": command.name, "aliases": command.also(), "doc": command.doc, "help": command.help });
        return Ok(Outcome::Text(Section { bodies: vec![Body::Lines(lines)], ..Section::default() }, data));
    }
    let rows: Vec<Row> = commands()
        .map(|command| {
            let names = std::iter::once(command.name).chain(command.also()).collect::<Vec<_>>();
            Row::new(vec![Cell::text(names.join(", ")).tone(Tone::Strong), Cell::text(command.doc)])
        })
        .collect();
    let table = Table::new(vec![Column::left("Command"), Column::wide("Prints", 1)], rows);
    let list: Vec<HelpRow> = commands().map(|c| HelpRow { name: c.name, aliases: c.also(), doc: c.doc }).collect();
    let data = serde_json::json!({ "commands": list });
    Ok(Outcome::Text(Section { bodies: vec![Body::Table(table)], ..Section::default() }, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_at_blanks_outside_quotes() {
        assert_eq!(
            split("setsymbolserver -directory \"/a b\"  -x").unwrap(),
            ["setsymbolserver", "-directory", "/a b", "-x"]
        );
        assert!(split("a \"b").is_err());
        assert!(split("").unwrap().is_empty());
    }

    #[test]
    fn no_two_commands_share_a_name() {
        let mut names: Vec<&str> = commands().flat_map(|c| std::iter::once(c.name).chain(c.also())).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(all, names.len());
    }
}
