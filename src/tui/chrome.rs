//! The fixed lines: what is open, the panes, messages and prompts, the keys that matter here.

use ratatui::layout::Rect;

use super::app::{App, Dump, Overlay};
use super::ink::{Pen, width_of};
use super::keymap::{self, Action, Binding};
use super::layout::Layout;
use crate::report::section::Tone;
use crate::report::words::{size, thousands};

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
        let dot = format!(" {} ", pen.theme.symbols.dot);
        let mut facts: Vec<(String, Tone)> = Vec::new();
        let mut spare: Vec<usize> = Vec::new();
        match &self.dump {
            Dump::Open(opened) => {
                facts.extend(opened.program.clone().map(|program| (program, Tone::Strong)));
                facts.push((opened.file.clone(), Tone::Plain));
                spare.push(facts.len());
                facts.extend(Some((opened.arch.clone(), Tone::Dim)).filter(|(arch, _)| !arch.is_empty()));
                facts.extend(opened.signal.clone().map(|signal| (signal, Tone::Bad)));
                let threads = if opened.threads == 1 { "thread" } else { "threads" };
                match opened.kind {
                    Some(kind) => facts.push((kind.to_owned(), Tone::Dim)),
                    None => facts.push((format!("{} {threads}", thousands(opened.threads)), Tone::Dim)),
                }
                spare.insert(0, facts.len());
                facts.push((size(opened.bytes), Tone::Dim));
            }
            Dump::Choosing | Dump::Opening(_) | Dump::Failed(_) => facts.push((self.file.clone(), Tone::Strong)),
        }
        let width = usize::from(area.width).saturating_sub(2);
        let total = |facts: &[(String, Tone)]| -> usize {
            facts.iter().map(|(text, _)| width_of(text).saturating_add(width_of(&dot))).sum::<usize>().saturating_sub(3)
        };
        // First the facts that matter least go, then the names are cut.
        for index in spare {
            if total(&facts) > width {
                facts.remove(index);
            }
        }
        let fixed: usize = facts.iter().skip(2).map(|(text, _)| width_of(text).saturating_add(width_of(&dot))).sum();
        let names = width.saturating_sub(fixed).saturating_sub(3) / 2;
        let cut = total(&facts) > width;
        let mut x = area.x.saturating_add(1);
        for (index, (text, tone)) in facts.iter().enumerate() {
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
                format!("{} {short}", index.saturating_add(1))
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
        pen.rule(rule.x, rule.y, rule.width);
        for button in self.tab_buttons() {
            let open = button.is == self.tab;
            let style = if open { pen.theme.key() } else { pen.theme.quiet() };
            let room = button.width.min(area.right().saturating_sub(button.x));
            pen.text(button.x, area.y, room, &button.label, style);
            if open {
                let heavy = pen.theme.symbols.heavy.repeat(usize::from(room));
                pen.text(button.x, rule.y, room, &heavy, pen.theme.accent());
            }
        }
        if !self.is_root() {
            let title = format!(" {} ", self.pane.title);
            let wide = u16::try_from(width_of(&title)).unwrap_or(u16::MAX).min(rule.width / 2);
            pen.cut(rule.right().saturating_sub(wide).saturating_sub(1), rule.y, wide, &title, pen.theme.key(), &[]);
        }
    }

    pub(super) fn lower_line(&self, pen: &mut Pen<'_>, area: Rect) {
        pen.rule(area.x, area.y, area.width);
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
            (Overlay::Copy, _) => {
                pen.text(area.x.saturating_add(1), area.y, area.width, " copy what? ", pen.theme.key());
            }
            (_, Some((said, tone))) => {
                pen.cut(
                    area.x.saturating_add(1),
                    area.y,
                    area.width.saturating_sub(2),
                    &format!(" {said} "),
                    pen.theme.tone(*tone),
                    &[],
                );
            }
            _ => self.place(pen, area),
        }
    }

    /// Where the page stands: `12 of 1,208`.
    fn place(&self, pen: &mut Pen<'_>, area: Rect) {
        let document = self.pane.document();
        let height = usize::from(self.layout().map_or(0, |layout| layout.body.height));
        let (shown, _) = document.counts();
        let mut words: Vec<String> = Vec::new();
        if self.errand.is_some() {
            words.push("working".to_owned());
        }
        if document.len() > height {
            let last = self.pane.top().saturating_add(height).min(document.len());
            if self.pane.is_list() && shown > 0 {
                words.push(format!("{} rows", thousands(shown as u64)));
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
