//! The `:` prompt: a line of text, what completes it, and what was typed before.
//!
//! Enter runs a name, an alias or the only name that begins so; a guess has to be chosen, or completed with Tab.

use nucleo::Matcher;
use nucleo::pattern::{CaseMatching, Normalization, Pattern};

use super::keymap::{Action, Binding, KEYMAP, Scope};
use crate::commands::{self, Command, Completion};
use crate::views::{Kind, View};

/// A line being typed at its end.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    /// The text.
    pub typed: String,
    /// The chosen suggestion; `None` before one is chosen.
    pub choice: Option<usize>,
    /// Whether there is no dump to ask: only what keys do can be run.
    pub keys_only: bool,
    /// Where keys mean something on the page.
    pub scopes: Vec<Scope>,
    /// Views that the runtimes of the dump bring.
    pub brought: Vec<&'static View>,
    /// Values from the dump that may end the line, and what for: the kind, and the word that was begun.
    pub offered: (Option<(Kind, String)>, Vec<Completion>),
    /// What was typed before, the oldest first.
    pub history: Vec<String>,
    /// The line of the history that is shown, and what was typed before it was.
    pub recalled: Option<(usize, String)>,
}

/// What completes the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// What replaces the line's first word, or its last.
    pub text: String,
    /// What is shown: `clrthreads → threads`.
    pub shown: String,
    /// What it does.
    pub doc: String,
    /// The key's action, where it is one of the screen's own commands.
    pub action: Option<Action>,
}

/// Commands of other tools that are suggested at once.
const OTHERS: usize = 8;
/// Letters of another tool's command that have to stand before it is suggested.
const LETTERS: usize = 2;

