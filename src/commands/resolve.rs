//! Which command a line means: one of ours by its name, an alias or the start of a name, or another tool's.

use super::foreign::{self, Found};
use super::parse::{self, Places, nearest};
use super::words::split;
use super::{Command, commands, find};
use crate::error::Error;
use crate::model::Addr;
use crate::views::{Focus, Kind, Query, View};

/// What a line means.
pub enum Resolved {
    /// A command of ours.
    Ours {
        /// Which.
        command: Command,
        /// Arguments that the alias stands for.
        preset: &'static [&'static str],
        /// The words behind the name.
        words: Vec<String>,
    },
    /// Another tool's, which is not run here.
    Foreign(Found),
}

impl Resolved {
    /// The command's own name (`bt` is `stack`); another tool's as it has it.
    pub fn name(&self) -> &'static str {
        match self {
            Resolved::Ours { command, .. } => command.name,
            Resolved::Foreign(found) => found.words,
        }
    }

    /// Whether it was found by the start of its name.
    pub fn is_begun(&self, typed: &str) -> bool {
        let lower = typed.to_ascii_lowercase();
        match self {
            Resolved::Ours { command, .. } => {
                find(typed).is_none() && command.names().any(|name| name.starts_with(&lower))
            }
            Resolved::Foreign(_) => false,
        }
    }
}

/// What a line means; an error where nothing is called so.
pub fn resolve(line: &str) -> Result<Resolved, Error> {
    let words = split(&foreign::plain(line))?;
    let typed: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some(first) = typed.first() else { return Err(Error::Usage("empty command".to_owned())) };
    let own = find(first);
    if let Some(found) = foreign::find(&typed)? {
        if let Some(line) = found.line(typed.get(found.taken..).unwrap_or_default()) {
            return ours(split(&line)?);
        }
        // What is said of a single word of ours is for lines that ours does not take.
        if own.is_none() || found.taken > 1 {
            return Ok(Resolved::Foreign(found));
        }
    }
    ours(words)
}

/// The same where the runtimes of an opened dump bring views of their own ([`crate::views::brought`]), which are called by a whole name. They
/// go before aliases of ours, and before what is said of another tool's command of that name.
pub fn resolve_with(line: &str, brought: impl FnOnce() -> Vec<&'static View>) -> Result<Resolved, Error> {
    let known = resolve(line);
    let mut words = split(line)?.into_iter();
    let name = words.next().unwrap_or_default();
    // By a command's own name: no runtime need be looked for.
    if matches!(&known, Ok(Resolved::Ours { command, .. }) if command.name.eq_ignore_ascii_case(&name)) {
        return known;
    }
    let is_called_so = |command: &Command| command.names().any(|own| own.eq_ignore_ascii_case(&name));
    match brought().into_iter().map(Command::of).find(is_called_so) {
        Some(command) => {
            let preset = command.alias(&name).map(|alias| alias.preset).unwrap_or_default();
            Ok(Resolved::Ours { command, preset, words: words.collect() })
        }
        None => known,
    }
}

/// The command of a line, and what it asks, where that is told without the dump: names of symbols and registers are not.
pub fn parse(line: &str, focus: Focus) -> Result<(Command, Query), Error> {
    match resolve(line)? {
        Resolved::Ours { command, preset, words } => {
            let args = parse::parse(command.name, command.args, preset, &words, &Nowhere)?;
            Ok((command, Query { args, focus }))
        }
        Resolved::Foreign(found) => Err(Error::Failed(format!("{} is another tool's", found.words))),
    }
}

/// No dump.
struct Nowhere;

impl Places for Nowhere {
    fn address(&self, _: Kind, _: &str) -> Option<Addr> {
        None
    }
}

/// A line that begins with a name of ours, or the start of one.
fn ours(words: Vec<String>) -> Result<Resolved, Error> {
    let mut words = words.into_iter();
    let name = words.next().unwrap_or_default();
    let command = match find(&name) {
        Some(command) => command,
        None => begun(&name)?,
    };
    let preset = command.alias(&name).map(|alias| alias.preset).unwrap_or_default();
    Ok(Resolved::Ours { command, preset, words: words.collect() })
}

/// The only command whose name begins so, else the only one of which another name does.
fn begun(start: &str) -> Result<Command, Error> {
    let lower = start.to_ascii_lowercase();
    let mut own = commands().filter(|command| command.name.starts_with(&lower));
    if let (Some(only), None) = (own.next(), own.next()) {
        return Ok(only);
    }
    let begins = |command: &Command| command.names().find(|name| name.starts_with(&lower));
    let found: Vec<(Command, &str)> =
        commands().filter_map(|command| begins(&command).map(|name| (command, name))).collect();
    match found.as_slice() {
        [(command, _)] => Ok(*command),
        [] => {
            let names: Vec<&str> = commands().flat_map(|command| command.names().collect::<Vec<_>>()).collect();
            let others = foreign::all().map(|(words, _)| *words);
            let meant = nearest(start, names.into_iter().chain(others));
            let said = meant.map(|name| format!("; did you mean '{name}'?")).unwrap_or_else(|| ";".to_owned());
            Err(Error::Failed(format!("unknown command '{start}'{said} 'help' lists the commands")))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(_, name)| *name).collect();
            Err(Error::Failed(format!("'{start}' may be {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(line: &str) -> Result<&'static str, String> {
        resolve(line).map(|resolved| resolved.name()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_an_alias_or_the_start_of_one_is_found() {
        assert_eq!(name("threads"), Ok("threads"));
        assert_eq!(name("clrThreads"), Ok("threads"));
        assert_eq!(name("paral"), Ok("parallelstacks"));
        assert_eq!(name("thr"), Ok("threads"), "the start of our name goes before another tool's");
        assert_eq!(name("h"), Ok("help"));
        assert_eq!(name("!analyze -v"), Ok("summary"));
    }

    #[test]
    fn a_start_that_several_have_is_no_name() {
        let said = name("se").unwrap_err();
        assert!(said.contains("setthread") && said.contains("setsymbolserver"), "{said}");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        assert!(name("thraeds").unwrap_err().contains("'threads'"));
        assert!(name("nonsense").unwrap_err().contains("'help' lists"));
        assert!(name("").is_err());
    }

    #[test]
    fn other_tools_words_go_before_the_start_of_our_names() {
        assert_eq!(name("run"), Ok("run"));
        assert_eq!(name("p g_orders"), Ok("print"));
        assert_eq!(name("info threads"), Ok("threads"));
        assert_eq!(name("thread 3"), Ok("setthread"));
        assert_eq!(name("frame 3"), Ok("frame"));
        assert_eq!(name("stack -n 3"), Ok("stack"));
    }
}
