//! Rows that hang under rows: which are visible, and one line drawn at a time.
//!
//! A node's first cell, where it is a count, stands in a column of its own. Frames folded into a node follow it on its line
//! (`a › b › c`) until the node is unfolded; then each has its line. Where the line is too narrow the middle ones give way.

use ratatui::style::Style;
use rustc_hash::FxHashSet;

use super::Strip;
use crate::model::Tid;
use crate::report::section::{Cell, Node, Row, Tone, Value};
use crate::tui::cells::{self, Room};
use crate::tui::filter::Filter;
use crate::tui::ink::{Pen, width_of};
use crate::tui::words::{self, Word};

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
    counts: u16,
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
                let width = width_of(&cells::words(&Value::Count(*count), Room::Column));
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

    /// The lines that folds and a filter leave. A filter keeps what matches and what it hangs under, and ignores folds.
    pub fn visible(&self, nodes: &[Node], folds: &Folds, filter: Option<&Filter>) -> Vec<TreeLine> {
        let kept = filter.map(|filter| self.kept(nodes, filter));
        let mut lines = Vec::new();
        let mut skip = 0u32;
        for (index, node) in (0u32..).zip(nodes) {
            if let Some(kept) = &kept {
                if !kept.get(index as usize).copied().unwrap_or(false) {
                    continue;
                }
            } else if index < skip {
                continue;
            }
            lines.push(TreeLine { node: index, frame: 0 });
            if folds.chains.contains(&index) {
                let frames = u32::try_from(frames_of(node)).unwrap_or(u32::MAX);
                lines.extend((1..=frames).map(|frame| TreeLine { node: index, frame }));
            }
            if folds.closed.contains(&index) {
                skip = skip.max(self.ends.get(index as usize).copied().unwrap_or(0));
            }
        }
        lines
    }

    fn kept(&self, nodes: &[Node], filter: &Filter) -> Vec<bool> {
        let mut kept = vec![false; nodes.len()];
        for (index, node) in (0u32..).zip(nodes) {
            let text = words::joined(std::iter::once(&node.row).chain(&node.folded));
            if filter.score(&text).is_none() {
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
        kept
    }

    /// The branches left of a node, outermost first, at most `most` of them: the outermost are left out.
    fn branches(&self, pen: &Pen<'_>, line: TreeLine, most: usize) -> (String, bool) {
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

/// Draws a line.
pub fn draw(
    pen: &mut Pen<'_>,
    strip: Strip,
    shape: &Shape,
    folds: &Folds,
    node: &Node,
    line: TreeLine,
    filter: Option<&Filter>,
) {
    let strip = strip.gutter(pen);
    let rows = || std::iter::once(&node.row).chain(&node.folded);
    let mut parts = words::words(rows(), filter);
    let mut x = strip.x;
    if shape.counts > 0 {
        let has_count = matches!(node.row.cells.first().map(|cell| &cell.value), Some(Value::Count(_)));
        if let Some(own) = parts.first_mut().filter(|own| has_count && !own.is_empty()) {
            let count = own.remove(0);
            if line.frame == 0 {
                let wide = u16::try_from(width_of(&count.text)).unwrap_or(u16::MAX);
                let indent = shape.counts.saturating_sub(wide);
                let style = strip.tone(pen, count.tone);
                pen.cut(
                    x.saturating_add(indent),
                    strip.y,
                    strip.end().saturating_sub(x).saturating_sub(indent),
                    &count.text,
                    style,
                    &count.hits,
                );
            }
        }
        x = x.saturating_add(shape.counts).saturating_add(1);
    }
    let quiet = strip.tone(pen, Tone::Dim);
    let most = usize::from(strip.width / 4);
    let (branches, cut) = shape.branches(pen, line, most);
    if cut {
        x = pen.text(x, strip.y, strip.end().saturating_sub(x), pen.theme.symbols.ellipsis, quiet);
    }
    x = pen.text(x, strip.y, strip.end().saturating_sub(x), &branches, quiet);
    let mut notes: Vec<(String, Style)> = Vec::new();
    let tids = threads_of(node);
    if tids.is_some() {
        parts.pop();
    }
    let chained = folds.chains.contains(&line.node);
    let shown: Vec<Vec<Word>> = match (line.frame, chained) {
        (0, false) => parts,
        (frame, _) => parts.into_iter().nth(frame as usize).into_iter().collect(),
    };
    let hidden = if folds.closed.contains(&line.node) && line.frame == 0 && filter.is_none() {
        shape.descendants(line.node)
    } else {
        0
    };
    if hidden > 0 {
        notes.push((format!("{} {hidden} below", pen.theme.symbols.folded), strip.tone(pen, Tone::Guess)));
    }
    if let Some(tids) = tids.filter(|_| line.frame == 0) {
        let room = usize::from(strip.end().saturating_sub(x)) / 3;
        notes.push((fitted(tids, room), strip.tone(pen, Tone::Link)));
    }
    chain(pen, Strip { x, width: strip.end().saturating_sub(x), ..strip }, shown, &notes);
}

/// Frames folded into a node.
pub fn frames_of(node: &Node) -> usize {
    node.folded.len().saturating_sub(usize::from(threads_of(node).is_some()))
}

/// The ids of the threads that are in a node and in none of its children.
fn threads_of(node: &Node) -> Option<&[Tid]> {
    match node.folded.last()?.cells.as_slice() {
        [Cell { value: Value::Tids(tids), .. }] => Some(tids),
        _ => None,
    }
}

/// As many ids as fit a width, and how many more there are: `4712 4713 +17`.
fn fitted(tids: &[Tid], width: usize) -> String {
    let mut text = String::new();
    for (index, tid) in tids.iter().enumerate() {
        let id = tid.to_string();
        let more = tids.len().saturating_sub(index);
        let gap = usize::from(!text.is_empty());
        let counted = if more > 1 { format!(" +{}", more.saturating_sub(1)).len() } else { 0 };
        if text.len().saturating_add(gap).saturating_add(id.len()).saturating_add(counted) > width {
            text.push_str(&" ".repeat(gap));
            text.push_str(&format!("+{more}"));
            break;
        }
        text.push_str(&" ".repeat(gap));
        text.push_str(&id);
    }
    text
}

fn width_of_part(part: &[Word]) -> usize {
    let texts = part.iter().filter(|word| !word.text.is_empty());
    texts.map(|word| width_of(&word.text).saturating_add(1)).sum::<usize>().saturating_sub(1)
}

/// Draws frames one after the other, outermost first; what [`shortened`] keeps when the room is short.
fn chain(pen: &mut Pen<'_>, strip: Strip, parts: Vec<Vec<Word>>, notes: &[(String, Style)]) {
    let quiet = strip.tone(pen, Tone::Dim);
    let calls = pen.theme.symbols.calls;
    let joint = width_of(calls).saturating_add(2);
    let notes_width: usize = notes.iter().map(|(text, _)| width_of(text).saturating_add(2)).sum();
    let room = usize::from(strip.width).saturating_sub(notes_width);
    let parts = shortened(parts, room, joint);
    let end = strip.x.saturating_add(u16::try_from(room).unwrap_or(u16::MAX));
    let mut x = strip.x;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            x = pen.text(x, strip.y, end.saturating_sub(x), &format!(" {calls} "), quiet);
        }
        let later = parts.iter().skip(index.saturating_add(1));
        let rest: usize = later.map(|part| width_of_kept(part.as_deref()).saturating_add(joint)).sum();
        let share = usize::from(end.saturating_sub(x));
        // The last frame gets what is left; an earlier one leaves at least half for what follows it.
        let own = if rest == 0 { share } else { share.saturating_sub(rest.min(share / 2)) };
        let own_end = x.saturating_add(u16::try_from(own).unwrap_or(u16::MAX));
        x = match part {
            Some(part) => draw_part(pen, strip, x, own_end, part),
            None => pen.text(x, strip.y, own_end.saturating_sub(x), pen.theme.symbols.ellipsis, quiet),
        };
    }
    for (text, style) in notes {
        x = x.saturating_add(2);
        x = pen.text(x, strip.y, strip.end().saturating_sub(x), text, *style);
    }
}

/// Frames that fit a width, `None` where some were left out. The first, the last and the innermost of the program's own
/// stay longest: library frames between them go first, then others, outermost first; then the last, where it is a
/// library's.
fn shortened(parts: Vec<Vec<Word>>, room: usize, joint: usize) -> Vec<Option<Vec<Word>>> {
    let ours = |part: &[Word]| part.first().is_some_and(|word| word.tone != Tone::Dim);
    let innermost = parts.iter().rposition(|part| ours(part));
    let last = parts.len().saturating_sub(1);
    let mut order: Vec<usize> = (1..last).filter(|index| Some(*index) != innermost).collect();
    order.sort_by_key(|index| parts.get(*index).is_some_and(|part| ours(part)));
    order.extend(Some(last).filter(|last| *last > 0 && innermost.is_some_and(|innermost| innermost < *last)));
    let mut kept: Vec<Option<Vec<Word>>> = parts.into_iter().map(Some).collect();
    let needed = |kept: &[Option<Vec<Word>>]| {
        let own: usize = kept.iter().map(|part| width_of_kept(part.as_deref()).saturating_add(joint)).sum();
        own.saturating_sub(joint)
    };
    let merged = |kept: &[Option<Vec<Word>>]| {
        let mut merged = kept.to_vec();
        merged.dedup_by(|later, earlier| later.is_none() && earlier.is_none());
        merged
    };
    for index in order {
        if needed(&merged(&kept)) <= room {
            break;
        }
        if let Some(part) = kept.get_mut(index) {
            *part = None;
        }
    }
    kept.dedup_by(|later, earlier| later.is_none() && earlier.is_none());
    kept
}

fn width_of_kept(part: Option<&[Word]>) -> usize {
    part.map_or(1, width_of_part)
}

fn draw_part(pen: &mut Pen<'_>, strip: Strip, mut x: u16, end: u16, part: &[Word]) -> u16 {
    let start = x;
    let whole = width_of_part(part);
    for word in part.iter().filter(|word| !word.text.is_empty()) {
        if x > start {
            x = x.saturating_add(1).min(end);
        }
        // Words behind a name (`×12`, a source line) keep their room; the name is cut.
        let others = whole.saturating_sub(width_of(&word.text));
        let room = usize::from(end.saturating_sub(x));
        let own = if x == start { room.saturating_sub(others.min(room / 2)) } else { room };
        x = pen.cut(
            x,
            strip.y,
            u16::try_from(own).unwrap_or(u16::MAX),
            &word.text,
            strip.tone(pen, word.tone),
            &word.hits,
        );
    }
    x
}

/// Text of a line as it is copied.
pub fn copied(node: &Node, line: TreeLine, folds: &Folds) -> String {
    let rows: Vec<&Row> = match (line.frame.checked_sub(1), folds.chains.contains(&line.node)) {
        (Some(frame), _) => node.folded.get(frame as usize).into_iter().collect(),
        (None, true) => vec![&node.row],
        (None, false) => std::iter::once(&node.row).chain(&node.folded).collect(),
    };
    let texts: Vec<String> = rows.into_iter().map(|row| cells::line(row, Room::Copy)).collect();
    format!("{}{}", "  ".repeat(usize::try_from(node.depth).unwrap_or(0).min(64)), texts.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(depth: u32, name: &str) -> Node {
        Node { depth, row: Row::text(name), folded: vec![Row::new(vec![Cell::text(format!("{name}2"))])] }
    }

    fn nodes() -> Vec<Node> {
        vec![node(0, "root"), node(1, "a"), node(2, "x"), node(2, "y"), node(1, "b"), node(0, "other")]
    }

    fn shown(folds: &Folds, filter: &str) -> Vec<(u32, u32)> {
        let nodes = nodes();
        let lines = Shape::new(&nodes).visible(&nodes, folds, Filter::parse(filter).as_ref());
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
    fn thread_ids_that_do_not_fit_are_counted() {
        let tids = [Tid(4712), Tid(4713), Tid(4714)];
        assert_eq!(fitted(&tids, 14), "4712 4713 4714");
        assert_eq!(fitted(&tids, 13), "4712 4713 +1");
        assert_eq!(fitted(&tids, 11), "4712 +2");
        assert_eq!(fitted(&tids, 3), "+3");
    }

    #[test]
    fn depths_that_jump_do_not_break_the_shape() {
        let nodes = vec![node(7, "a"), node(u32::MAX, "b"), node(0, "c")];
        assert_eq!(Shape::new(&nodes).parents, [None, Some(0), None]);
    }
}
