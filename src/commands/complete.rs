//! What completes a command line at its end: options that are declared, and names and numbers of the opened dump.

use std::collections::BTreeMap;

use super::words::split;
use super::{Command, Resolved, resolve};
use crate::error::Error;
use crate::job::Job;
use crate::session::Session;
use crate::views::{Arg, Kind, clash};

/// Most values that are offered at once.
const MOST: usize = 50;
/// Letters of a symbol that have to stand before symbols are looked for.
const LETTERS: usize = 2;

/// A word that may stand at the end of the line, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The word.
    pub word: String,
    /// What it is.
    pub doc: String,
}

/// What may stand at the end of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// The word that is begun; empty behind a blank.
    pub start: String,
    /// Options that begin so.
    pub options: Vec<Completion>,
    /// The kind of value that is expected.
    pub kind: Option<Kind>,
}

/// What may stand at the end of a line whose first word is a command of ours.
pub fn at_end(line: &str) -> Option<End> {
    let behind_blank = line.ends_with(char::is_whitespace);
    let Ok(Resolved::Ours { command, preset, mut words }) = resolve(line) else { return None };
    // What another tool's line was turned into is not what is typed.
    let typed = split(line).ok()?;
    let first = typed.first().and_then(|first| super::find(first));
    if first.is_none_or(|first| first.name != command.name) {
        return None;
    }
    let start = if behind_blank { String::new() } else { words.pop().filter(|_| typed.len() > 1)? };
    Some(ended(&command, preset, &words, start))
}

fn ended(command: &Command, preset: &[&str], before: &[String], start: String) -> End {
    let mut given: Vec<&str> = preset.iter().map(|word| word.trim_start_matches('-')).collect();
    let mut operands = 0usize;
    let mut expected = None;
    for word in before {
        if expected.take().is_some() {
            continue;
        }
        match word.strip_prefix('-') {
            Some(name) => {
                let name = name.trim_start_matches('-');
                let found = command.args.iter().find(|argument| argument.name().eq_ignore_ascii_case(name));
                given.extend(found.map(Arg::name));
                if let Some(Arg::Value(_, kind, _)) = found {
                    expected = Some(*kind);
                }
            }
            None => operands = operands.saturating_add(1),
        }
    }
    if expected.is_some() {
        return End { start, options: Vec::new(), kind: expected };
    }
    let lower = start.trim_start_matches('-').to_ascii_lowercase();
    let goes_with_given = |name: &str| clash(command.args, |other| other == name || given.contains(&other)).is_none();
    let is_open = |argument: &&Arg| match argument {
        Arg::Flag(name, _) | Arg::Value(name, ..) => {
            !given.contains(name) && name.starts_with(&lower) && goes_with_given(name)
        }
        Arg::Operand(..) | Arg::Implied(..) | Arg::Refused(..) | Arg::Apart(..) => false,
    };
    let offers = start.is_empty() || start.starts_with('-');
    let options = command.args.iter().filter(|argument| offers && is_open(argument));
    let options =
        options.map(|argument| Completion { word: format!("-{}", argument.name()), doc: argument.doc().to_owned() });
    let mut kinds = command.args.iter().filter_map(|argument| match argument {
        Arg::Operand(_, kind, ..) => Some(*kind),
        _ => None,
    });
    let kind = kinds.nth(operands).filter(|_| !start.starts_with('-'));
    End { start, options: options.collect(), kind }
}

/// Values of a kind in the opened dump that begin so, at most 50.
pub fn values(session: &Session, kind: Kind, start: &str, job: &Job) -> Result<Vec<Completion>, Error> {
    let begins = |word: &String| word.starts_with(start);
    match kind {
        Kind::Thread | Kind::Index => {
            let threads = session.process()?.os_threads();
            let shown = session.threads_if_known();
            let name = |index: usize| {
                let known = shown
                    .as_ref()
                    .and_then(|threads| threads.value.get(index))
                    .and_then(|thread| thread.name.clone().or_else(|| thread.start.clone()));
                known.or_else(|| threads.get(index)?.name.clone()).unwrap_or_default()
            };
            let all = threads.iter().enumerate().map(|(index, thread)| match kind {
                Kind::Thread => Completion { word: thread.tid.to_string(), doc: name(index) },
                _ => Completion { word: index.to_string(), doc: format!("{} {}", thread.tid, name(index)) },
            });
            Ok(all.filter(|found| begins(&found.word)).take(MOST).collect())
        }
        Kind::Module => {
            let modules = session.target()?.modules.iter();
            let named = modules.filter_map(|module| {
                let doc = module.mapped.path.clone().unwrap_or_default();
                Some(Completion { word: module.file_name()?.to_owned(), doc })
            });
            Ok(named.filter(|found| begins(&found.word)).take(MOST).collect())
        }
        Kind::Address if start.len() >= LETTERS => symbols(session, start, job),
        Kind::Command => {
            let names = super::commands()
                .map(|command| Completion { word: command.name.to_owned(), doc: command.doc.to_owned() });
            Ok(names.filter(|found| begins(&found.word)).take(MOST).collect())
        }
        Kind::Address | Kind::Count | Kind::Bytes | Kind::Directory | Kind::Word | Kind::Expression => Ok(Vec::new()),
    }
}

/// Symbols by the names that they have in the files, those of the executable first.
fn symbols(session: &Session, start: &str, job: &Job) -> Result<Vec<Completion>, Error> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for module in &session.target()?.modules {
        job.check()?;
        for symbol in module.symbols().symbols_starting_with(start) {
            if found.len() >= MOST {
                break;
            }
            let doc = module.file_name().unwrap_or_default().to_owned();
            found.entry(symbol.name.to_string()).or_insert(doc);
        }
    }
    Ok(found.into_iter().map(|(word, doc)| Completion { word, doc }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        at_end(line).map(|end| end.options.into_iter().map(|option| option.word).collect()).unwrap_or_default()
    }

    #[test]
    fn options_that_are_not_given_yet_are_offered() {
        assert_eq!(
            words("stack "),
            ["-all", "-t", "-pc", "-a", "-p", "-l", "-r", "-nolines", "-managed", "-n", "-frame", "-full"]
        );
        assert_eq!(words("stack -a"), ["-all", "-a"]);
        assert_eq!(
            words("stack -all -"),
            ["-pc", "-a", "-p", "-l", "-r", "-nolines", "-managed", "-n", "-full"],
            "what does not go with it is not"
        );
        assert_eq!(
            words("eestack -"),
            ["-pc", "-a", "-p", "-l", "-r", "-nolines", "-managed", "-n", "-full"],
            "what the alias stands for is given"
        );
        assert_eq!(words("threads "), [""; 0]);
    }

    #[test]
    fn the_kind_of_a_value_is_that_of_its_option_or_operand() {
        let kind = |line: &str| at_end(line).and_then(|end| end.kind);
        assert_eq!(kind("stack -t 47"), Some(Kind::Thread));
        assert_eq!(kind("stack -t "), Some(Kind::Thread));
        assert_eq!(kind("stack -n "), Some(Kind::Count));
        assert_eq!(kind("setthread "), Some(Kind::Index));
        assert_eq!(kind("setthread 3 "), None);
        assert_eq!(kind("readmemory g_"), Some(Kind::Address));
        assert_eq!(kind("modules libc"), Some(Kind::Module));
        assert_eq!(kind("readmemory -"), None);
    }

    #[test]
    fn the_first_word_and_other_tools_lines_are_not_completed_so() {
        assert_eq!(at_end("stack"), None);
        assert_eq!(at_end("nonsense "), None);
        assert_eq!(at_end("eeheap "), None);
    }
}
