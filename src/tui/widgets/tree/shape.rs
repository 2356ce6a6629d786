//! How the nodes of a tree hang together, and which lines folds and a filter leave.

use rustc_hash::FxHashSet;

use super::frames_of;
use crate::report::pattern::Pattern;
use crate::report::section::{Node, Value};
use crate::report::words::{Room, words};
use crate::tui::ink::{Pen, width_of};
use crate::tui::marked::joined;

/// How the nodes hang together; made once per tree.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Each node's parent.
    parents: Vec<Option<u32>>,
    /// Whether a sibling follows.
    follows: Vec<bool>,
    /// One past each node's last descendant.
    ends: Vec<u32>,
    /// Width of the column of counts; 0 without one.
    pub(super) counts: u16,
}

/// What the user folded and unfolded.
#[derive(Clone, Debug, Default)]
pub struct Folds {
    /// Nodes whose children are hidden.
    pub closed: FxHashSet<u32>,
    /// Nodes whose folded frames have their own lines.
    pub chains: FxHashSet<u32>,
}

/// A visible line: a node (frame 0), or one of the frames folded into it (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLine {
    /// The node.
    pub node: u32,
    /// 0 for the node itself.
    pub frame: u32,
}

impl Shape {
    /// The shape of nodes in preorder.
    pub fn new(nodes: &[Node]) -> Shape {
        let mut shape = Shape { follows: vec![false; nodes.len()], ends: vec![0; nodes.len()], ..Shape::default() };
        let mut path: Vec<u32> = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let depth = usize::try_from(node.depth).unwrap_or(usize::MAX).min(path.len());
            path.truncate(depth);
            shape.parents.push(path.last().copied());
            path.push(u32::try_from(index).unwrap_or(u32::MAX));
            if let Some(Value::Count(count)) = node.row.cells.first().map(|cell| &cell.value) {
                let width = width_of(&words(&Value::Count(*count), Room::Column));
                shape.counts = shape.counts.max(u16::try_from(width).unwrap_or(u16::MAX));
            }
        }
        // From the end: a node is followed when its parent was already seen as somebody's parent at that depth.
        let mut later: FxHashSet<Option<u32>> = FxHashSet::default();
        for index in (0..nodes.len()).rev() {
            let parent = shape.parents.get(index).copied().flatten();
            if let Some(follows) = shape.follows.get_mut(index) {
                *follows = !later.insert(parent);
            }
            let own = u32::try_from(index.saturating_add(1)).unwrap_or(u32::MAX);
            let end = shape.ends.get_mut(index).map_or(own, |end| {
                *end = own.max(*end);
                *end
            });
            if let Some(above) = parent.and_then(|parent| shape.ends.get_mut(parent as usize)) {
                *above = end.max(*above);
            }
        }
        shape
    }

    /// The node above.
    pub fn parent(&self, node: u32) -> Option<u32> {
        self.parents.get(node as usize).copied().flatten()
    }

    /// Nodes below a node.
    pub fn descendants(&self, node: u32) -> u32 {
        self.ends.get(node as usize).map_or(0, |end| end.saturating_sub(node).saturating_sub(1))
    }

    /// The lines that folds leave; of a filtered tree those of the nodes that are `kept`, whatever is folded.
    pub fn visible(&self, nodes: &[Node], folds: &Folds, kept: Option<&[u32]>) -> Vec<TreeLine> {
        let mut lines = Vec::new();
        let mut push = |index: u32, node: &Node| {
            lines.push(TreeLine { node: index, frame: 0 });
            if folds.chains.contains(&index) {
                let frames = u32::try_from(frames_of(node)).unwrap_or(u32::MAX);
                lines.extend((1..=frames).map(|frame| TreeLine { node: index, frame }));
            }
        };
        if let Some(kept) = kept {
            for index in kept {
                nodes.get(*index as usize).into_iter().for_each(|node| push(*index, node));
            }
            return lines;
        }
        let mut skip = 0u32;
        for (index, node) in (0u32..).zip(nodes) {
            if index < skip {
                continue;
            }
            push(index, node);
            if folds.closed.contains(&index) {
                skip = skip.max(self.ends.get(index as usize).copied().unwrap_or(0));
            }
        }
        lines
    }

    /// The nodes that match, and those that they hang under.
    pub fn kept(&self, nodes: &[Node], pattern: &Pattern) -> Vec<u32> {
        let mut kept = vec![false; nodes.len()];
        for (index, node) in (0u32..).zip(nodes) {
            let text = joined(std::iter::once(&node.row).chain(&node.folded));
            if pattern.score(&text).is_none() {
                continue;
            }
            let mut at = Some(index);
            while let Some(node) = at {
                match kept.get_mut(node as usize) {
                    Some(known) if !*known => *known = true,
                    _ => break,
                }
                at = self.parent(node);
            }
        }
        (0u32..).zip(kept).filter(|(_, kept)| *kept).map(|(index, _)| index).collect()
    }

    /// The branches left of a node, outermost first, at most `most` of them: the outermost are left out.
    pub(super) fn branches(&self, pen: &Pen<'_>, line: TreeLine, most: usize) -> (String, bool) {
        let [child, last, past, blank] = pen.theme.symbols.branches;
        let followed = |node: u32| self.follows.get(node as usize).copied().unwrap_or(false);
        let mut parts: Vec<&str> = Vec::new();
        let mut at = Some(line.node);
        while let Some(node) = at {
            let parent = self.parent(node);
            if parent.is_some() {
                parts.push(match (node == line.node && line.frame == 0, followed(node)) {
                    (true, true) => child,
                    (true, false) => last,
                    (false, true) => past,
                    (false, false) => blank,
                });
            }
            if parts.len() > most {
                break;
            }
            at = parent;
        }
        let cut = parts.len() > most;
        parts.truncate(most);
        (parts.iter().rev().copied().collect(), cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::section::{Cell, Row};

    fn node(depth: u32, name: &str) -> Node {
        Node { depth, row: Row::text(name), folded: vec![Row::new(vec![Cell::text(format!("{name}2"))])] }
    }

    fn nodes() -> Vec<Node> {
        vec![node(0, "root"), node(1, "a"), node(2, "x"), node(2, "y"), node(1, "b"), node(0, "other")]
    }

    fn shown(folds: &Folds, filter: &str) -> Vec<(u32, u32)> {
        let nodes = nodes();
        let shape = Shape::new(&nodes);
        let kept = Pattern::parse(filter).map(|pattern| shape.kept(&nodes, &pattern));
        let lines = shape.visible(&nodes, folds, kept.as_deref());
        lines.iter().map(|line| (line.node, line.frame)).collect()
    }

    #[test]
    fn a_closed_node_hides_all_below_it() {
        let folds = Folds { closed: [1].into_iter().collect(), ..Folds::default() };
        assert_eq!(shown(&folds, ""), [(0, 0), (1, 0), (4, 0), (5, 0)]);
    }

    #[test]
    fn an_unfolded_chain_has_a_line_per_frame() {
        let folds = Folds { chains: [4].into_iter().collect(), ..Folds::default() };
        assert_eq!(shown(&folds, ""), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (4, 1), (5, 0)]);
    }

    #[test]
    fn a_filter_keeps_what_matches_and_what_it_hangs_under() {
        assert_eq!(shown(&Folds::default(), "'y2"), [(0, 0), (1, 0), (3, 0)]);
    }

    #[test]
    fn the_shape_knows_parents_siblings_and_descendants() {
        let shape = Shape::new(&nodes());
        assert_eq!(shape.parents, [None, Some(0), Some(1), Some(1), Some(0), None]);
        assert_eq!(shape.follows, [true, true, true, false, false, false]);
        assert_eq!((0..6).map(|node| shape.descendants(node)).collect::<Vec<_>>(), [4, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn depths_that_jump_do_not_break_the_shape() {
        let nodes = vec![node(7, "a"), node(u32::MAX, "b"), node(0, "c")];
        assert_eq!(Shape::new(&nodes).parents, [None, Some(0), None]);
    }
}
