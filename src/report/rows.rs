//! Rows of a table, held or made when they are asked for, and the orders that a filter and a sort make of them.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;

use super::cell::{Cell, Row};
use super::pattern::Pattern;
use super::words::{compare, join};
use crate::error::Error;
use crate::job::{Job, Shared};

/// Rows by index, in the order in which they are shown.
pub type Order = Vec<u32>;

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Its position.
    pub column: usize,
    /// Largest first.
    pub descending: bool,
}

/// Rows at the end by which columns are measured.
const LAST_MEASURED: usize = 100;
/// Rows in one parallel piece of a filter.
const PIECE: usize = 4096;
/// Most bytes of text that are kept for the next filter over the same rows.
const MAX_TEXTS: usize = 256 << 20;

/// The rows of a table, `u32::MAX` at most. A source of millions need not hold them: [`Rows::get`] may make a row each time.
pub trait Rows: fmt::Debug + Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// The row at an index; `None` past the end. Cheap enough for a screenful within a frame.
    fn get(&self, index: usize) -> Option<Cow<'_, Row>>;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends what a pattern is matched against: by default the words of the row's cells. A source may know them without the row.
    fn text(&self, index: usize, text: &mut String) {
        if let Some(row) = self.get(index) {
            join(&row, text);
        }
    }

    /// The texts of all rows, where they are kept from one search to the next.
    fn texts(&self, _job: &Job) -> Result<Option<Arc<Texts>>, Error> {
        Ok(None)
    }

    /// The rows that match, in their own order; the best match first where they are to be `ranked`.
    fn filter(&self, pattern: &Pattern, ranked: bool, job: &Job) -> Result<Order, Error> {
        filtered(self, pattern, ranked, job)
    }

    /// `among`, or all rows, by the cells of a column; equal ones stay in their order.
    fn sort(&self, sort: Sort, among: Option<Order>, job: &Job) -> Result<Order, Error> {
        sorted(self, sort, among, job)
    }
}

impl dyn Rows {
    /// Rows to measure columns by, if not all: the first `count`, and some of the last, since numbers grow.
    pub fn sample(&self, count: usize) -> impl Iterator<Item = Cow<'_, Row>> {
        let last = self.len().saturating_sub(LAST_MEASURED).max(count);
        (0..self.len().min(count)).chain(last..self.len()).map_while(|index| self.get(index))
    }

    /// The rows one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Row>> {
        (0..self.len()).map_while(|index| self.get(index))
    }
}

/// The rows that a filter keeps, by index: in the order of `sort`, else the best match first where they are to be `ranked`, else as
/// given (a stack that is filtered stays a stack). `None`: all, as given.
pub fn arrange(
    rows: &dyn Rows,
    pattern: Option<&Pattern>,
    sort: Option<Sort>,
    ranked: bool,
    job: &Job,
) -> Result<Option<Order>, Error> {
    let kept = pattern.map(|pattern| rows.filter(pattern, ranked && sort.is_none(), job)).transpose()?;
    match sort {
        Some(sort) => rows.sort(sort, kept, job).map(Some),
        None => Ok(kept),
    }
}

fn filtered<R: Rows + ?Sized>(rows: &R, pattern: &Pattern, ranked: bool, job: &Job) -> Result<Order, Error> {
    job.phase("filtering", rows.len() as u64);
    let texts = rows.texts(job)?;
    let pieces: Vec<Vec<(u32, u32)>> = pieces(rows.len())
        .map(|(first, last)| {
            let mut made = String::new();
            let mut hits = Vec::new();
            for index in first..last {
                let text = match texts.as_ref().and_then(|texts| texts.get(index)) {
                    Some(text) => text,
                    None => {
                        made.clear();
                        rows.text(index, &mut made);
                        made.as_str()
                    }
                };
                let score = pattern.score(text);
                hits.extend(score.and_then(|score| Some((score, u32::try_from(index).ok()?))));
            }
            job.advance(last.saturating_sub(first) as u64)?;
            Ok(hits)
        })
        .collect::<Result<_, Error>>()?;
    let mut scored: Vec<(u32, u32)> = pieces.into_iter().flatten().collect();
    if ranked {
        scored.sort_by_key(|(score, _)| Reverse(*score));
    }
    Ok(scored.into_iter().map(|(_, index)| index).collect())
}

