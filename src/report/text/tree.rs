//! Rows that hang under rows as text: the branches, and frames of one path on one line.

use unicode_width::UnicodeWidthStr;

use super::{Out, Text, end_line, push};
use crate::error::Error;
use crate::report::cell::{Cell, Row, Tone, Value};
use crate::report::names::ShortNames;
use crate::report::section::Node;
use crate::report::words::{Room, words};

/// Width at which a path of the tree goes on on the next line, in a pipe.
const WRAP: usize = 110;

/// What stands before the second line of a node: the bars of its ancestors and its own.
fn margin(bars: &[bool], follows: bool, depth: usize) -> String {
    let own = if depth > 0 { Some(&follows) } else { None };
    let bar = |open: &bool| if *open { "│ " } else { "  " };
    " ".repeat(6) + &bars.iter().skip(1).chain(own).map(bar).collect::<String>()
}

/// Prints the nodes of a tree, given in preorder.
pub(super) fn print(out: &mut Out<'_>, nodes: &[Node], names: &ShortNames) -> Result<(), Error> {
    // For each node: does a sibling follow? Read from the end, per depth.
    let mut follows = vec![false; nodes.len()];
    let mut open: Vec<bool> = Vec::new();
    for (node, follow) in nodes.iter().zip(follows.iter_mut()).rev() {
        let depth = usize::try_from(node.depth).unwrap_or(usize::MAX).min(nodes.len());
        open.resize(depth.saturating_add(1), false);
        if let Some(seen) = open.get_mut(depth) {
            *follow = std::mem::replace(seen, true);
        }
    }
    let mut bars: Vec<bool> = Vec::new();
    for (node, follow) in nodes.iter().zip(&follows) {
        let depth = usize::try_from(node.depth).unwrap_or(usize::MAX).min(nodes.len());
        bars.resize(depth, false);
        print_node(out, node, &bars, *follow, names);
        out.spill()?;
        bars.push(*follow);
    }
    Ok(())
}

fn print_node(out: &mut Out<'_>, node: &Node, bars: &[bool], follow: bool, names: &ShortNames) {
    let (style, depth) = (out.style, bars.len());
    let wrap = style.width.map_or(WRAP, usize::from);
    let out = &mut out.text;
    let mut cells = node.row.cells.iter();
    let count = cells.next().map(|cell| words(&cell.value, Room::Printed)).unwrap_or_default();
    let mut start = out.len();
    push(out, &format!("{count:>5} "), Tone::Strong, style);
    for bar in bars.iter().skip(1) {
        push(out, if *bar { "│ " } else { "  " }, Tone::Plain, style);
    }
    if depth > 0 {
        push(out, if follow { "├ " } else { "└ " }, Tone::Plain, style);
    }
    let rest = Row::new(cells.cloned().collect());
    let margin = margin(bars, follow, depth);
    let mut column = margin.width();
    for (at, part) in std::iter::once(&rest).chain(&node.folded).enumerate() {
        let texts: Vec<Text<'_>> = part.cells.iter().map(|cell| Text::of(cell, names)).collect();
        let width = texts.iter().map(|text| text.width().saturating_add(1)).sum::<usize>();
        if at > 0 {
            let is_tids = matches!(part.cells.as_slice(), [Cell { value: Value::Tids(_), .. }]);
            let fits = column.saturating_add(width).saturating_add(2) <= wrap;
            let joint = match (fits, is_tids) {
                (true, true) => "  ",
                (true, false) => " ▸ ",
                (false, true) => "    ",
                (false, false) => "  ▸ ",
            };
            if !fits {
                end_line(out, start);
                start = out.len();
                push(out, &margin, Tone::Plain, style);
                column = margin.width();
            }
            push(out, joint, Tone::Plain, style);
            column = column.saturating_add(3);
        }
        column = column.saturating_add(width);
        for (at, (cell, text)) in part.cells.iter().zip(&texts).enumerate() {
            if at > 0 {
                out.push(' ');
            }
            push(out, text, cell.tone, style);
        }
    }
    end_line(out, start);
}
