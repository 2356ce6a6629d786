//! Where things stand on the screen: three fixed lines, two rules, the page, and the detail beside or below it.

use ratatui::layout::Rect;

/// The smallest terminal that is drawn on.
pub const LEAST: (u16, u16) = (60, 20);
/// From this width on the selected row's detail stands beside the list.
pub const WIDE: u16 = 110;
/// Lines that a list keeps above its detail.
const LEAST_LIST: u16 = 2;

/// Where the selected row's detail is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nowhere.
    Hidden,
    /// Beside a list that would like to be so wide.
    Beside(u16),
    /// Below a list that would like to be so high.
    Below(u16),
}

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
    /// The line between the page and the detail: one column, or one row.
    pub between: Option<Rect>,
    /// The selected row's detail, where there is something to show.
    pub detail: Option<Rect>,
    /// The rule above the keys: messages and prompts.
    pub lower: Rect,
    /// The keys.
    pub footer: Rect,
}

impl Layout {
    /// The parts of a screen of this size; `None` when it is too small.
    pub fn new((width, height): (u16, u16), prompt: bool, detail: Detail) -> Option<Layout> {
        if width < LEAST.0 || height < LEAST.1 {
            return None;
        }
        let line = |y: u16| Rect::new(0, y, width, 1);
        let top = if prompt { 4 } else { 3 };
        let rows = height.saturating_sub(2).saturating_sub(top);
        let (body, between, detail) = match detail {
            Detail::Hidden => (Rect::new(0, top, width, rows), None, None),
            Detail::Beside(wanted) => {
                // The list gets what it needs between two and three fifths: what it does not need is the detail's.
                let share = |fifths: u16| width.saturating_mul(fifths) / 5;
                let bar = wanted.saturating_add(1).clamp(share(2), share(3));
                let from = bar.saturating_add(1);
                let detail = Rect::new(from, top, width.saturating_sub(from), rows);
                // A blank column keeps the list off the bar.
                let list = Rect::new(0, top, bar.saturating_sub(1), rows);
                (list, Some(Rect::new(bar, top, 1, rows)), Some(detail))
            }
            Detail::Below(wanted) => {
                let list = wanted.clamp(LEAST_LIST, (rows / 2).max(LEAST_LIST));
                let rule = top.saturating_add(list);
                let from = rule.saturating_add(1);
                let detail = Rect::new(0, from, width, rows.saturating_sub(list).saturating_sub(1));
                (Rect::new(0, top, width, list), Some(line(rule)), Some(detail))
            }
        };
        Some(Layout {
            header: line(0),
            tabs: line(1),
            rule: line(2),
            prompt: prompt.then(|| line(3)),
            body,
            between,
            detail,
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
        assert_eq!(Layout::new((59, 24), false, Detail::Beside(70)), None);
        assert_eq!(Layout::new((80, 19), false, Detail::Below(70)), None);
        assert_eq!(Layout::new((0, 0), false, Detail::Hidden), None);
        assert!(Layout::new((60, 20), true, Detail::Below(70)).is_some());
    }

    #[test]
    fn a_list_beside_its_detail_has_two_to_three_fifths() {
        for (wanted, bar) in [(20, 48), (60, 61), (200, 72)] {
            let layout = Layout::new((120, 40), false, Detail::Beside(wanted)).expect("large enough");
            let (between, detail) = (layout.between.expect("a bar"), layout.detail.expect("a detail"));
            assert_eq!((between.x, between.width, between.height), (bar, 1, 35));
            assert_eq!((detail.left(), detail.right(), layout.body.right()), (bar + 1, 120, bar - 1));
        }
    }

    #[test]
    fn a_list_above_its_detail_has_half_at_most() {
        // 24 lines less five fixed ones are 19.
        for (wanted, list) in [(1, 2), (5, 5), (100, 9)] {
            let layout = Layout::new((80, 24), false, Detail::Below(wanted)).expect("large enough");
            let (between, detail) = (layout.between.expect("a rule"), layout.detail.expect("a detail"));
            assert_eq!((layout.body.top(), layout.body.height), (3, list));
            assert_eq!((between.y, between.height, between.width), (3 + list, 1, 80));
            assert_eq!((detail.top(), detail.bottom()), (4 + list, 22));
        }
    }

    #[test]
    fn the_parts_cover_every_line_once() {
        let layout = Layout::new((80, 24), true, Detail::Hidden).expect("large enough");
        let lines =
            [layout.header, layout.tabs, layout.rule, layout.prompt.expect("asked for"), layout.lower, layout.footer];
        let rows: u16 = lines.iter().map(|line| line.height).sum::<u16>() + layout.body.height;
        assert_eq!(rows, 24);
        assert_eq!((layout.body.top(), layout.body.bottom()), (4, 22));
    }
}