fn pieces(rows: usize) -> impl IndexedParallelIterator<Item = (usize, usize)> {
    let piece = move |piece: usize| {
        let first = piece.saturating_mul(PIECE);
        (first, first.saturating_add(PIECE).min(rows))
    };
    (0..rows.div_ceil(PIECE)).into_par_iter().map(piece)
}

fn sorted<R: Rows + ?Sized>(rows: &R, sort: Sort, among: Option<Order>, job: &Job) -> Result<Order, Error> {
    let all = || (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
    let among: Order = among.unwrap_or_else(all);
    job.phase("sorting", among.len() as u64);
    // Each row is made once, not for each comparison.
    let keys: Vec<Vec<(Cell, u32)>> = among
        .par_chunks(PIECE)
        .map(|piece| {
            job.advance(piece.len() as u64)?;
            let cell = |index: &u32| {
                let row = usize::try_from(*index).ok().and_then(|index| rows.get(index));
                let cell = row.and_then(|row| row.cells.get(sort.column).cloned());
                (cell.unwrap_or(Cell::NONE), *index)
            };
            Ok(piece.iter().map(cell).collect())
        })
        .collect::<Result<_, Error>>()?;
    let mut keys: Vec<(Cell, u32)> = keys.into_iter().flatten().collect();
    keys.par_sort_by(|(a, _), (b, _)| -> Ordering {
        // A sort cannot be left: once cancelled it ends as fast as it can.
        if job.is_cancelled() { Ordering::Equal } else { compare(a, b, sort.descending) }
    });
    job.check()?;
    Ok(keys.into_iter().map(|(_, index)| index).collect())
}

/// The texts of rows that are searched, one behind the other.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// The text of a row.
    pub fn get(&self, index: usize) -> Option<&str> {
        let start = index.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before))?;
        self.text.get(*start..*self.ends.get(index)?)
    }

    /// The texts of all rows; those past [`MAX_TEXTS`] are left out.
    fn of<R: Rows + ?Sized>(rows: &R, job: &Job) -> Result<Texts, Error> {
        let pieces: Vec<Texts> = pieces(rows.len())
            .map(|(first, last)| {
                let mut piece = Texts::default();
                let mut own = String::new();
                for index in first..last {
                    own.clear();
                    rows.text(index, &mut own);
                    piece.text.push_str(&own);
                    piece.ends.push(piece.text.len());
                }
                job.check()?;
                Ok(piece)
            })
            .collect::<Result<_, Error>>()?;
        let mut all = Texts::default();
        for piece in pieces {
            let start = all.text.len();
            if start.saturating_add(piece.text.len()) > MAX_TEXTS {
                break;
            }
            all.text.push_str(&piece.text);
            all.ends.extend(piece.ends.iter().map(|end| start.saturating_add(*end)));
        }
        Ok(all)
    }
}

impl Rows for Vec<Row> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        self.as_slice().get(index).map(Cow::Borrowed)
    }
}

/// Rows that are held, and their texts once they were searched.
#[derive(Debug)]
pub(super) struct Listed {
    rows: Vec<Row>,
    texts: Shared<Texts>,
}

impl Listed {
    pub(super) fn new(rows: Vec<Row>) -> Listed {
        Listed { rows, texts: Shared::default() }
    }
}

