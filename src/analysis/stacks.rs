//! Parallel stacks: the stacks of all threads merged from their outermost frame into a prefix tree.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::recursion::{self, Run};
use crate::model::{Addr, Frame, NamedFrame, Stack, Tid};

/// Deepest tree: outer frames of a deeper stack (after recursion is folded) are kept, inner ones are left out. JSON nests two
/// levels a node, and widespread parsers stop at a thousand.
pub const MAX_DEPTH: usize = 400;

/// A function with the threads that are in it by the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StackNode {
    /// Full name of the function; null when no symbol covers the address.
    pub function: Option<Arc<str>>,
    /// File name of the module; null outside all modules.
    pub module: Option<Arc<str>>,
    /// Address of one of the merged frames: for unnamed functions the only thing that tells them apart.
    pub pc: Addr,
    /// Source file of one of the merged frames.
    pub file: Option<Arc<str>>,
    /// Its line, where all merged frames agree.
    pub line: Option<u32>,
    /// Whether it is the program's own code, and not a runtime's.
    #[serde(skip)]
    pub own: bool,
    /// How often the function recursed here at most, as frames of one thread; 1 where it did not. Frames of a recursion
    /// merge into one node for each function of its period.
    pub recursion: usize,
    /// Threads in it.
    pub count: usize,
    /// Their ids, in the order of threads.
    pub tids: Vec<Tid>,
    /// What they called, most threads first; threads whose innermost frame is here are in no child.
    pub children: Vec<StackNode>,
}

#[derive(PartialEq, Eq, Hash, Clone)]
enum Key {
    Named(Arc<str>, Option<Arc<str>>),
    Unnamed(Addr),
}

#[derive(Default)]
struct Building {
    children: FxHashMap<(usize, Key), usize>,
    nodes: Vec<Node>,
}

struct Node {
    parent: usize,
    recursion: usize,
    frame: NamedFrame,
    /// Positions in the order of threads, each once.
    threads: Vec<usize>,
}

/// Threads whose stacks have the same addresses from end to end, which makes them the same stack: it is named once.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// Positions in the order of threads, ascending; never empty.
    pub threads: Vec<usize>,
}

impl Group {
    /// The first of its threads.
    pub fn first(&self) -> usize {
        self.threads.first().copied().unwrap_or_default()
    }
}

/// Groups threads by equal stacks, in the order of their first threads.
pub fn equal<'a>(stacks: impl IntoIterator<Item = &'a Stack>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: FxHashMap<Vec<Addr>, usize> = FxHashMap::default();
    for (thread, stack) in stacks.into_iter().enumerate() {
        let addresses = stack.frames.iter().map(Frame::lookup).collect();
        let group = *known.entry(addresses).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.threads.push(thread),
            None => groups.push(Group { threads: vec![thread] }),
        }
    }
    groups
}

const ROOT: usize = usize::MAX;

/// Merges the stacks of groups (each innermost first, as everywhere) of the threads `tids`. Frames merge when function and module
/// agree, unnamed frames when their address does. Siblings with more threads come first, then those met first.
pub fn merge<'a>(tids: &[Tid], groups: impl IntoIterator<Item = (&'a Group, &'a [NamedFrame])>) -> Vec<StackNode> {
    let mut building = Building::default();
    for (group, frames) in groups {
        let mut at = ROOT;
        let outermost_first: Vec<&NamedFrame> = frames.iter().rev().collect();
        let folded = recursion::fold(&outermost_first, |a, b| a.function.is_some() && a.function == b.function);
        for (frame, times) in folded.iter().flat_map(Run::first_period).take(MAX_DEPTH) {
            let Some(frame) = outermost_first.get(frame) else { continue };
            at = building.child(at, frame);
            if let Some(node) = building.nodes.get_mut(at) {
                node.recursion = node.recursion.max(times);
                if node.threads.last() != group.threads.last() {
                    node.threads.extend(&group.threads);
                }
                if node.frame.line != frame.line || frame.approximate {
                    node.frame.line = None;
                }
            }
        }
    }
    building.finish(tids)
}

impl Building {
    fn child(&mut self, parent: usize, frame: &NamedFrame) -> usize {
        let key = match &frame.function {
            Some(function) => Key::Named(Arc::clone(function), frame.module.clone()),
            None => Key::Unnamed(frame.pc),
        };
        let Building { children, nodes } = self;
        *children.entry((parent, key)).or_insert_with(|| {
            nodes.push(Node { parent, recursion: 1, frame: frame.clone(), threads: Vec::new() });
            nodes.len() - 1
        })
    }

