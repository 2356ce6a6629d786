//! What goes on with what, and the stacks that this makes.
//!
//! Input: methods and tasks with what each awaits and what goes on with it. Output: for each those that go on with it; [`AsyncStack`]s.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::blocked;
use super::gather::Found;
use super::leaf::{Awaited, Leaves};
use super::links::{At, Follower, Goes};
use super::shape::Role;
use super::status::Status;
use super::work::{AsyncStack, Blocks, BlocksAfter, Step};
use crate::model::{Addr, Gap, OsThread, Tid};
use crate::runtimes::coreclr::types::Types;

/// A node of the graph.
pub(super) struct Node {
    pub(super) found: Found,
    pub(super) at: At,
    /// What it awaits, that of a task that a `ValueTask` was made among it.
    pub(super) awaits: Option<Addr>,
    pub(super) followers: Vec<Follower>,
    pub(super) unread: Option<Gap>,
}

/// What goes on with what.
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// For each node those that go on with it.
    pub(super) goes_on: Vec<Vec<u32>>,
    /// Nodes by their addresses.
    of: FxHashMap<Addr, u32>,
    /// Where a node goes on with another, if it matters.
    contexts: FxHashMap<(u32, u32), Addr>,
}

impl Graph {
    pub(super) fn of(nodes: Vec<Node>) -> Graph {
        let mut of: FxHashMap<Addr, u32> = FxHashMap::default();
        for (index, node) in (0..).zip(&nodes) {
            of.insert(node.found.at, index);
            // What awaits an iterator refers to the iterator itself.
            if let Some(object) = node.at.object {
                of.insert(object, index);
            }
        }
        let mut edges: FxHashSet<(u32, u32)> = FxHashSet::default();
        let mut contexts = FxHashMap::default();
        for (index, node) in (0u32..).zip(&nodes) {
            let before = node.awaits.and_then(|awaited| of.get(&awaited)).map(|from| (*from, index));
            edges.extend(before);
            for follower in &node.followers {
                let Some(to) = of.get(&follower.to) else { continue };
                edges.insert((index, *to));
                contexts.extend(follower.context.map(|context| ((index, *to), context)));
            }
        }
        let mut goes_on = vec![Vec::new(); nodes.len()];
        let mut edges: Vec<(u32, u32)> = edges.into_iter().collect();
        edges.sort_unstable();
        for (from, to) in edges.into_iter().filter(|(from, to)| from != to) {
            if let Some(goes_on) = goes_on.get_mut(from as usize) {
                goes_on.push(to);
            }
        }
        Graph { nodes, goes_on, of, contexts }
    }

    /// Threads by the events that they wait on.
    pub(super) fn blocked(&self, types: Types<'_>, threads: &[OsThread]) -> FxHashMap<Addr, Vec<Tid>> {
        let followers = self.nodes.iter().flat_map(|node| &node.followers);
        let events = followers.filter(|follower| follower.kind == Goes::Thread).map(|follower| follower.to);
        blocked::on_stacks(types.clr.memory(), threads, &events.collect())
    }

    /// The stack of a way through the graph. `steps`: those of the nodes.
    pub(super) fn stack(&self, way: &[u32], steps: &[Step], leaves: &Leaves<'_>) -> AsyncStack {
        let first = way.first().and_then(|first| self.nodes.get(*first as usize));
        let awaits = first.map(|node| self.awaits(node, leaves));
        let awaits = awaits.unwrap_or(Awaited { kind: "task", address: None, name: None });
        // A task that is no method's is what is awaited, and no step.
        let is_leaf = way.len() > 1 && first.is_some_and(|node| node.found.shape.role == Role::Task);
        let left_out = usize::from(is_leaf);
        let mut blocks: BTreeMap<Tid, BlocksAfter> = BTreeMap::new();
        for (place, step) in (1usize..).zip(way.iter().filter_map(|step| steps.get(*step as usize))) {
            let after = |own: &Blocks| BlocksAfter { blocks: *own, steps: place.saturating_sub(left_out) };
            for own in &step.blocks {
                blocks.entry(own.tid).or_insert_with(|| after(own));
            }
        }
        let pairs = (1usize..).zip(way.iter().zip(way.iter().skip(1)));
        let context = |(place, (from, to)): (usize, (&u32, &u32))| {
            Some((place.saturating_sub(left_out), *self.contexts.get(&(*from, *to))?))
        };
        AsyncStack {
            steps: way.get(left_out..).unwrap_or_default().to_vec(),
            awaits,
            blocks: blocks.into_values().collect(),
            contexts: pairs.filter_map(context).collect(),
        }
    }

    /// What the innermost of a stack waits for.
    fn awaits(&self, node: &Node, leaves: &Leaves<'_>) -> Awaited {
        let nothing = |kind| Awaited { kind, address: None, name: None };
        let is_method = node.found.shape.role != Role::Task;
        let has_ended = node.found.status.is_some_and(Status::is_completed);
        match (node.awaits, node.at.state) {
            _ if has_ended && is_method => nothing("ended"),
            _ if has_ended => leaves.ended("ended", node.found.at),
            // It would be a node if it had not ended, or it is part of a circle.
            (Some(awaited), _) if is_method && leaves.is_task(awaited) => {
                leaves.ended(if self.of.contains_key(&awaited) { "circle" } else { "continuation" }, awaited)
            }
            (Some(awaited), _) => leaves.awaited(awaited, None),
            (None, _) if !is_method => leaves.awaited(node.found.at, node.found.status),
            (None, _) if node.at.gap.is_some() => nothing("unknown"),
            (None, Some(state)) if state < 0 => nothing("running"),
            (None, _) if node.at.may_yield => nothing("yield"),
            (None, _) => nothing("unknown"),
        }
    }
}
