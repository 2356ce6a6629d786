//! The `:` prompt: a line of text, and the commands that complete it.

use nucleo::Matcher;
use nucleo::pattern::{CaseMatching, Normalization, Pattern};

use super::keymap::{Action, KEYMAP};
use crate::commands;

/// A line being typed at its end.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    /// The text.
    pub typed: String,
    /// The chosen suggestion.
    pub choice: usize,
    /// Whether there is no dump to ask: only what keys do can be run.
    pub keys_only: bool,
}

/// A command that completes what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// Its name.
    pub name: &'static str,
    /// Its other names.
    pub aliases: Vec<&'static str>,
    /// What it does.
    pub doc: &'static str,
    /// The key's action, where it is one of the screen's own commands.
    pub action: Option<Action>,
}

/// Every command: those of the command line, then those of the keys.
fn all(keys_only: bool) -> Vec<Suggestion> {
    let lines = commands::commands().filter(|_| !keys_only).map(|command| Suggestion {
        name: command.name,
        aliases: command.also(),
        doc: command.doc,
        action: None,
    });
    let keys = KEYMAP.iter().filter(|binding| !binding.command.is_empty()).map(|binding| Suggestion {
        name: binding.command,
        aliases: Vec::new(),
        doc: binding.doc,
        action: Some(binding.action),
    });
    lines.chain(keys).collect()
}

impl Palette {
    /// The first word, and the rest.
    fn split(&self) -> (&str, &str) {
        let line = self.typed.trim_start();
        line.split_once(char::is_whitespace).map_or((line, ""), |(name, rest)| (name, rest.trim()))
    }

    /// Commands whose name or alias matches the first word, best first; all of them for an empty line.
    pub fn suggestions(&self) -> Vec<Suggestion> {
        let (name, _) = self.split();
        if name.is_empty() {
            return all(self.keys_only);
        }
        let pattern = Pattern::parse(name, CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::default();
        let mut scored: Vec<(u32, Suggestion)> = Vec::new();
        for suggestion in all(self.keys_only) {
            let names = std::iter::once(suggestion.name).chain(suggestion.aliases.iter().copied());
            let best = names
                .filter_map(|candidate| {
                    let score = pattern.match_list([candidate], &mut matcher).first().map(|(_, score)| *score)?;
                    // What was typed in full comes first, then what starts with it.
                    let bonus = if candidate == name {
                        2000
                    } else if candidate.starts_with(name) {
                        1000
                    } else {
                        0
                    };
                    Some(score.saturating_add(bonus))
                })
                .max();
            scored.extend(best.map(|score| (score, suggestion)));
        }
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scored.into_iter().map(|(_, suggestion)| suggestion).collect()
    }

    /// What Enter runs: the line where its first word is a command, else the chosen suggestion with the line's arguments.
    /// `None` when nothing matches.
    pub fn run(&self) -> Option<Run> {
        let (name, rest) = self.split();
        let suggestions = self.suggestions();
        let exact = |suggestion: &&Suggestion| suggestion.name == name || suggestion.aliases.contains(&name);
        let moved = self.choice > 0;
        let found = suggestions.iter().find(exact).filter(|_| !moved).or_else(|| suggestions.get(self.choice))?;
        // An alias may mean an option (`eestack`): it is passed as typed.
        let word = if found.aliases.contains(&name) { name } else { found.name };
        Some(match found.action {
            Some(action) => Run::Key(action),
            None if rest.is_empty() => Run::Line(word.to_owned()),
            None => Run::Line(format!("{word} {rest}")),
        })
    }

    /// Completes the first word to the chosen suggestion.
    pub fn complete(&mut self) {
        let rest = self.split().1.to_owned();
        if let Some(chosen) = self.suggestions().get(self.choice) {
            self.typed = format!("{} {rest}", chosen.name);
            self.choice = 0;
        }
    }

    /// Moves the choice, stopping at the ends.
    pub fn choose(&mut self, next: bool) {
        let last = self.suggestions().len().saturating_sub(1);
        self.choice = if next { self.choice.saturating_add(1).min(last) } else { self.choice.saturating_sub(1) };
    }
}

/// What a palette's line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// A command line.
    Line(String),
    /// What a key does.
    Key(Action),
}

/// Removes the last letter; says whether there was one.
pub fn erase(text: &mut String) -> bool {
    text.pop().is_some()
}

/// Removes the last word and the blanks behind it.
pub fn erase_word(text: &mut String) {
    let kept = text.trim_end().rfind(char::is_whitespace).map_or(0, |at| at.saturating_add(1));
    text.truncate(text.ceil_char_boundary(kept));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn palette(typed: &str) -> Palette {
        Palette { typed: typed.to_owned(), ..Palette::default() }
    }

    #[test]
    fn a_few_letters_find_a_command() {
        assert_eq!(palette("thr").suggestions().first().map(|found| found.name), Some("threads"));
        assert_eq!(palette("pst").suggestions().first().map(|found| found.name), Some("parallelstacks"));
    }

    #[test]
    fn enter_runs_the_best_suggestion_with_the_arguments() {
        assert_eq!(palette("readm 7f00 -n 64").run(), Some(Run::Line("readmemory 7f00 -n 64".to_owned())));
        assert_eq!(palette("nosuchcommand").run(), None);
    }

    #[test]
    fn an_alias_is_passed_as_typed() {
        assert_eq!(palette("eestack").run(), Some(Run::Line("eestack".to_owned())));
        assert_eq!(palette("bt -n 3").run(), Some(Run::Line("bt -n 3".to_owned())));
    }

    #[test]
    fn what_keys_do_has_a_name_too() {
        assert_eq!(palette("copy-row").run(), Some(Run::Key(Action::CopyRow)));
    }

    #[test]
    fn completion_keeps_the_arguments() {
        let mut typed = palette("setth 3");
        typed.complete();
        assert_eq!(typed.typed, "setthread 3");
    }

    #[test]
    fn words_are_erased_with_the_blanks_behind_them() {
        let mut text = "größe zwei  ".to_owned();
        erase_word(&mut text);
        assert_eq!(text, "größe ");
        erase_word(&mut text);
        assert_eq!(text, "");
    }
}