    /// Parents are always made before their children, so building from the last node needs no recursion.
    fn finish(self, tids: &[Tid]) -> Vec<StackNode> {
        let mut waiting: FxHashMap<usize, Vec<StackNode>> = FxHashMap::default();
        for (index, mut node) in self.nodes.into_iter().enumerate().rev() {
            node.threads.sort_unstable();
            let mut children = waiting.remove(&index).unwrap_or_default();
            sort(&mut children);
            waiting.entry(node.parent).or_default().push(StackNode {
                function: node.frame.function,
                module: node.frame.module,
                pc: node.frame.pc,
                file: node.frame.file,
                line: node.frame.line,
                own: node.frame.own,
                recursion: node.recursion,
                count: node.threads.len(),
                tids: node.threads.iter().filter_map(|thread| tids.get(*thread).copied()).collect(),
                children,
            });
        }
        let mut roots = waiting.remove(&ROOT).unwrap_or_default();
        sort(&mut roots);
        roots
    }
}

/// Children were collected last first.
fn sort(nodes: &mut [StackNode]) {
    nodes.reverse();
    nodes.sort_by_key(|node| std::cmp::Reverse(node.count));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{End, FrameKind, Trust};

    /// A stack given outermost first, as one reads it.
    fn stack(functions: &[&str]) -> Vec<NamedFrame> {
        let frame = |(index, name): (usize, &&str)| NamedFrame {
            index,
            pc: Addr(0x1000),
            sp: Addr(0x7000),
            kind: FrameKind::Native,
            trust: Trust::Cfi,
            module: Some("app".into()),
            function: Some((*name).into()),
            offset: Some(4),
            file: None,
            line: None,
            approximate: false,
            own: true,
            walked: index,
            part: Some(0),
        };
        functions.iter().rev().enumerate().map(frame).collect()
    }

    /// Threads 1, 2, … each with a stack of its own.
    fn merged(stacks: &[Vec<NamedFrame>]) -> Vec<StackNode> {
        let tids: Vec<Tid> = (1..).map(Tid).take(stacks.len()).collect();
        let groups: Vec<Group> = (0..stacks.len()).map(|thread| Group { threads: vec![thread] }).collect();
        merge(&tids, groups.iter().zip(stacks.iter().map(Vec::as_slice)))
    }

    #[test]
    fn threads_with_the_same_addresses_are_one_group() {
        let walked = |addresses: &[u64]| {
            Stack::without_registers(
                addresses
                    .iter()
                    .map(|pc| Frame {
                        pc: Addr(*pc),
                        sp: Addr(0x7000),
                        returns: false,
                        cfa: None,
                        kind: FrameKind::Native,
                        trust: Trust::Cfi,
                    })
                    .collect(),
                End::Bottom,
            )
        };
        let stacks = [walked(&[1, 2, 3]), walked(&[1, 3]), walked(&[1, 2, 3]), walked(&[])];
        let groups: Vec<Vec<usize>> = equal(&stacks).into_iter().map(|group| group.threads).collect();
        assert_eq!(groups, [vec![0, 2], vec![1], vec![3]]);
    }

    #[test]
    fn threads_of_groups_that_meet_stand_in_the_order_of_threads() {
        let tids = [Tid(10), Tid(11), Tid(12)];
        let (outer, inner) = (stack(&["main", "a"]), stack(&["main", "b"]));
        let groups = [Group { threads: vec![0, 2] }, Group { threads: vec![1] }];
        let merged = merge(&tids, groups.iter().zip([outer.as_slice(), inner.as_slice()]));
        assert_eq!(shape(&merged), "main*3x1(a*2x1() b*1x1())");
        assert_eq!(merged.first().map(|root| root.tids.clone()), Some(tids.to_vec()));
    }

    fn shape(nodes: &[StackNode]) -> String {
        let inner = |node: &StackNode| {
            format!(
                "{}*{}x{}({})",
                node.function.as_deref().unwrap_or("?"),
                node.count,
                node.recursion,
                shape(&node.children)
            )
        };
        nodes.iter().map(inner).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn common_callers_merge_and_the_busier_branch_comes_first() {
        let stacks = [stack(&["main", "a"]), stack(&["main", "b", "c"]), stack(&["main", "b"])];
        let merged = merged(&stacks);
        assert_eq!(shape(&merged), "main*3x1(b*2x1(c*1x1()) a*1x1())");
        assert_eq!(merged.first().map(|root| root.tids.clone()), Some(vec![Tid(1), Tid(2), Tid(3)]));
    }

    #[test]
    fn recursion_of_different_depth_merges_into_one_node() {
        let stacks = [stack(&["main", "f", "f", "f", "g"]), stack(&["main", "f", "f", "f", "f", "f", "g"])];
        let merged = merged(&stacks);
        assert_eq!(shape(&merged), "main*2x1(f*2x5(g*2x1()))");
    }

    #[test]
    fn no_stacks_give_no_roots() {
        assert!(merged(&[]).is_empty());
    }
}
