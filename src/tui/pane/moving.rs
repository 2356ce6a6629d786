//! Moving about in a page: the selection, the part that is seen, folds.

use std::sync::Arc;

use super::{Pane, Spot};
use crate::report::section::Body;
use crate::tui::widgets::tree::{Folds, Shape, frames_of};

impl Pane {
    /// Selects a line by its place on the screen. Says whether there was one to select.
    pub fn click(&mut self, y: u16) -> bool {
        let line = self.document.line_at(self.top, usize::from(y));
        self.stand(line)
    }

    pub(super) fn stand(&mut self, line: usize) -> bool {
        self.found = None;
        match self.document.spot(line) {
            Some(spot) => {
                self.spot = Some(spot);
                self.reveal();
                true
            }
            None => false,
        }
    }

    /// Moves to the next line that can be selected, down or up; scrolls where none is near.
    pub fn step(&mut self, down: bool) {
        let height = self.height();
        let from = self.line();
        let next = match (from, down) {
            (Some(line), true) => self.document.selectable(line.saturating_add(1), true, height),
            (Some(line), false) => line.checked_sub(1).and_then(|line| self.document.selectable(line, false, height)),
            (None, _) => None,
        };
        match next {
            Some(line) => {
                self.stand(line);
            }
            None => self.scroll(down, 1),
        }
    }

    /// Moves by lines, down or up, and selects the nearest that can be.
    pub fn leap(&mut self, down: bool, lines: usize) {
        let Some(from) = self.line() else { return self.scroll(down, lines) };
        let target = if down {
            from.saturating_add(lines).min(self.document.len().saturating_sub(1))
        } else {
            from.saturating_sub(lines)
        };
        let near = self.document.selectable(target, down, lines);
        match near.or_else(|| self.document.selectable(target, !down, lines)) {
            Some(line) if (line > from) == down && line != from => {
                self.top = if down { self.top.saturating_add(lines) } else { self.top.saturating_sub(lines) };
                self.stand(line);
            }
            _ => self.scroll(down, lines),
        }
    }

    /// Half a screen, or a whole one less a line.
    pub fn page(&mut self, down: bool, whole: bool) {
        let height = self.height();
        self.leap(down, if whole { height.saturating_sub(1).max(1) } else { (height / 2).max(1) });
    }

    /// To the first or the last line that can be selected.
    pub fn edge(&mut self, bottom: bool) {
        let len = self.document.len();
        let line = if bottom {
            self.document.selectable(len.saturating_sub(1), false, usize::MAX)
        } else {
            self.document.selectable(0, true, usize::MAX)
        };
        self.top = if bottom { len.saturating_sub(self.height()) } else { 0 };
        if let Some(line) = line {
            self.spot = self.document.spot(line);
        }
    }

    /// Scrolls without selecting.
    pub fn scroll(&mut self, down: bool, lines: usize) {
        let last_top = self.document.len().saturating_sub(self.height());
        self.top = if down { self.top.saturating_add(lines).min(last_top) } else { self.top.saturating_sub(lines) };
    }

    /// Scrolls code to the left or to the right, no further than its longest line.
    pub fn sideways(&mut self, right: bool) {
        const STEP: u16 = 16;
        let most = self.natural_width().unwrap_or(0).saturating_sub(STEP);
        self.left = if right { self.left.saturating_add(STEP).min(most) } else { self.left.saturating_sub(STEP) };
        self.lay_out();
    }

    /// Scrolls; the selection comes along where it would leave the screen.
    pub fn wheel(&mut self, down: bool, lines: usize) {
        self.scroll(down, lines);
        let height = self.height();
        // A heading that stays on top covers the first line.
        let first = (0..height).map(|y| self.document.line_at(self.top, y)).find(|line| *line >= self.top);
        let first = first.unwrap_or(self.top);
        let last = self.top.saturating_add(height).saturating_sub(1);
        let near = match self.line() {
            Some(line) if line < first => self.document.selectable(first, true, height),
            Some(line) if line > last => self.document.selectable(last, false, height),
            _ => None,
        };
        if let Some(spot) = near.and_then(|line| self.document.spot(line)) {
            self.spot = Some(spot);
        }
    }

    /// Unfolds the selected node: its folded frames, then its children; goes to its first child where all is open.
    /// Folds in the reverse order; goes to the parent where all is folded.
    pub fn fold(&mut self, fold: bool) {
        let Some(spot) = self.spot() else { return };
        let Some(Body::Tree(nodes)) = self.section.bodies.get(spot.body) else { return };
        let Some(shape) = self.document.shape(spot.body).map(Arc::clone) else { return };
        let Some(folds) = self.folds.get_mut(spot.body) else { return };
        let node = Spot { frame: 0, ..spot };
        let has_chain = nodes.get(spot.item as usize).is_some_and(|node| frames_of(node) > 0);
        let has_children = shape.descendants(spot.item) > 0;
        let parent = shape.parent(spot.item).map_or(node, |parent| Spot { item: parent, ..node });
        let child = Spot { item: spot.item.saturating_add(1), ..node };
        let changed = if fold {
            folds.chains.remove(&spot.item) || has_children && folds.closed.insert(spot.item)
        } else {
            folds.closed.remove(&spot.item) || has_chain && folds.chains.insert(spot.item)
        };
        let to = match (changed, fold) {
            (true, _) => node,
            (false, true) => parent,
            (false, false) if has_children => child,
            (false, false) => node,
        };
        self.spot = Some(to);
        self.lay_out();
        self.reveal();
    }

    /// Folds or unfolds everything.
    pub fn fold_all(&mut self, fold: bool) {
        let spot = self.spot();
        for (body, folds) in self.section.bodies.iter().zip(&mut self.folds) {
            let Body::Tree(nodes) = body else { continue };
            *folds = Folds::default();
            let shape = Shape::new(nodes);
            for (index, node) in (0u32..).zip(nodes) {
                if fold && shape.descendants(index) > 0 {
                    folds.closed.insert(index);
                }
                if !fold && frames_of(node) > 0 {
                    folds.chains.insert(index);
                }
            }
            // The selection moves to the root that now stands for it.
            if let Some(selected) = spot.filter(|_| fold) {
                let mut root = selected.item;
                while let Some(parent) = shape.parent(root) {
                    root = parent;
                }
                self.spot = Some(Spot { item: root, frame: 0, ..selected });
            }
        }
        self.lay_out();
        self.reveal();
    }
}
