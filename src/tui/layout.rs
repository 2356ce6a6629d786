//! Where things stand on the screen: three fixed lines, two rules, the page, and the detail beside it.

use ratatui::layout::Rect;

/// The smallest terminal that is drawn on.
pub const LEAST: (u16, u16) = (60, 20);
/// From this width on the selected row's detail stands beside the list.
pub const WIDE: u16 = 110;

/// The parts of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What is open.
    pub header: Rect,
    /// The panes.
    pub tabs: Rect,
    /// The rule under the panes.
    pub rule: Rect,
    /// The filter, where there is one.
    pub prompt: Option<Rect>,
    /// The page.
    pub body: Rect,
    /// The selected row's detail, where there is room and something to show.
    pub detail: Option<Rect>,
    /// The rule above the keys: messages and prompts.
    pub lower: Rect,
    /// The keys.
    pub footer: Rect,
}

impl Layout {
    /// The parts of a screen of this size; `None` when it is too small. `detail`: it is shown, beside a list that would
    /// like to be so wide.
    pub fn new((width, height): (u16, u16), prompt: bool, detail: Option<u16>) -> Option<Layout> {
        if width < LEAST.0 || height < LEAST.1 {
            return None;
        }
        let line = |y: u16| Rect::new(0, y, width, 1);
        let top = if prompt { 4 } else { 3 };
        let rows = height.saturating_sub(2).saturating_sub(top);
        let wanted = detail.filter(|_| width >= WIDE);
        let beside = wanted.is_some();
        // The list gets what it needs between two and three fifths: what it does not need is the detail's.
        let share = |fifths: u16| width.saturating_mul(fifths) / 5;
        let list = wanted.map_or(width, |wanted| wanted.saturating_add(1).clamp(share(2), share(3)));
        let from = list.saturating_add(1);
        Some(Layout {
            header: line(0),
            tabs: line(1),
            rule: line(2),
            prompt: prompt.then(|| line(3)),
            // A blank column keeps the list off the bar.
            body: Rect::new(0, top, if beside { list.saturating_sub(1) } else { list }, rows),
            detail: beside.then(|| Rect::new(from, top, width.saturating_sub(from), rows)),
            lower: line(height.saturating_sub(2)),
            footer: line(height.saturating_sub(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_below_60_by_20_is_not_laid_out() {
        assert_eq!(Layout::new((59, 24), false, Some(70)), None);
        assert_eq!(Layout::new((80, 19), false, Some(70)), None);
        assert_eq!(Layout::new((0, 0), false, Some(70)), None);
        assert!(Layout::new((60, 20), true, Some(70)).is_some());
    }

    #[test]
    fn the_detail_stands_beside_the_list_from_110_columns_on() {
        assert_eq!(Layout::new((109, 40), false, Some(70)).and_then(|layout| layout.detail), None);
        for (wanted, list) in [(20, 48), (60, 61), (200, 72)] {
            let layout = Layout::new((120, 40), false, Some(wanted)).expect("large enough");
            let detail = layout.detail.expect("wide enough");
            // A blank column, and the bar.
            assert_eq!((detail.left(), detail.right(), layout.body.right()), (list + 1, 120, list - 1));
        }
    }

    #[test]
    fn the_parts_cover_every_line_once() {
        let layout = Layout::new((80, 24), true, None).expect("large enough");
        let lines =
            [layout.header, layout.tabs, layout.rule, layout.prompt.expect("asked for"), layout.lower, layout.footer];
        let rows: u16 = lines.iter().map(|line| line.height).sum::<u16>() + layout.body.height;
        assert_eq!(rows, 24);
        assert_eq!((layout.body.top(), layout.body.bottom()), (4, 22));
    }
}
