//! The fixed lines: what is open, the panes, messages and prompts, the keys that matter here.

use ratatui::layout::Rect;

use super::app::{App, Dump, Overlay};
use super::event::Opened;
use super::ink::{Pen, width_of};
use super::keymap::{self, Action, Binding};
use super::layout::Layout;
use crate::report::section::Tone;
use crate::report::words::{size, span, thousands};

/// Columns below which it is not worth saying where a page stands.
const LEAST_TRAIL: u16 = 12;
/// Panes that a digit opens.
const DIGITS: usize = 9;

/// A fact of the first line.
struct HeaderFact {
    text: String,
    tone: Tone,
    /// The larger, the sooner it goes where room is short; 0 stays.
    spare: u8,
}

fn fact(text: impl Into<String>, tone: Tone, spare: u8) -> HeaderFact {
    HeaderFact { text: text.into(), tone, spare }
}

/// What is open, in the order of the first line.
fn facts_of(opened: &Opened) -> Vec<HeaderFact> {
    let mut facts = Vec::new();
    facts.extend(opened.program.clone().map(|program| fact(program, Tone::Strong, 0)));
    facts.push(fact(opened.file.clone(), if facts.is_empty() { Tone::Strong } else { Tone::Plain }, 0));
    if let Some(captured) = opened.captured {
        facts.push(fact(format!("live, {} ago", span(captured.elapsed().as_secs())), Tone::Guess, 0));
    }
    facts.extend(opened.present_percent.map(|percent| fact(format!("{percent} % present"), Tone::Bad, 0)));
    facts.extend(opened.kind.map(|kind| fact(kind, Tone::Dim, 4)));
    facts.extend((!opened.arch.is_empty()).then(|| fact(opened.arch.clone(), Tone::Dim, 4)));
    facts.extend(opened.signal.clone().map(|signal| fact(signal, Tone::Bad, 0)));
    if opened.kind.is_none() {
        facts.push(fact(counted(opened.threads, "thread", "threads"), Tone::Dim, 2));
    }
    if opened.modules_without_symbols > 0 {
        let modules = counted(opened.modules_without_symbols, "module", "modules");
        facts.push(fact(format!("{modules} without symbols"), Tone::Guess, 3));
    }
    facts.push(fact(size(opened.bytes), Tone::Dim, 5));
    facts
}

/// `1 thread`, `1,208 threads`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// Something on the first or last lines that can be clicked.
#[derive(Clone, Debug)]
pub(super) struct Button<T> {
    pub(super) x: u16,
    pub(super) width: u16,
    pub(super) label: String,
    pub(super) is: T,
}

impl App {
    pub(super) fn header(&self, pen: &mut Pen<'_>, area: Rect) {
        if area.height == 0 {
            return;
        }
        let dot = format!(" {} ", pen.theme.symbols.dot);
        let mut facts = match &self.dump {
            Dump::Open(opened) => facts_of(opened),
            Dump::Choosing | Dump::Opening(_) | Dump::Failed(_) => vec![fact(self.file.clone(), Tone::Strong, 0)],
        };
        let width = usize::from(area.width).saturating_sub(2);
        let total = |facts: &[HeaderFact]| -> usize {
            let all = facts.iter().map(|fact| width_of(&fact.text).saturating_add(width_of(&dot)));
            all.sum::<usize>().saturating_sub(width_of(&dot))
        };
        // First the facts that matter least go, then the names are cut.
        while total(&facts) > width {
            let least = facts.iter().enumerate().filter(|(_, fact)| fact.spare > 0).max_by_key(|(_, fact)| fact.spare);
            match least.map(|(index, _)| index) {
                Some(index) => drop(facts.remove(index)),
                None => break,
            }
        }
        let fixed: usize = facts.iter().skip(2).map(|fact| width_of(&fact.text).saturating_add(width_of(&dot))).sum();
        let names = width.saturating_sub(fixed).saturating_sub(3) / 2;
        let cut = total(&facts) > width;
        let mut x = area.x.saturating_add(1);
        for (index, HeaderFact { text, tone, .. }) in facts.iter().enumerate() {
            if index > 0 {
                let between = if index == 1 { "  " } else { dot.as_str() };
                x = pen.text(x, area.y, area.right().saturating_sub(x), between, pen.theme.quiet());
            }
            let room = area.right().saturating_sub(x);
            let most = if cut && index < 2 { u16::try_from(names).unwrap_or(u16::MAX).max(8).min(room) } else { room };
            x = pen.cut(x, area.y, most, text, pen.theme.tone(*tone), &[]);
        }
    }

