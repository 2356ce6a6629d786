//! What holds the objects of a heap from outside, put together: each thread, each kind of other root, and nothing at
//! all.

use std::collections::BTreeMap;

use super::csr::Graph;
use super::leaks::Leaks;
use crate::error::Error;
use crate::heap::{ObjectId, RootKind};
use crate::model::Tid;

/// What holds objects from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A thread: its registers, its stack, its thread-local storage.
    Thread(Tid),
    /// Roots of a kind that belong to no thread.
    Roots(RootKind),
    /// Nothing: these are the heads of leaks.
    Nothing,
}

/// The graph with what holds it, as vertices: the objects under their ids, then the holders, then one above all of
/// them.
pub(super) struct Held<'a> {
    graph: &'a Graph,
    /// In their order; [`Holder::Nothing`] is the last.
    holders: Vec<(Holder, Vec<ObjectId>)>,
    /// The vertices of the holders.
    vertices: Vec<u32>,
}

impl<'a> Held<'a> {
    /// Fails where there are too many to be counted.
    pub(super) fn new(graph: &'a Graph, leaks: &Leaks) -> Result<Held<'a>, Error> {
        let mut holders: BTreeMap<Holder, Vec<ObjectId>> = BTreeMap::new();
        for (root, id) in graph.roots() {
            let holder = root.tid.map_or(Holder::Roots(root.kind), Holder::Thread);
            holders.entry(holder).or_default().push(*id);
        }
        holders.insert(Holder::Nothing, leaks.heads.iter().map(|head| head.object).collect());
        let holders: Vec<(Holder, Vec<ObjectId>)> = holders.into_iter().collect();
        let count = u32::try_from(holders.len()).ok();
        // The one above all has a number too, and one stays free for "none".
        let end = count.and_then(|count| graph.len().checked_add(count)).filter(|end| *end < u32::MAX - 1);
        let end = end.ok_or_else(|| Error::Failed("there are more objects than can be counted".to_owned()))?;
        Ok(Held { graph, holders, vertices: (graph.len()..end).collect() })
    }

    /// How many objects there are.
    pub(super) fn objects(&self) -> u32 {
        self.graph.len()
    }

    /// The holders, in the order of their vertices.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Holder, u32)> {
        self.holders.iter().map(|(holder, _)| *holder).zip(self.vertices.iter().copied())
    }

    /// The vertex above all.
    pub(super) fn top(&self) -> u32 {
        self.graph.len().saturating_add(u32::try_from(self.holders.len()).unwrap_or(u32::MAX))
    }

    /// The vertex of [`Holder::Nothing`].
    pub(super) fn nothing(&self) -> u32 {
        self.top().saturating_sub(1)
    }

    /// What a vertex leads to.
    #[inline]
    pub(super) fn next(&self, vertex: u32) -> &[u32] {
        match vertex.checked_sub(self.graph.len()) {
            None => self.graph.references(vertex),
            Some(holder) => self.holders.get(holder as usize).map_or(&self.vertices, |(_, held)| held),
        }
    }
}
