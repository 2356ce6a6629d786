//! What a text must hold to be kept: fuzzy matching in fzf's grammar (nucleo).
//!
//! The grammar: words are matched fuzzily and all must match; `'word` exactly, `^word` at the start, `word$` at the end,
//! `!word` not at all. Case counts once an upper-case letter is typed.

use std::cell::RefCell;

use nucleo::pattern::{CaseMatching, Normalization, Pattern as Atoms};
use nucleo::{Config, Matcher, Utf32Str};

/// A pattern as typed.
#[derive(Clone, Debug)]
pub struct Pattern {
    atoms: Atoms,
}

impl Pattern {
    /// Parses what was typed; `None` when every text matches it.
    pub fn parse(typed: &str) -> Option<Pattern> {
        let atoms = Atoms::parse(typed, CaseMatching::Smart, Normalization::Smart);
        if atoms.atoms.is_empty() { None } else { Some(Pattern { atoms }) }
    }

    /// How well a text matches, more is better; `None` when it does not.
    pub fn score(&self, text: &str) -> Option<u32> {
        SCRATCH.with_borrow_mut(|(matcher, chars)| self.atoms.score(Utf32Str::new(text, chars), matcher))
    }

    /// Graphemes of a text that matched, ascending; empty when it does not match.
    pub fn hits(&self, text: &str) -> Vec<u32> {
        let mut hits = Vec::new();
        let score = SCRATCH
            .with_borrow_mut(|(matcher, chars)| self.atoms.indices(Utf32Str::new(text, chars), matcher, &mut hits));
        if score.is_none() {
            return Vec::new();
        }
        hits.sort_unstable();
        hits.dedup();
        hits
    }
}

thread_local! {
    // The matcher's tables are 135 kB: one per thread, not one per text.
    static SCRATCH: RefCell<(Matcher, Vec<char>)> = RefCell::new((Matcher::new(Config::DEFAULT), Vec::new()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<'a>(typed: &str, texts: &[&'a str]) -> Vec<&'a str> {
        let pattern = Pattern::parse(typed);
        let keeps = |text: &&&str| pattern.as_ref().is_none_or(|pattern| pattern.score(text).is_some());
        texts.iter().filter(keeps).copied().collect()
    }

    #[test]
    fn words_match_fuzzily() {
        let texts = ["o_r_d_c", "shop::OrderCustomer", "main"];
        assert_eq!(kept("ordc", &texts), ["o_r_d_c", "shop::OrderCustomer"]);
    }

    #[test]
    fn the_grammar_is_that_of_fzf() {
        let texts = ["worker-1 blocked", "worker-2 running", "main blocked"];
        assert_eq!(kept("'blocked", &texts), ["worker-1 blocked", "main blocked"]);
        assert_eq!(kept("!blocked", &texts), ["worker-2 running"]);
        assert_eq!(kept("^main", &texts), ["main blocked"]);
        assert_eq!(kept("running$", &texts), ["worker-2 running"]);
        assert_eq!(kept("work block", &texts), ["worker-1 blocked"]);
        assert_eq!(kept("Main", &texts), Vec::<&str>::new());
    }

    #[test]
    fn blanks_filter_nothing() {
        assert!(Pattern::parse("  ").is_none());
    }

    #[test]
    fn hits_are_the_graphemes_that_matched() {
        let pattern = Pattern::parse("ab").expect("two letters filter");
        assert_eq!(pattern.hits("xaxb"), [1, 3]);
        assert_eq!(pattern.hits("xyz"), Vec::<u32>::new());
    }
}