impl Rows for Listed {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
        self.rows.as_slice().get(index).map(Cow::Borrowed)
    }

    fn texts(&self, job: &Job) -> Result<Option<Arc<Texts>>, Error> {
        self.texts.get(job, |job| Texts::of(&self.rows, job)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::cell::Value;

    fn listed(texts: &[&str]) -> Listed {
        Listed::new(texts.iter().map(|text| Row::text(*text)).collect())
    }

    fn arranged(rows: &dyn Rows, typed: &str, sort: Option<Sort>, ranked: bool) -> Order {
        let order = arrange(rows, Pattern::parse(typed).as_ref(), sort, ranked, &Job::default());
        order.expect("not cancelled").unwrap_or_else(|| (0..u32::try_from(rows.len()).expect("few")).collect())
    }

    #[test]
    fn a_ranked_list_begins_with_the_row_that_matches_best() {
        let rows = listed(&["p_r_i_c_e_k", "pick", "other"]);
        let loose = |ranked| arranged(&rows, "pick", None, ranked);
        assert_eq!((loose(false), loose(true)), (vec![0, 1], vec![1, 0]));
    }

    #[test]
    fn nothing_typed_keeps_everything_in_order() {
        assert_eq!(arranged(&listed(&["b", "a"]), "  ", None, true), [0, 1]);
    }

    #[test]
    fn a_sort_keeps_ties_in_order() {
        let row = |name: &str, count| Row::new(vec![Cell::text(name), Cell::new(Value::Count(count))]);
        let rows = vec![row("a", 9), row("b", 10), row("c", 9)];
        let by_count = |descending| arranged(&rows, "", Some(Sort { column: 1, descending }), false);
        assert_eq!(by_count(false), [0, 2, 1]);
        assert_eq!(by_count(true), [1, 0, 2]);
    }

    #[test]
    fn a_filter_that_is_sorted_keeps_what_matches_alone() {
        let rows = listed(&["b1", "x", "a1"]);
        let sort = Some(Sort { column: 0, descending: false });
        assert_eq!(arranged(&rows, "1", sort, true), [2, 0]);
    }

    #[test]
    fn kept_texts_give_the_same_as_texts_that_are_made() {
        let rows: Vec<Row> = (0..10_000).map(|at| Row::text(format!("row {at}"))).collect();
        let kept = Listed::new(rows.clone());
        for typed in ["99", "'row !7", "row 9999$"] {
            let first = arranged(&kept, typed, None, false);
            assert_eq!(first, arranged(&rows, typed, None, false));
            assert_eq!(first, arranged(&kept, typed, None, false));
        }
        let texts = kept.texts(&Job::default()).expect("not cancelled").expect("kept");
        assert_eq!((texts.get(0), texts.get(9_999), texts.get(10_000)), (Some("row 0"), Some("row 9999"), None));
    }

    /// As many as a large heap has objects.
    const MILLIONS: usize = 20_000_000;

    #[derive(Debug)]
    struct Computed;

    impl Rows for Computed {
        fn len(&self) -> usize {
            MILLIONS
        }

        fn get(&self, index: usize) -> Option<Cow<'_, Row>> {
            let cells = || vec![Cell::new(Value::Count(index as u64)), Cell::text("shop::Order")];
            (index < MILLIONS).then(|| Cow::Owned(Row::new(cells())))
        }

        fn text(&self, index: usize, text: &mut String) {
            text.push_str(if index.is_multiple_of(2) { "shop::Order" } else { "" });
        }
    }

    #[test]
    fn a_filter_over_twenty_million_rows_ends_when_it_is_cancelled_half_way() {
        let job = Job::default();
        let pattern = Pattern::parse("order").expect("letters filter");
        let filtered = std::thread::scope(|scope| {
            let filtered = scope.spawn(|| Computed.filter(&pattern, false, &job));
            while job.progress().done == 0 && !filtered.is_finished() {
                std::thread::yield_now();
            }
            job.cancel();
            filtered.join().expect("no panic")
        });
        assert!(matches!(filtered, Err(Error::Cancelled)));
        let done = job.progress().done;
        assert!(done > 0 && done < MILLIONS as u64 / 2, "{done}");
    }

    #[test]
    fn a_filter_and_a_sort_end_when_they_are_cancelled() {
        let job = Job::default();
        job.cancel();
        let pattern = Pattern::parse("order").expect("letters filter");
        assert!(matches!(Computed.filter(&pattern, false, &job), Err(Error::Cancelled)));
        let sort = Sort { column: 0, descending: true };
        assert!(matches!(Computed.sort(sort, Some(vec![1, 2]), &job), Err(Error::Cancelled)));
    }
}
