//! Where things stand on the screen: three fixed lines, two rules, the page, and the detail beside or below it. A low screen
//! leaves out the first line and both rules.

use ratatui::layout::Rect;

/// The smallest terminal that is drawn on.
pub const LEAST: (u16, u16) = (60, 8);
/// Below this height a screen is low: it shows the panes, the page and the keys.
pub const LOW: u16 = 14;
/// Lines that a page needs to have a detail below it.
const LEAST_WITH_DETAIL: u16 = 9;
/// From this width on the selected row's detail stands beside the list.
pub const WIDE: u16 = 110;
/// Columns of a detail beside a list: what it says wraps in fewer, but is hard to read.
const LEAST_BESIDE: u16 = 40;
/// Lines that a page has on a screen of 24, and those of a detail that is worth them.
const HIGH_LIST: u16 = 19;
const LEAST_BELOW: u16 = 10;
/// Lines that a list keeps above its detail.
const LEAST_LIST: u16 = 2;

/// Where the selected row's detail is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nowhere.
    Hidden,
    /// Beside a list of this width where that leaves [`LEAST_BESIDE`] columns, else below it, of this height.
    Beside(u16, u16),
    /// Below a list that would like to be so high.
    Below(u16),
}

impl Detail {
    /// Beside only where the list is whole there; else below, where that leaves the list as high as a small screen has it.
    fn placed(self, width: u16, rows: u16) -> Detail {
        match self {
            _ if rows < LEAST_WITH_DETAIL => Detail::Hidden,
            Detail::Beside(list, _) if list.saturating_add(2).saturating_add(LEAST_BESIDE) <= width => self,
            Detail::Beside(_, height)
                if height.max(HIGH_LIST).saturating_add(1).saturating_add(LEAST_BELOW) <= rows =>
            {
                Detail::Below(height)
            }
            Detail::Beside(..) if HIGH_LIST.saturating_add(1).saturating_add(LEAST_BELOW) <= rows => {
                Detail::Below(rows.saturating_sub(LEAST_BELOW).saturating_sub(1))
            }
            Detail::Beside(..) => Detail::Hidden,
            Detail::Below(height) => Detail::Below(height.min(rows / 2)),
            Detail::Hidden => Detail::Hidden,
        }
    }
}

/// The parts of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whether the header and the rules are left out: what `lower` shows then stands over the keys.
    pub low: bool,
    /// What is open; without height on a low screen.
    pub header: Rect,
    /// The panes.
    pub tabs: Rect,
    /// The rule under the panes; without height on a low screen.
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
        let low = height < LOW;
        let line = |y: u16| Rect::new(0, y, width, 1);
        let none = |y: u16| Rect::new(0, y, width, 0);
        let (header, tabs, rule) = if low { (none(0), line(0), none(1)) } else { (line(0), line(1), line(2)) };
        let first = rule.bottom();
        let top = first.saturating_add(u16::from(prompt));
        let lower = height.saturating_sub(if low { 1 } else { 2 });
        let rows = lower.saturating_sub(top);
        let (body, between, detail) = match detail.placed(width, rows) {
            Detail::Hidden => (Rect::new(0, top, width, rows), None, None),
            Detail::Beside(list, _) => {
                // The list gets what it needs, two fifths at least: what it does not need is the detail's.
                let bar = list.saturating_add(1).max(width.saturating_mul(2) / 5);
                let from = bar.saturating_add(1);
                let detail = Rect::new(from, top, width.saturating_sub(from), rows);
                // A blank column keeps the list off the bar.
                let list = Rect::new(0, top, bar.saturating_sub(1), rows);
                (list, Some(Rect::new(bar, top, 1, rows)), Some(detail))
            }
            Detail::Below(wanted) => {
                let list = wanted.max(LEAST_LIST);
                let rule = top.saturating_add(list);
                let from = rule.saturating_add(1);
                let detail = Rect::new(0, from, width, rows.saturating_sub(list).saturating_sub(1));
                (Rect::new(0, top, width, list), Some(line(rule)), Some(detail))
            }
        };
        Some(Layout {
            low,
            header,
            tabs,
            rule,
            prompt: prompt.then(|| line(first)),
            body,
            between,
            detail,
            lower: line(lower),
            footer: line(height.saturating_sub(1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_below_60_by_8_is_not_laid_out() {
        assert_eq!(Layout::new((59, 24), false, Detail::Beside(70, 9)), None);
        assert_eq!(Layout::new((80, 7), false, Detail::Below(70)), None);
        assert_eq!(Layout::new((0, 0), false, Detail::Hidden), None);
        assert!(Layout::new((60, 8), true, Detail::Below(70)).is_some());
    }

    #[test]
    fn a_low_screen_has_the_panes_the_page_and_the_keys() {
        let layout = Layout::new((60, 8), false, Detail::Below(3)).expect("large enough");
        assert_eq!((layout.header.height, layout.rule.height, layout.detail), (0, 0, None));
        assert_eq!((layout.tabs.y, layout.body.top(), layout.body.height, layout.footer.y), (0, 1, 6, 7));
        assert_eq!(layout.lower, layout.footer);
        let layout = Layout::new((60, 8), true, Detail::Hidden).expect("large enough");
        assert_eq!((layout.prompt.map(|line| line.y), layout.body.top(), layout.body.height), (Some(1), 2, 5));
    }

    #[test]
    fn a_list_beside_its_detail_is_whole_and_has_two_fifths_at_least() {
        for (wanted, bar) in [(20, 48), (60, 61), (78, 79)] {
            let layout = Layout::new((120, 40), false, Detail::Beside(wanted, 9)).expect("large enough");
            let (between, detail) = (layout.between.expect("a bar"), layout.detail.expect("a detail"));
            assert_eq!((between.x, between.width, between.height), (bar, 1, 35));
            assert_eq!((detail.left(), detail.right(), layout.body.right()), (bar + 1, 120, bar - 1));
        }
    }

    #[test]
    fn a_list_that_would_be_cut_beside_its_detail_has_it_below() {
        let layout = Layout::new((120, 40), false, Detail::Beside(79, 9)).expect("large enough");
        assert_eq!(layout, Layout::new((120, 40), false, Detail::Below(9)).expect("large enough"));
        assert_eq!((layout.body.width, layout.body.height), (120, 9));
        let layout = Layout::new((120, 40), false, Detail::Beside(200, 1_000)).expect("large enough");
        assert_eq!((layout.body.height, layout.detail.map(|detail| detail.height)), (24, Some(10)));
        let layout = Layout::new((120, 24), false, Detail::Beside(79, 1_000)).expect("large enough");
        assert_eq!((layout.body.height, layout.detail), (19, None), "a list is not shortened for its detail");
    }

    #[test]
    fn a_list_above_its_detail_has_half_at_most() {
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
