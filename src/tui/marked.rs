//! The words of a row with what a filter matched in each.

use unicode_segmentation::UnicodeSegmentation;

use crate::report::pattern::Pattern;
use crate::report::section::{Row, Tone};
use crate::report::words::{GAP, Room, join, words};

/// A cell as drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Sanitised text, not cut.
    pub text: String,
    /// Its meaning.
    pub tone: Tone,
    /// Graphemes that the filter matched, ascending.
    pub hits: Vec<u32>,
}

/// The words of each row, parallel to its cells (empty cells are empty words). A filter is matched against all of them
/// joined, as [`joined`] gives it.
pub fn marked<'a>(rows: impl Iterator<Item = &'a Row>, filter: Option<&Pattern>) -> Vec<Vec<Word>> {
    let mut all: Vec<Vec<Word>> = rows
        .map(|row| {
            let word = |cell: &crate::report::section::Cell| Word {
                text: words(&cell.value, Room::Column).into_owned(),
                tone: cell.tone,
                hits: Vec::new(),
            };
            row.cells.iter().map(word).collect()
        })
        .collect();
    let Some(filter) = filter else { return all };
    let texts: Vec<&str> =
        all.iter().flatten().map(|word| word.text.as_str()).filter(|text| !text.is_empty()).collect();
    let hits = filter.hits(&texts.join(GAP));
    let mut start = 0u32;
    for word in all.iter_mut().flatten().filter(|word| !word.text.is_empty()) {
        let length = u32::try_from(word.text.graphemes(true).count()).unwrap_or(u32::MAX);
        let end = start.saturating_add(length);
        word.hits = hits.iter().filter(|hit| (start..end).contains(hit)).map(|hit| hit.saturating_sub(start)).collect();
        start = end.saturating_add(GAP.len() as u32);
    }
    all
}

/// The text that a filter is matched against: the words of all rows.
pub fn joined<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut text = String::new();
    rows.for_each(|row| join(row, &mut text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::section::{Cell, Value};

    #[test]
    fn hits_fall_on_the_word_they_were_found_in() {
        let row = Row::new(vec![Cell::new(Value::Count(19)), Cell::NONE, Cell::text("pool"), Cell::text("blocked")]);
        let filter = Pattern::parse("pb").expect("two letters filter");
        let words = marked([&row].into_iter(), Some(&filter));
        let hits: Vec<&[u32]> = words[0].iter().map(|word| word.hits.as_slice()).collect();
        assert_eq!(hits, [&[][..], &[], &[0], &[0]]);
        assert_eq!(joined([&row].into_iter()), "19  pool  blocked");
    }
}