    /// The panes with their numbers; titles are shortened where all do not fit.
    pub(super) fn tab_buttons(&self) -> Vec<Button<usize>> {
        let width = usize::from(self.size.0);
        let titles = |most: usize| -> Vec<String> {
            let title = |(index, tab): (usize, &super::app::Tab)| {
                let short = if index == self.tab { tab.title } else { abbreviated(tab.title, most) };
                // Beyond nine there is no digit to press.
                if index < DIGITS { format!("{} {short}", index.saturating_add(1)) } else { short.to_owned() }
            };
            self.tabs.iter().enumerate().map(title).collect()
        };
        let fits = |titles: &[String], gap: usize| {
            titles.iter().map(|title| width_of(title).saturating_add(gap)).sum::<usize>() <= width
        };
        let (titles, gap) = [(usize::MAX, 3), (usize::MAX, 2), (4, 2), (3, 2), (3, 1)]
            .into_iter()
            .map(|(most, gap)| (titles(most), gap))
            .find(|(titles, gap)| fits(titles, *gap))
            .unwrap_or_else(|| (titles(1), 1));
        let mut x = 1u16;
        let mut buttons = Vec::new();
        for (is, label) in titles.into_iter().enumerate() {
            let wide = u16::try_from(width_of(&label)).unwrap_or(u16::MAX);
            buttons.push(Button { x, width: wide, label, is });
            x = x.saturating_add(wide).saturating_add(u16::try_from(gap).unwrap_or(1));
        }
        buttons
    }

    pub(super) fn tab_line(&self, pen: &mut Pen<'_>, layout: Layout) {
        let (area, rule) = (layout.tabs, layout.rule);
        if !layout.low {
            pen.rule(rule.x, rule.y, rule.width);
        }
        let mut x = area.x;
        for button in self.tab_buttons() {
            let open = button.is == self.tab;
            let style = match (open, layout.low) {
                // Without a line below it the open pane is set off by its ground.
                (true, true) => pen.theme.selected(),
                (true, false) => pen.theme.key(),
                (false, _) => pen.theme.quiet(),
            };
            let room = button.width.min(area.right().saturating_sub(button.x));
            x = pen.text(button.x, area.y, room, &button.label, style);
            if open && !layout.low {
                let heavy = pen.theme.symbols.heavy.repeat(usize::from(room));
                pen.text(button.x, rule.y, room, &heavy, pen.theme.accent());
            }
        }
        // Where the page stands; on a low screen as far as the panes leave room.
        let most = if layout.low { area.right().saturating_sub(x).saturating_sub(3) } else { rule.width };
        let y = if layout.low { area.y } else { rule.y };
        if let Some(trail) = self.trail(pen.theme.symbols.crumb, most) {
            let wide = u16::try_from(width_of(&trail)).unwrap_or(u16::MAX).min(most);
            pen.cut(area.right().saturating_sub(wide).saturating_sub(1), y, wide, &trail, pen.theme.key(), &[]);
        }
    }

    /// `Threads ▸ worker-3 4719 ▸ frame 2`, its first parts left out where it is wider than `most`; of a heap's own pane which part
    /// of it is shown, of others nothing.
    fn trail(&self, between: &str, most: u16) -> Option<String> {
        if self.is_root() && most >= LEAST_TRAIL {
            return self.shelves().filter(|shelves| width_of(shelves) <= usize::from(most));
        }
        if self.is_root() || most < LEAST_TRAIL {
            return None;
        }
        let own = [self.pane.title.clone()];
        let parts = if self.pane.crumbs.is_empty() { &own[..] } else { &self.pane.crumbs };
        let joined = |from: usize| format!(" {} ", parts.get(from..).unwrap_or_default().join(&format!(" {between} ")));
        let from = (0..parts.len()).find(|from| width_of(&joined(*from)) <= usize::from(most));
        Some(joined(from.unwrap_or(parts.len().saturating_sub(1))))
    }

