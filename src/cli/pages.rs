//! Completion scripts and manual pages.

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};

use super::{Cli, lost, printed};
use crate::commands;
use crate::error::Error;

/// Prints a shell's completion script, which completes the names of commands behind `-c` too.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Error> {
    let names: Vec<&'static str> = commands::commands().map(|command| command.name).collect();
    let named = |command: Command| {
        if command.get_arguments().any(|argument| argument.get_id() == "commands") {
            let names = names.clone();
            command.mut_arg("commands", |argument| argument.value_parser(PossibleValuesParser::new(names)))
        } else {
            command
        }
    };
    let mut cli = named(Cli::command()).mut_subcommands(named);
    // What writes the script itself ends the program where nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli, "dumpscope", &mut script);
    printed(|out, _| out.write_all(&script).map_err(lost))
}

/// Prints the manual page of the program, or of a subcommand.
pub(super) fn man(subcommand: Option<&str>) -> Result<(), Error> {
    let mut cli = Cli::command();
    // Names subcommands as they are called, `dumpscope-analyze`.
    cli.build();
    let page = match subcommand {
        None => cli,
        Some(name) => {
            let found = cli.get_subcommands().find(|command| command.get_name() == name).cloned();
            found.ok_or_else(|| {
                let names = cli.get_subcommands().map(Command::get_name).filter(|name| *name != "help");
                let names: Vec<&str> = names.collect();
                Error::Usage(format!("man {name}: the subcommands are {}", names.join(", ")))
            })?
        }
    };
    printed(|mut out, _| clap_mangen::Man::new(page).render(&mut out).map_err(lost))
}
