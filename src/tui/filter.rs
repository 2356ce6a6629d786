//! Which rows a filter keeps, and in what order: fuzzy matching in fzf's grammar (nucleo), then a sort.
//!
//! The grammar: words are matched fuzzily and all must match; `'word` exactly, `^word` at the start, `word$` at the end,
//! `!word` not at all. Case counts once an upper-case letter is typed.

use std::cell::RefCell;

use nucleo::pattern::{CaseMatching, Normalization, Pattern};
use nucleo::{Config, Matcher, Utf32Str};
use rayon::prelude::*;

use super::{cells, words};
use crate::report::section::{Cell, Row};

/// Rows in one parallel piece of a filter.
const PIECE: usize = 4096;

/// A filter as typed.
#[derive(Clone, Debug)]
pub struct Filter {
    pattern: Pattern,
}

impl Filter {
    /// Parses what was typed; `None` when that filters nothing.
    pub fn parse(typed: &str) -> Option<Filter> {
        let pattern = Pattern::parse(typed, CaseMatching::Smart, Normalization::Smart);
        if pattern.atoms.is_empty() { None } else { Some(Filter { pattern }) }
    }

    /// How well a text matches, more is better; `None` when it does not.
    pub fn score(&self, text: &str) -> Option<u32> {
        SCRATCH.with_borrow_mut(|(matcher, chars)| self.pattern.score(Utf32Str::new(text, chars), matcher))
    }

    /// Graphemes of a text that matched, ascending; empty when it does not match.
    pub fn hits(&self, text: &str) -> Vec<u32> {
        let mut hits = Vec::new();
        let score = SCRATCH
            .with_borrow_mut(|(matcher, chars)| self.pattern.indices(Utf32Str::new(text, chars), matcher, &mut hits));
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

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Its position.
    pub column: usize,
    /// Largest first.
    pub descending: bool,
}

/// The rows that a filter keeps, by index: in the order of `sort`, else the best match first where they are to be `ranked`, else as
/// given (a stack that is filtered stays a stack).
pub fn arrange(rows: &[Row], filter: Option<&Filter>, sort: Option<Sort>, ranked: bool) -> Vec<u32> {
    let mut scored: Vec<(u32, u32)> = match filter {
        None => (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).map(|index| (0, index)).collect(),
        Some(filter) => rows
            .par_chunks(PIECE)
            .enumerate()
            .flat_map_iter(|(piece, rows)| matches(filter, rows, piece.saturating_mul(PIECE)))
            .collect(),
    };
    if ranked && sort.is_none() {
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    }
    let mut kept: Vec<u32> = scored.into_iter().map(|(_, index)| index).collect();
    if let Some(Sort { column, descending }) = sort {
        let cell = |index: u32| -> &Cell {
            usize::try_from(index).ok().and_then(|index| rows.get(index)?.cells.get(column)).unwrap_or(&Cell::NONE)
        };
        kept.par_sort_by(|a, b| cells::compare(cell(*a), cell(*b), descending));
    }
    kept
}

/// Rows that match, with how well.
fn matches(filter: &Filter, rows: &[Row], first: usize) -> Vec<(u32, u32)> {
    let scored = rows.iter().enumerate().filter_map(|(offset, row)| {
        let score = filter.score(&words::joined(std::iter::once(row)))?;
        Some((score, u32::try_from(first.saturating_add(offset)).ok()?))
    });
    scored.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::section::Value;

    fn kept<'a>(typed: &str, texts: &[&'a str]) -> Vec<&'a str> {
        let rows: Vec<Row> = texts.iter().map(|text| Row::text(*text)).collect();
        let order = arrange(&rows, Filter::parse(typed).as_ref(), None, false);
        order.iter().filter_map(|index| texts.get(*index as usize).copied()).collect()
    }

    #[test]
    fn a_ranked_list_begins_with_the_row_that_matches_best() {
        let texts = ["p_r_i_c_e_k", "pick", "other"];
        let rows: Vec<Row> = texts.iter().map(|text| Row::text(*text)).collect();
        let loose = |ranked| arrange(&rows, Filter::parse("pick").as_ref(), None, ranked);
        assert_eq!((loose(false), loose(true)), (vec![0, 1], vec![1, 0]));
    }

    #[test]
    fn words_match_fuzzily_and_rows_keep_their_order() {
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
    fn nothing_typed_keeps_everything_in_order() {
        assert_eq!(kept("  ", &["b", "a"]), ["b", "a"]);
    }

    #[test]
    fn a_sort_keeps_ties_in_order() {
        let row = |name: &str, count| Row::new(vec![Cell::text(name), Cell::new(Value::Count(count))]);
        let rows = [row("a", 9), row("b", 10), row("c", 9)];
        let by_count = |descending| arrange(&rows, None, Some(Sort { column: 1, descending }), false);
        assert_eq!(by_count(false), [0, 2, 1]);
        assert_eq!(by_count(true), [1, 0, 2]);
    }

    #[test]
    fn hits_are_the_graphemes_that_matched() {
        let filter = Filter::parse("ab").expect("two letters filter");
        assert_eq!(filter.hits("xaxb"), [1, 3]);
        assert_eq!(filter.hits("xyz"), Vec::<u32>::new());
    }
}
