//! A subcommand with a slip of the fingers would be taken for a dump's name: it is told with the right word.

use std::ffi::OsString;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::Cli;
use crate::commands::nearest;
use crate::error::Error;

/// The first word that is no option, where it is neither a subcommand nor a file and looks like a subcommand.
pub(super) fn subcommand(words: &[OsString]) -> Option<Error> {
    let cli = Cli::command();
    let mut words = words.iter().skip(1);
    let word = loop {
        let word = words.next()?.to_str()?;
        if word == "--" {
            return None;
        }
        if !word.starts_with('-') {
            break word;
        }
        if takes_value(&cli, word) {
            words.next();
        }
    };
    let names: Vec<&str> = cli.get_subcommands().map(Command::get_name).collect();
    if names.contains(&word) || word == "help" || word.contains('/') || Path::new(word).exists() {
        return None;
    }
    let meant = nearest(word, names.into_iter())?;
    Some(Error::Usage(format!("there is no subcommand and no file '{word}'; did you mean '{meant}'?")))
}

/// Whether the next word is this option's value.
fn takes_value(cli: &Command, word: &str) -> bool {
    let named = |argument: &&clap::Arg| match word.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => word.len() == 2 && argument.get_short().is_some_and(|short| word.ends_with(short)),
    };
    cli.get_arguments().find(named).is_some_and(|argument| argument.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Option<String> {
        let words: Vec<OsString> = std::iter::once("dumpscope").chain(line.split(' ')).map(OsString::from).collect();
        subcommand(&words).map(|error| error.to_string())
    }

    #[test]
    fn a_subcommand_that_is_nearly_one_is_named() {
        assert!(said("analyse core").is_some_and(|said| said.contains("'analyze'")));
        assert!(said("--color never --json colect -p 3").is_some_and(|said| said.contains("'collect'")));
    }

    #[test]
    fn subcommands_files_and_other_words_are_left_alone() {
        for line in ["analyze core", "core.4711", "/proc/self/exe", "./analyse", "-c threads core.4711", "help analyze"]
        {
            assert_eq!(said(line), None, "{line}");
        }
    }
}
