//! The commands of `-c`, of standard input and of the `:` prompt: one table, one way to run them.

mod complete;
mod foreign;
mod help;
mod others;
mod outcome;
mod parse;
mod places;
mod resolve;
mod shell;
mod words;

use crate::views::{Alias, Arg, VIEWS, View};

pub use self::complete::{Completion, End, at_end, values};
pub use self::foreign::{Found, other_tools};
pub use self::outcome::Outcome;
pub use self::parse::nearest;
pub use self::resolve::{Resolved, parse, resolve, resolve_with};
pub use self::shell::{Format, Shell};

/// What a command does.
#[derive(Clone, Copy)]
pub enum Action {
    /// Answers a question.
    View(&'static View),
    /// Selects the thread that the next commands speak of.
    SetThread,
    /// Selects a frame of that thread.
    Frame(Frame),
    /// Changes where symbols are looked for.
    SetSymbolServer,
    /// Captures the live process again.
    Refresh,
    /// Lists the commands, or explains one.
    Help,
    /// Ends the session.
    Exit,
}

/// Which frame is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One by its number.
    Number,
    /// One further out.
    Up,
    /// One further in.
    Down,
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
    /// Options and operands.
    pub args: &'static [Arg],
    /// What else there is to know, and an example.
    pub help: &'static str,
    /// What it does.
    pub action: Action,
}

/// Every command: the views in their order, then the others.
pub fn commands() -> impl Iterator<Item = Command> {
    VIEWS.iter().map(Command::of).chain(others::OTHERS.iter().copied())
}

/// The command of a name or alias, in any case.
pub fn find(name: &str) -> Option<Command> {
    commands().find(|command| command.name.eq_ignore_ascii_case(name) || command.alias(name).is_some())
}

impl Command {
    /// The command that asks a view.
    pub fn of(view: &'static View) -> Command {
        Command {
            name: view.name,
            aliases: view.aliases,
            doc: view.doc,
            args: view.args,
            help: view.help,
            action: Action::View(view),
        }
    }

    /// Its alias of a name, in any case.
    pub fn alias(&self, name: &str) -> Option<&'static Alias> {
        self.aliases.iter().find(|alias| alias.name.eq_ignore_ascii_case(name))
    }

    /// The names of its aliases.
    pub fn also(&self) -> Vec<&'static str> {
        self.aliases.iter().map(|alias| alias.name).collect()
    }

    /// All its names, its own first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().map(|alias| alias.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_share_a_name() {
        let mut names: Vec<&str> = commands().flat_map(|command| command.names().collect::<Vec<_>>()).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(all, names.len());
    }

    #[test]
    fn no_two_arguments_of_a_command_share_a_name_and_every_preset_is_declared() {
        for command in commands() {
            let named = command.args.iter().filter(|argument| !matches!(argument, Arg::Apart(..)));
            let mut names: Vec<&str> = named.map(Arg::name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(all, names.len(), "{}", command.name);
            for word in command.aliases.iter().flat_map(|alias| alias.preset) {
                let name = word.trim_start_matches('-');
                assert!(!word.starts_with('-') || names.contains(&name), "{} {word}", command.name);
            }
            for argument in command.args {
                let Arg::Apart(one, others) = argument else { continue };
                assert!(others.iter().chain([one]).all(|name| names.contains(name)), "{} {one}", command.name);
            }
        }
    }
}