    pub(super) fn lower_line(&self, pen: &mut Pen<'_>, layout: Layout) {
        let area = layout.lower;
        if !layout.low {
            pen.rule(area.x, area.y, area.width);
        }
        match (&self.overlay, &self.said) {
            (Overlay::Palette(palette), _) => {
                pen.clear(area);
                let x = pen.text(area.x.saturating_add(1), area.y, 1, ":", pen.theme.accent());
                let x = pen.cut(x, area.y, area.width.saturating_sub(4), &palette.typed, pen.theme.key(), &[]);
                let x = pen.text(x, area.y, 1, pen.theme.symbols.caret, pen.theme.accent());
                if let Some((said, tone)) = &self.said {
                    let rest = area.right().saturating_sub(x).saturating_sub(4);
                    pen.clip(x.saturating_add(3), area.y, rest, said, pen.theme.tone(*tone));
                }
            }
            (Overlay::Copy, _) if !layout.low => {
                pen.text(area.x.saturating_add(1), area.y, area.width, " copy what? ", pen.theme.key());
            }
            (_, Some((said, tone))) => {
                let room = area.width.saturating_sub(2);
                pen.cut(area.x.saturating_add(1), area.y, room, &format!(" {said} "), pen.theme.tone(*tone), &[]);
            }
            _ if self.runs_errand() => self.working(pen, area),
            _ if !layout.low => {
                self.place(pen, area);
                self.filling(pen, area);
            }
            _ => {}
        }
    }

    /// Whether the keys have given their line to what is typed, said or done: a low screen has one for both.
    pub(super) fn hides_keys(&self, layout: Layout) -> bool {
        let said = self.said.is_some() && !matches!(self.overlay, Overlay::Copy | Overlay::Sort(_));
        layout.low && (said || self.runs_errand() || matches!(self.overlay, Overlay::Palette(_)))
    }

    /// What is being worked on besides the page, and how to stop it.
    fn working(&self, pen: &mut Pen<'_>, area: Rect) {
        const STOP: &str = " working   Esc stop ";
        let wide = u16::try_from(width_of(STOP)).unwrap_or(0).min(area.width);
        pen.text(area.right().saturating_sub(wide).saturating_sub(1), area.y, wide, STOP, pen.theme.key());
    }

    /// Where the page stands: `12 of 1,208`.
    fn place(&self, pen: &mut Pen<'_>, area: Rect) {
        let document = self.pane.document();
        let height = usize::from(self.layout().map_or(0, |layout| layout.body.height));
        let shown = document.rows();
        let mut words: Vec<String> = Vec::new();
        if document.len() > height {
            let last = self.pane.top().saturating_add(height).min(document.len());
            if self.pane.is_list() && shown > 0 {
                words.push(counted(shown as u64, "row", "rows"));
            }
            let share = last.saturating_mul(100).checked_div(document.len()).unwrap_or(100);
            words.push(if self.pane.top() == 0 {
                "top".to_owned()
            } else if share >= 100 {
                "end".to_owned()
            } else {
                format!("{share} %")
            });
        }
        if words.is_empty() {
            return;
        }
        let text = format!(" {} ", words.join(&format!(" {} ", pen.theme.symbols.dot)));
        let wide = u16::try_from(width_of(&text)).unwrap_or(0).min(area.width);
        pen.text(area.right().saturating_sub(wide).saturating_sub(1), area.y, wide, &text, pen.theme.quiet());
    }

    /// The keys that matter now, as many as fit.
    pub(super) fn footer_buttons(&self) -> Vec<Button<&'static Binding>> {
        let mut x = 1u16;
        let mut buttons = Vec::new();
        for is in keymap::footer(&self.scopes()).into_iter().filter(|binding| self.makes_sense(binding.action)) {
            let Some(key) = is.keys.first().map(|key| key.name()) else { continue };
            let key = if self.theme.ascii() && key == "⏎" { "Enter".to_owned() } else { key };
            let wide = width_of(&key).saturating_add(1).saturating_add(width_of(is.short));
            let width = u16::try_from(wide).unwrap_or(u16::MAX);
            if x.saturating_add(width) > self.size.0 {
                continue;
            }
            buttons.push(Button { x, width, label: is.short.to_owned(), is });
            x = x.saturating_add(width).saturating_add(3);
        }
        buttons
    }

    /// Whether a key of the footer would do something now.
    fn makes_sense(&self, action: Action) -> bool {
        match action {
            Action::Open if matches!(self.dump, Dump::Choosing) => self.pane.spot().is_some(),
            Action::Open => self.pane.subject().is_some() || !matches!(self.overlay, Overlay::None),
            Action::Back => !self.back.is_empty(),
            Action::Group | Action::Sizes => self.has_types(),
            _ => true,
        }
    }
}

/// A title's first letters, `most` of them, not ending in a vowel: `Stac`, `Thr`, `Mod`.
fn abbreviated(title: &str, most: usize) -> &str {
    let end = title.char_indices().nth(most).map_or(title.len(), |(at, _)| at);
    let short = title.get(..end).unwrap_or(title);
    if end < title.len() && most > 3 { short.trim_end_matches(['a', 'e', 'i', 'o', 'u']) } else { short }
}
