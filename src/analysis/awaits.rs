//! Functions that await one another, merged from the outermost into a prefix tree.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use super::stacks::MAX_DEPTH;
use crate::model::{Tid, WorkStack};

/// A function with the stacks that are in it by the same way, or what they wait for in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AwaitNode {
    /// Full name of the function; null for what is waited for in the end.
    pub function: Option<Arc<str>>,
    /// What is waited for in the end, in words; null for a function.
    pub awaits: Option<Arc<str>>,
    /// Stacks in it.
    pub count: usize,
    /// Threads that block on one of them, by id.
    pub tids: Vec<Tid>,
    /// Whom it awaits, most stacks first.
    pub children: Vec<AwaitNode>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Function(Arc<str>),
    Awaits(Arc<str>),
}

struct Node {
    parent: usize,
    key: Key,
    count: usize,
    tids: FxHashSet<Tid>,
}

const ROOT: usize = usize::MAX;

/// Merges them. Siblings with more stacks come first, then those met first; of deeper stacks than [`MAX_DEPTH`] inner functions are left out.
pub fn merge(stacks: &[WorkStack]) -> Vec<AwaitNode> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut children: FxHashMap<(usize, Key), usize> = FxHashMap::default();
    for stack in stacks {
        let functions = stack.functions.iter().rev().take(MAX_DEPTH).map(|name| Key::Function(Arc::clone(name)));
        let mut at = ROOT;
        for key in functions.chain([Key::Awaits(stack.awaits.as_str().into())]) {
            at = *children.entry((at, key.clone())).or_insert_with(|| {
                nodes.push(Node { parent: at, key, count: 0, tids: FxHashSet::default() });
                nodes.len() - 1
            });
            if let Some(node) = nodes.get_mut(at) {
                node.count = node.count.saturating_add(1);
                node.tids.extend(&stack.tids);
            }
        }
    }
    finish(nodes)
}

/// Parents are always made before their children, so building from the last node needs no recursion.
fn finish(nodes: Vec<Node>) -> Vec<AwaitNode> {
    let mut waiting: FxHashMap<usize, Vec<AwaitNode>> = FxHashMap::default();
    for (index, node) in nodes.into_iter().enumerate().rev() {
        let children = sorted(waiting.remove(&index).unwrap_or_default());
        let (function, awaits) = match node.key {
            Key::Function(name) => (Some(name), None),
            Key::Awaits(words) => (None, Some(words)),
        };
        let mut tids: Vec<Tid> = node.tids.into_iter().collect();
        tids.sort_unstable();
        let merged = AwaitNode { function, awaits, count: node.count, tids, children };
        waiting.entry(node.parent).or_default().push(merged);
    }
    sorted(waiting.remove(&ROOT).unwrap_or_default())
}

/// Children were collected last first.
fn sorted(mut nodes: Vec<AwaitNode>) -> Vec<AwaitNode> {
    nodes.reverse();
    nodes.sort_by_key(|node| std::cmp::Reverse(node.count));
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[&str], awaits: &str, tids: &[u32]) -> WorkStack {
        WorkStack {
            functions: functions.iter().map(|name| Arc::from(*name)).collect(),
            awaits: awaits.to_owned(),
            tids: tids.iter().copied().map(Tid).collect(),
        }
    }

    /// `Outer 2 (Inner 2 (gate 2))`.
    fn told(nodes: &[AwaitNode]) -> String {
        let one = |node: &AwaitNode| {
            let name = node.function.as_deref().or(node.awaits.as_deref()).unwrap_or("?");
            let rest = if node.children.is_empty() { String::new() } else { format!(" ({})", told(&node.children)) };
            format!("{name} {}{rest}", node.count)
        };
        nodes.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn stacks_merge_from_the_outermost_function_on() {
        // Innermost first, as stacks are.
        let all = [
            stack(&["Ring"], "bell", &[]),
            stack(&["Inner", "Outer"], "gate", &[7]),
            stack(&["Hour", "Outer"], "delay", &[]),
            stack(&["Inner", "Outer"], "gate", &[5]),
        ];
        let merged = merge(&all);
        assert_eq!(told(&merged), "Outer 3 (Inner 2 (gate 2), Hour 1 (delay 1)), Ring 1 (bell 1)");
        assert_eq!(merged[0].tids, [Tid(5), Tid(7)]);
        assert!(merge(&[]).is_empty());
    }

    #[test]
    fn a_stack_that_is_too_deep_keeps_its_outer_functions() {
        let names: Vec<String> = (0..MAX_DEPTH + 50).map(|index| format!("f{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut at = &merge(&[stack(&names, "gate", &[])])[0];
        assert_eq!(at.function.as_deref(), names.last().copied());
        let mut depth = 1;
        while let Some(child) = at.children.first() {
            (at, depth) = (child, depth + 1);
        }
        assert_eq!((depth, at.awaits.as_deref()), (MAX_DEPTH + 1, Some("gate")));
    }
}
