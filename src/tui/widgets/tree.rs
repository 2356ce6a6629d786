//! Rows that hang under rows: which are visible, and one line drawn at a time.
//!
//! A node's first cell, where it is a count, stands in a column of its own. Frames folded into a node follow it on its line
//! (`a › b › c`) until the node is unfolded; then each has its line. Where the line is too narrow the middle ones give way.

mod chain;
mod shape;

use ratatui::style::Style;

use self::chain::chain;
use super::Strip;
use crate::model::Tid;
use crate::report::pattern::Pattern;
use crate::report::section::{Cell, Node, Row, Tone, Value};
use crate::report::words::{Room, line as words_of};
use crate::tui::ink::{Pen, width_of};
use crate::tui::marked::{Word, marked};

pub use shape::{Folds, Shape, TreeLine};

/// Draws a line.
pub fn draw(
    pen: &mut Pen<'_>,
    strip: Strip,
    shape: &Shape,
    folds: &Folds,
    node: &Node,
    line: TreeLine,
    filter: Option<&Pattern>,
) {
    let strip = strip.gutter(pen);
    let rows = || std::iter::once(&node.row).chain(&node.folded);
    let mut parts = marked(rows(), filter);
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

/// Text of a line as it is copied.
pub fn copied(node: &Node, line: TreeLine, folds: &Folds) -> String {
    let rows: Vec<&Row> = match (line.frame.checked_sub(1), folds.chains.contains(&line.node)) {
        (Some(frame), _) => node.folded.get(frame as usize).into_iter().collect(),
        (None, true) => vec![&node.row],
        (None, false) => std::iter::once(&node.row).chain(&node.folded).collect(),
    };
    let texts: Vec<String> = rows.into_iter().map(|row| words_of(row, Room::Copy)).collect();
    format!("{}{}", "  ".repeat(usize::try_from(node.depth).unwrap_or(0).min(64)), texts.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_ids_that_do_not_fit_are_counted() {
        let tids = [Tid(4712), Tid(4713), Tid(4714)];
        assert_eq!(fitted(&tids, 14), "4712 4713 4714");
        assert_eq!(fitted(&tids, 13), "4712 4713 +1");
        assert_eq!(fitted(&tids, 11), "4712 +2");
        assert_eq!(fitted(&tids, 3), "+3");
    }
}