impl Palette {
    /// The commands of the keys that mean something on the page, and of what can be copied of it.
    fn of_keys(&self) -> impl Iterator<Item = &'static Binding> {
        let is_here = |scope: Scope| scope == Scope::Copy || self.scopes.contains(&scope);
        KEYMAP.iter().filter(move |binding| !binding.command.is_empty() && is_here(binding.scope))
    }

    /// The line without blanks before it.
    fn line(&self) -> &str {
        self.typed.trim_start()
    }

    /// The first word, and the rest where a blank follows it.
    fn split(&self) -> (&str, Option<&str>) {
        let line = self.line();
        line.split_once(char::is_whitespace).map_or((line, None), |(name, rest)| (name, Some(rest.trim_start())))
    }

    /// What may stand at the line's end, where its first word is a command of ours and a blank follows.
    pub fn end(&self) -> Option<commands::End> {
        if self.keys_only || self.split().1.is_none() {
            return None;
        }
        commands::at_end(self.line())
    }

    /// What completes the line, best first; every command for an empty one.
    pub fn suggestions(&self) -> Vec<Suggestion> {
        let (name, rest) = self.split();
        if rest.is_none() {
            return self.names(name);
        }
        let Some(end) = self.end() else { return self.other_tools() };
        let of_dump = match (&self.offered.0, end.kind) {
            (Some((kind, start)), Some(wanted)) if *kind == wanted && *start == end.start => self.offered.1.as_slice(),
            _ => &[],
        };
        let all = of_dump.iter().chain(&end.options);
        all.map(|found| Suggestion {
            text: found.word.clone(),
            shown: found.word.clone(),
            doc: found.doc.clone(),
            action: None,
        })
        .collect()
    }

    /// Commands whose name or alias matches.
    fn names(&self, typed: &str) -> Vec<Suggestion> {
        let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::default();
        let lower = typed.to_ascii_lowercase();
        let mut score = |candidate: &str| -> Option<u32> {
            if typed.is_empty() {
                return Some(0);
            }
            let score = pattern.match_list([candidate], &mut matcher).first().map(|(_, score)| *score)?;
            // What was typed in full comes first, then what starts with it.
            let bonus = match candidate {
                _ if candidate == lower => 2000,
                _ if candidate.starts_with(&lower) => 1000,
                _ => 0,
            };
            Some(score.saturating_add(bonus))
        };
        let mut scored: Vec<(u32, Suggestion)> = Vec::new();
        let brought = self.brought.iter().copied().map(Command::of);
        for command in commands::commands().chain(brought).filter(|_| !self.keys_only) {
            let also = command.also();
            let of_name = score(command.name).map(|score| (score, None));
            let of_alias = command.aliases.iter().filter_map(|alias| Some((score(alias.name)?, Some(alias))));
            // Of equals the name goes before its aliases.
            let best = of_name.into_iter().chain(of_alias).reduce(|a, b| if b.0 > a.0 { b } else { a });
            let Some((score, alias)) = best else { continue };
            let suggestion = match alias {
                Some(alias) => {
                    let preset = alias.preset.iter().map(|word| format!(" {word}")).collect::<String>();
                    Suggestion {
                        text: alias.name.to_owned(),
                        shown: format!("{} → {}{preset}", alias.name, command.name),
                        doc: command.doc.to_owned(),
                        action: None,
                    }
                }
                None => Suggestion {
                    text: command.name.to_owned(),
                    shown: command.name.to_owned(),
                    doc: match also.as_slice() {
                        [] => command.doc.to_owned(),
                        also => format!("{}; also {}", command.doc, also.join(", ")),
                    },
                    action: None,
                },
            };
            scored.push((score, suggestion));
        }
        for binding in self.of_keys() {
            scored.extend(score(binding.command).map(|score| (score, of_key(binding))));
        }
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let mut found: Vec<Suggestion> = scored.into_iter().map(|(_, suggestion)| suggestion).collect();
        found.extend(self.other_tools());
        found
    }

    /// Commands of other tools that begin as the line does.
    fn other_tools(&self) -> Vec<Suggestion> {
        let line = self.line();
        if self.keys_only || line.len() < LETTERS {
            return Vec::new();
        }
        let found = commands::other_tools(line).take(OTHERS);
        found
            .map(|(words, doc)| Suggestion { text: words.to_owned(), shown: words.to_owned(), doc, action: None })
            .collect()
    }

    /// What Enter runs: the chosen suggestion, else the line where its first word is a command; `Err` says why it is none.
    pub fn run(&self) -> Result<Run, String> {
        let (name, rest) = self.split();
        if let Some(chosen) = self.choice.and_then(|choice| self.suggestions().into_iter().nth(choice)) {
            return Ok(match chosen.action {
                Some(action) => Run::Key(action),
                None => Run::Line(self.replaced(&chosen)),
            });
        }
        if name.is_empty() {
            return Ok(Run::Nothing);
        }
        let bare = rest.is_none_or(str::is_empty);
        let is_ours = !self.keys_only && commands::find(name).is_some();
        if let Some(key) = self.of_keys().find(|binding| bare && !is_ours && binding.command == name) {
            return Ok(Run::Key(key.action));
        }
        let begun: Vec<&Binding> =
            self.of_keys().filter(|binding| bare && binding.command.starts_with(&name.to_ascii_lowercase())).collect();
        let resolved = if self.keys_only {
            Err(format!("no such command: '{name}', where no dump is open"))
        } else {
            commands::resolve_with(self.line(), || self.brought.clone()).map_err(|error| error.to_string())
        };
        match (resolved, begun.as_slice()) {
            (Ok(resolved), [first, ..]) if !is_ours && resolved.is_begun(name) => {
                Err(format!("'{name}' may be {} or {}; Tab completes", resolved.name(), first.command))
            }
            (Ok(_), _) => Ok(Run::Line(self.line().trim_end().to_owned())),
            (Err(_), [only]) => Ok(Run::Key(only.action)),
            (Err(why), _) => match KEYMAP.iter().find(|binding| bare && binding.command == name) {
                Some(elsewhere) => Err(format!("'{name}' works elsewhere: {}", elsewhere.scope.title())),
                None => Err(why),
            },
        }
    }

    /// The line with a suggestion in the place of the word that it completes.
    fn replaced(&self, chosen: &Suggestion) -> String {
        let line = self.line();
        let kept = match self.end() {
            Some(end) => line.len().saturating_sub(end.start.len()),
            None => 0,
        };
        format!("{}{}", line.get(..kept).unwrap_or_default(), chosen.text)
    }

    /// Completes to the chosen suggestion, else to the best.
    pub fn complete(&mut self) {
        if let Some(chosen) = self.suggestions().get(self.choice.unwrap_or(0)) {
            self.typed = format!("{} ", self.replaced(chosen));
            self.changed();
        }
    }

    /// The line was changed by hand.
    pub fn changed(&mut self) {
        self.choice = None;
        self.recalled = None;
    }

    /// To the next suggestion, or to a later line of the history; stops at the ends.
    pub fn next(&mut self) {
        if let Some((at, draft)) = self.recalled.take() {
            let later =
                self.history.iter().enumerate().skip(at.saturating_add(1)).find(|(_, line)| line.starts_with(&draft));
            match later {
                Some((at, line)) => {
                    self.typed.clone_from(line);
                    self.recalled = Some((at, draft));
                }
                None => self.typed = draft,
            }
            return;
        }
        let last = self.suggestions().len().checked_sub(1);
        self.choice = last.map(|last| self.choice.map_or(0, |choice| choice.saturating_add(1)).min(last));
    }

    /// To the previous suggestion; before the first one, to an earlier line of the history that begins as the line does.
    pub fn previous(&mut self) {
        if let Some(choice) = self.choice {
            self.choice = choice.checked_sub(1);
            return;
        }
        let (before, draft) = match &self.recalled {
            Some((at, draft)) => (*at, draft.clone()),
            None => (self.history.len(), self.typed.clone()),
        };
        let earlier = self.history.iter().take(before).enumerate().rev();
        if let Some((at, line)) =
            earlier.filter(|(_, line)| **line != self.typed).find(|(_, line)| line.starts_with(&draft))
        {
            self.typed.clone_from(line);
            self.recalled = Some((at, draft));
        }
    }
}

