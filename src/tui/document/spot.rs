//! A place in an answer, and what stands there.

use std::borrow::Cow;

use crate::model::Subject;
use crate::report::section::{Body, Node, Row, Section};

/// A place in an answer that can be selected; independent of width, filter and sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spot {
    /// Which body of the section.
    pub body: usize,
    /// Which row, field or node of it.
    pub item: u32,
    /// Which frame folded into the node, from 1; 0 otherwise.
    pub frame: u32,
}

/// The row of a spot.
pub fn row_of(section: &Section, spot: Spot) -> Option<Cow<'_, Row>> {
    let item = spot.item as usize;
    match section.bodies.get(spot.body)? {
        Body::Heading(_) => None,
        Body::Lines(rows) => rows.get(item).map(Cow::Borrowed),
        Body::Chain(chain) => chain.drawn(false).into_iter().nth(item).map(|line| Cow::Owned(line.row)),
        Body::Fields(fields) => fields.get(item).map(|(_, row)| Cow::Borrowed(row)),
        Body::Table(table) => table.rows.get(item),
        Body::Tree(nodes) => {
            let node = nodes.get(item)?;
            match spot.frame.checked_sub(1) {
                Some(frame) => node.folded.get(frame as usize).map(Cow::Borrowed),
                None => Some(Cow::Borrowed(&node.row)),
            }
        }
    }
}

/// What a spot opens; a folded frame without a subject opens what its node opens.
pub fn subject_of(section: &Section, spot: Spot) -> Option<Subject> {
    let own = row_of(section, spot).and_then(|row| row.subject);
    own.or_else(|| row_of(section, Spot { frame: 0, ..spot }).and_then(|row| row.subject))
}

/// The first spot whose row `wanted` accepts; in a tree where one of the rows folded into it does, rather. `lists`: in
/// tables and trees alone.
pub fn find(section: &Section, lists: bool, wanted: impl Fn(&Row) -> bool) -> Option<Spot> {
    section.bodies.iter().enumerate().find_map(|(body, content)| {
        let item = match content {
            Body::Heading(_) => None,
            Body::Lines(_) | Body::Fields(_) | Body::Chain(_) if lists => None,
            Body::Lines(rows) => rows.iter().position(&wanted),
            Body::Chain(chain) => chain.drawn(false).iter().position(|line| wanted(&line.row)),
            Body::Fields(fields) => fields.iter().position(|(_, row)| wanted(row)),
            Body::Table(table) => table.rows.iter().position(|row| wanted(&row)),
            Body::Tree(nodes) => {
                // Where threads end their ids stand behind the folded frames; else the first node about it.
                let ends = |node: &Node| node.folded.last().is_some_and(&wanted);
                nodes.iter().position(ends).or_else(|| nodes.iter().position(|node| wanted(&node.row)))
            }
        };
        Some(Spot { body, item: u32::try_from(item?).ok()?, frame: 0 })
    })
}
