//! What a filter and a sort leave of an answer: of one table of a million rows, and of a thousand small ones with their titles.
//!
//! It is work of its own under a job: with the next letter it is left and begun anew.

use std::sync::Arc;

use rayon::prelude::*;

use super::marked::joined;
use super::widgets::tree::Shape;
use crate::error::Error;
use crate::job::Job;
use crate::report::pattern::Pattern;
use crate::report::rows::{self, Order, Sort};
use crate::report::section::{Body, Section};

/// The items of a body that are left, by index, in the order in which they are shown; `None`: all, in their own.
pub type Kept = Option<Arc<Order>>;

/// An answer to be filtered and sorted.
#[derive(Clone, Debug)]
pub struct Arranging {
    /// The answer.
    pub section: Arc<Section>,
    /// The filter as typed.
    pub typed: String,
    /// The table that is sorted, and how.
    pub sort: Option<(usize, Sort)>,
    /// Whether the best match comes first where no sort is chosen.
    pub ranked: bool,
    /// What cancels it.
    pub job: Job,
}

impl Arranging {
    /// How many rows, lines and nodes have to be looked at.
    pub fn work(&self) -> usize {
        let filters = Pattern::parse(&self.typed).is_some();
        let of_body = |(index, body): (usize, &Body)| match body {
            Body::Table(table) if filters || self.sort.is_some_and(|(sorted, _)| sorted == index) => table.rows.len(),
            _ if !filters => 0,
            Body::Heading(_) => 1,
            Body::Lines(rows) => rows.len(),
            Body::Fields(fields) => fields.len(),
            Body::Chain(chain) => chain.links.len(),
            Body::Tree(nodes) => nodes.len(),
            Body::Table(table) => table.rows.len(),
        };
        self.section.bodies.iter().enumerate().map(of_body).fold(0, usize::saturating_add)
    }

    /// Does the work: what is left of each body. A title stays with what is left below it, and what stands below a title that
    /// matches stays whole.
    pub fn run(&self) -> Result<Vec<Kept>, Error> {
        let bodies = &self.section.bodies;
        let pattern = Pattern::parse(&self.typed);
        let left = |index: usize| -> Result<Kept, Error> {
            self.job.check()?;
            match (bodies.get(index), &pattern) {
                (Some(Body::Table(_)), _) => self.table(index, pattern.as_ref()),
                (Some(body), Some(pattern)) => Ok(Some(Arc::new(matches(body, pattern)))),
                (_, None) | (None, _) => Ok(None),
            }
        };
        let mut kept: Vec<Kept> = (0..bodies.len()).into_par_iter().map(left).collect::<Result<_, Error>>()?;
        if pattern.is_none() {
            return Ok(kept);
        }
        for (title, below) in (0..bodies.len()).zip(1..bodies.len()).rev() {
            if !is_title(bodies, title) {
                continue;
            }
            let is_left = |at: usize| kept.get(at).is_none_or(|kept| kept.as_ref().is_none_or(|kept| !kept.is_empty()));
            let (title_is, below_is) = (is_left(title), is_left(below));
            if let Some(title) = kept.get_mut(title).filter(|_| below_is) {
                *title = None;
            }
            if title_is && !below_is {
                let whole = self.table(below, None)?;
                if let Some(below) = kept.get_mut(below) {
                    *below = whole;
                }
            }
        }
        Ok(kept)
    }

    fn table(&self, index: usize, pattern: Option<&Pattern>) -> Result<Kept, Error> {
        let Some(Body::Table(table)) = self.section.bodies.get(index) else { return Ok(None) };
        let sort = self.sort.filter(|(sorted, _)| *sorted == index).map(|(_, sort)| sort);
        Ok(rows::arrange(&*table.rows, pattern, sort, self.ranked, &self.job)?.map(Arc::new))
    }
}

/// Whether a body is the title of the one that follows it: a heading, and lines before a table or a tree.
pub fn is_title(bodies: &[Body], index: usize) -> bool {
    let pair = (bodies.get(index), bodies.get(index.saturating_add(1)));
    matches!(pair, (Some(Body::Heading(_)), Some(_)) | (Some(Body::Lines(_)), Some(Body::Table(_) | Body::Tree(_))))
}

/// The items of a body, other than a table, that match.
fn matches(body: &Body, pattern: &Pattern) -> Order {
    let hits = |texts: &mut dyn Iterator<Item = String>| -> Order {
        let hits = (0u32..).zip(texts).filter(|(_, text)| pattern.score(text).is_some());
        hits.map(|(index, _)| index).collect()
    };
    match body {
        Body::Heading(title) => hits(&mut std::iter::once(title.clone())),
        Body::Lines(rows) => hits(&mut rows.iter().map(|row| joined(std::iter::once(row)))),
        Body::Fields(fields) => {
            hits(&mut fields.iter().map(|(label, row)| format!("{label}  {}", joined(std::iter::once(row)))))
        }
        // A drawing means nothing in parts.
        Body::Chain(chain) => {
            let lines = chain.drawn(false);
            let found = hits(&mut lines.iter().map(|line| joined(std::iter::once(&line.row))));
            if found.is_empty() { found } else { (0u32..).zip(&lines).map(|(index, _)| index).collect() }
        }
        Body::Tree(nodes) => Shape::new(nodes).kept(nodes, pattern),
        Body::Table(_) => Order::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::section::{Cell, Column, Row, Table};

    fn stack(title: &str, frames: &[&str]) -> [Body; 2] {
        let rows = frames.iter().map(|frame| Row::new(vec![Cell::text(*frame)])).collect();
        [Body::Lines(vec![Row::text(title)]), Body::Table(Table::new(vec![Column::left("Function")], rows))]
    }

    fn left(typed: &str) -> Vec<Option<Order>> {
        let stacks = [stack("Thread main", &["read", "main"]), stack("Thread worker", &["lock", "work"])];
        let section = Section { bodies: stacks.into_iter().flatten().collect(), ..Section::default() };
        let arranging = Arranging {
            section: Arc::new(section),
            typed: typed.to_owned(),
            sort: None,
            ranked: false,
            job: Job::default(),
        };
        let kept = arranging.run().expect("nobody cancels it");
        kept.into_iter().map(|kept| kept.map(|kept| kept.to_vec())).collect()
    }

    #[test]
    fn a_title_stands_above_its_hits_and_goes_where_there_is_none() {
        assert_eq!(left("'lock"), [Some(vec![]), Some(vec![]), None, Some(vec![0])]);
    }

    #[test]
    fn what_stands_below_a_title_that_matches_stays_whole() {
        assert_eq!(left("'worker"), [Some(vec![]), Some(vec![]), Some(vec![0]), None]);
        // A hit of its own is the better answer.
        assert_eq!(left("'main"), [None, Some(vec![1]), Some(vec![]), Some(vec![])]);
    }

    #[test]
    fn nothing_typed_leaves_everything() {
        assert_eq!(left(""), [None, None, None, None]);
    }
}