fn of_key(binding: &Binding) -> Suggestion {
    Suggestion {
        text: binding.command.to_owned(),
        shown: binding.command.to_owned(),
        doc: binding.doc.to_owned(),
        action: Some(binding.action),
    }
}

/// What a palette's line does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// The line is empty.
    Nothing,
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
        Palette { typed: typed.to_owned(), scopes: vec![Scope::Everywhere], ..Palette::default() }
    }

    fn first(typed: &str) -> Option<String> {
        palette(typed).suggestions().into_iter().next().map(|found| found.shown)
    }

    fn line(text: &str) -> Result<Run, String> {
        Ok(Run::Line(text.to_owned()))
    }

    #[test]
    fn a_few_letters_find_a_command_and_the_alias_that_was_meant_stands_first() {
        assert_eq!(first("thr").as_deref(), Some("threads"));
        assert_eq!(first("pst").as_deref(), Some("pstacks → parallelstacks"));
        assert_eq!(first("clrt").as_deref(), Some("clrthreads → threads"));
        assert_eq!(first("eest").as_deref(), Some("eestack → stack --all"));
        assert_eq!(first("eehe").as_deref(), Some("eeheap"), "another tool's, with what it says");
    }

    #[test]
    fn enter_runs_a_name_an_alias_or_the_only_one_that_begins_so() {
        for typed in ["threads", "readm 7f00 -n 64", "eestack", "bt -n 3", "thr", "h", "info threads"] {
            assert_eq!(palette(typed).run(), line(typed), "{typed}");
        }
        assert_eq!(palette("copy-row").run(), palette("copy-ro").run());
        assert_eq!(palette("copy-row").run(), Ok(Run::Key(Action::CopyRow)));
        assert_eq!(palette("  ").run(), Ok(Run::Nothing));
    }

    #[test]
    fn enter_never_runs_a_guess() {
        for typed in ["prlst x", "thrds", "nosuchcommand", "se", "copy-"] {
            assert!(palette(typed).run().is_err(), "{typed}: {:?}", palette(typed).run());
        }
        // Other tools' words say what they are, and run nothing that is spelled alike.
        for typed in ["up", "run", "p g_orders", "!analyze -v"] {
            assert_eq!(palette(typed).run(), line(typed), "{typed}");
        }
    }

    #[test]
    fn a_key_has_its_command_only_where_it_means_something() {
        let on = |scope, typed: &str| Palette { scopes: vec![scope, Scope::Everywhere], ..palette(typed) }.run();
        assert_eq!(on(Scope::Stack, "locals"), Ok(Run::Key(Action::Locals)));
        assert!(matches!(on(Scope::Table, "locals"), Err(why) if why.contains("Stacks of threads")));
        assert_eq!(first("unfold-all"), None);
        // What another tool calls so is meant where the key is not.
        assert_eq!((on(Scope::Picker, "list"), on(Scope::Table, "list")), (Ok(Run::Key(Action::Relist)), line("list")));
        assert_eq!(
            (on(Scope::Stack, "pc"), on(Scope::Table, "pc")),
            (Ok(Run::Key(Action::ProgramCounters)), line("pc"))
        );
    }

    #[test]
    fn tab_completes_to_the_best_and_enter_runs_what_was_chosen() {
        let mut typed = palette("prlst");
        typed.complete();
        assert_eq!(typed.typed, "parallelstacks ");
        let mut chosen = palette("pst");
        chosen.next();
        assert_eq!(chosen.run(), line("pstacks"));
    }

    #[test]
    fn options_and_what_the_dump_offers_complete_the_last_word() {
        let mut typed = palette("stack -a -fr");
        typed.complete();
        assert_eq!(typed.typed, "stack -a -frame ");
        let offered = vec![Completion { word: "4719".to_owned(), doc: "worker-3".to_owned() }];
        let mut typed = Palette { offered: (Some((Kind::Thread, "47".to_owned())), offered), ..palette("stack -t 47") };
        assert_eq!(typed.suggestions().first().map(|found| found.doc.as_str()), Some("worker-3"));
        typed.complete();
        assert_eq!(typed.typed, "stack -t 4719 ");
    }

    #[test]
    fn up_goes_back_in_the_history_among_lines_that_begin_so() {
        let history = ["stack", "locks", "stack -all"].map(str::to_owned).to_vec();
        let mut typed = Palette { history, ..palette("st") };
        typed.previous();
        assert_eq!(typed.typed, "stack -all");
        typed.previous();
        assert_eq!(typed.typed, "stack");
        typed.previous();
        assert_eq!(typed.typed, "stack", "there is none before");
        typed.next();
        typed.next();
        assert_eq!(typed.typed, "st", "back to what was typed");
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
