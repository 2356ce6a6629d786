//! The screen painted: the fixed lines, the page, what lies over it.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::{App, Dump, Overlay};
use super::document::{Arranged, Arrangement, Document};
use super::event::Failure;
use super::ink::{Pen, width_of};
use super::layout::{LEAST, Layout};
use super::pane::{Content, Pane};
use crate::job::{Job, Progress, Unit};
use crate::report::section::Tone;
use crate::report::words::{size, thousands};
use crate::report::wrap::{Piece, wrap};

/// How to stop what runs.
const STOP: &str = "Esc stop";
/// Suggestions of the palette and columns of the sort menu shown at once.
const CHOICES: usize = 10;

impl App {
    /// Paints the screen.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let mut pen = Pen { buffer: frame.buffer_mut(), theme: &self.theme };
        match self.layout().filter(|_| (area.width, area.height) == self.size) {
            Some(layout) => self.paint(&mut pen, layout),
            None => too_small(&mut pen, area),
        }
    }

    fn paint(&self, pen: &mut Pen<'_>, layout: Layout) {
        self.header(pen, layout.header);
        self.tab_line(pen, layout);
        match &self.overlay {
            Overlay::Help(top) => self.keys(pen, layout, *top),
            _ => {
                if let Some(area) = layout.prompt {
                    self.filter_line(pen, area);
                }
                self.page_body(pen, &self.pane, layout.body, true);
                if let (Some(detail), Some(area), Some(between)) = (&self.detail, layout.detail, layout.between) {
                    separate(pen, between, &detail.title);
                    self.page_body(pen, detail, area, false);
                }
            }
        }
        self.lower_line(pen, layout);
        self.more_detail(pen, layout);
        match &self.overlay {
            Overlay::Palette(_) => self.suggestions(pen, layout),
            Overlay::Sort(choice) => self.sort_menu(pen, layout, *choice),
            Overlay::Panes(choice) => self.pane_menu(pen, layout, *choice),
            Overlay::Marks(choice) => self.mark_menu(pen, layout, *choice),
            _ => {}
        }
        if self.hides_keys(layout) {
            return;
        }
        for button in self.footer_buttons() {
            let key = button.is.keys.first().map(|key| key.name()).unwrap_or_default();
            let style = pen.theme.accent();
            let y = layout.footer.y;
            let x = pen.text(button.x, y, button.width, &key, style);
            let rest = button.x.saturating_add(button.width).saturating_sub(x);
            pen.text(x.saturating_add(1), y, rest, &button.label, pen.theme.quiet());
        }
    }

    /// Says how to see the rest of a detail that does not fit: on the rule above or below it.
    fn more_detail(&self, pen: &mut Pen<'_>, layout: Layout) {
        const HINT: &str = " J K scroll ";
        let (Some(detail), Some(area), Some(between)) = (&self.detail, layout.detail, layout.between) else { return };
        let free = matches!(self.overlay, Overlay::None) && self.said.is_none();
        if !free || detail.document().len() <= usize::from(area.height) {
            return;
        }
        let width = u16::try_from(width_of(HINT)).unwrap_or(0);
        let (x, y) = if between.width == 1 {
            (area.x.saturating_add(1), layout.lower.y)
        } else {
            (area.right().saturating_sub(width).saturating_sub(1), between.y)
        };
        pen.text(x, y, width, HINT, pen.theme.quiet());
    }

    fn filter_line(&self, pen: &mut Pen<'_>, area: Rect) {
        let typing = matches!(self.overlay, Overlay::Filter);
        let (shown, all) = self.pane.document().counts();
        let count = if self.pane.is_arranging() {
            "filtering".to_owned()
        } else {
            format!("{} of {}", thousands(shown as u64), thousands(all as u64))
        };
        let wide = u16::try_from(width_of(&count)).unwrap_or(0);
        let end = area.right().saturating_sub(wide).saturating_sub(1);
        let mut x = pen.text(area.x.saturating_add(2), area.y, 2, "/ ", pen.theme.accent());
        x = pen.cut(x, area.y, end.saturating_sub(x).saturating_sub(3), &self.pane.typed, pen.theme.key(), &[]);
        if typing {
            pen.text(x, area.y, 1, pen.theme.symbols.caret, pen.theme.accent());
        }
        pen.text(end, area.y, wide, &count, pen.theme.quiet());
    }

    fn page_body(&self, pen: &mut Pen<'_>, pane: &Pane, area: Rect, focused: bool) {
        let note = area.x.saturating_add(2);
        let room = area.width.saturating_sub(2);
        if focused {
            match &self.dump {
                Dump::Opening(job) => return self.progress(pen, Rect { x: note, width: room, ..area }, job, "opening"),
                Dump::Failed(failure) => {
                    return failed(pen, Rect { x: note, width: room, ..area }, &failure_lines(failure, false, room));
                }
                Dump::Choosing | Dump::Open(_) => {}
            }
        }
        let document = pane.document();
        let selected = pane.line().filter(|line| focused && document.spot(*line).is_some());
        let selected = pane.found().filter(|_| focused).or(selected);
        document.draw(pen, area, pane.top(), selected);
        self.draw_marks(pen, pane, area);
        match &pane.content {
            // An answer that is there within a tick never flickers.
            Content::Waiting(_, job) if self.waited(pane) => {
                let free = self.beneath(pen, pane, area, 1);
                self.progress(pen, free, job, "working");
            }
            Content::Failed(failure) => {
                let lines = failure_lines(failure, focused, room);
                let free = self.beneath(pen, pane, area, lines.len());
                failed(pen, free, &lines);
            }
            Content::Ready if document.is_empty() && focused => {
                let said =
                    if pane.typed.is_empty() { "nothing to show" } else { "nothing matches; Esc clears the filter" };
                pen.text(note, area.y, room, said, pen.theme.quiet());
            }
            Content::Blank | Content::Waiting(..) | Content::Ready => {}
        }
    }

    /// The place of what is said of a question without an answer: beneath the rows, else on the last lines, over them.
    /// The rows of an earlier answer fade.
    fn beneath(&self, pen: &mut Pen<'_>, pane: &Pane, area: Rect, lines: usize) -> Rect {
        if pane.is_answered() {
            pen.style(area, pen.theme.quiet());
        }
        let rows = u16::try_from(pane.document().len()).unwrap_or(u16::MAX);
        let from = if rows == 0 { 0 } else { rows.saturating_add(1) };
        let lines = u16::try_from(lines).unwrap_or(u16::MAX).min(area.height);
        let last = area.height.saturating_sub(lines);
        if from > last {
            // A blank line sets it off.
            let y = area.y.saturating_add(last.saturating_sub(1));
            pen.clear(Rect { y, height: area.bottom().saturating_sub(y), ..area });
        }
        let y = area.y.saturating_add(from.min(last));
        let margin = super::widgets::GUTTER.min(area.width);
        Rect {
            x: area.x.saturating_add(margin),
            y,
            width: area.width.saturating_sub(margin),
            height: area.bottom().saturating_sub(y),
        }
    }

    fn progress(&self, pen: &mut Pen<'_>, area: Rect, job: &Job, otherwise: &str) {
        const BAR: u64 = 24;
        let progress = job.progress();
        // The key stands at the end, whatever has to be cut before it.
        let stop = u16::try_from(width_of(STOP)).unwrap_or(0);
        let end = Rect { width: area.width.saturating_sub(stop.saturating_add(3)), ..area };
        let phase = if progress.phase.is_empty() { otherwise } else { progress.phase };
        let amount = |amount| match progress.unit {
            Unit::Items => thousands(amount),
            Unit::Bytes => size(amount),
        };
        let mut x = pen.cut(area.x, area.y, end.width, phase, pen.theme.key(), &[]);
        let rest = |x: u16| end.right().saturating_sub(x);
        if let Some(share) = progress.done.min(progress.total).saturating_mul(BAR).checked_div(progress.total) {
            let [done, todo] = pen.theme.symbols.progress;
            let share = usize::try_from(share).unwrap_or(0);
            let left = usize::try_from(BAR).unwrap_or(0).saturating_sub(share);
            x = pen.text(x.saturating_add(2), area.y, rest(x), &done.repeat(share), pen.theme.accent());
            x = pen.text(x, area.y, rest(x), &todo.repeat(left), pen.theme.quiet());
            let count = format!(
                "{} of {}{}",
                amount(progress.done.min(progress.total)),
                amount(progress.total),
                pace(&progress)
            );
            x = pen.text(x.saturating_add(2), area.y, rest(x), &count, pen.theme.quiet());
        } else if progress.done > 0 {
            let count = format!("{}{}", amount(progress.done), pace(&progress));
            x = pen.text(x.saturating_add(2), area.y, rest(x), &count, pen.theme.quiet());
        } else {
            let dots = ".".repeat(usize::try_from(self.ticks % 4).unwrap_or(0));
            x = pen.text(x, area.y, rest(x), &format!("{dots:3}"), pen.theme.quiet());
        }
        pen.text(x.saturating_add(3), area.y, stop, STOP, pen.theme.quiet());
    }

    fn pane_menu(&self, pen: &mut Pen<'_>, layout: Layout, choice: usize) {
        let row = |(index, tab): (usize, &super::app::Tab)| {
            let digit = if index < 9 { index.saturating_add(1).to_string() } else { " ".to_owned() };
            (format!("{digit} {}", tab.title), tab.view.map_or("", |view| view.doc).to_owned())
        };
        let rows: Vec<(String, String)> = self.tabs.iter().enumerate().map(row).collect();
        choices(pen, layout, &rows, Some(choice));
        if !layout.low {
            pen.text(layout.lower.x.saturating_add(1), layout.lower.y, layout.lower.width, " go to ", pen.theme.key());
        }
    }

    fn suggestions(&self, pen: &mut Pen<'_>, layout: Layout) {
        let Overlay::Palette(palette) = &self.overlay else { return };
        let suggestions = palette.suggestions().into_iter();
        let rows: Vec<(String, String)> = suggestions.map(|found| (found.shown, found.doc)).collect();
        choices(pen, layout, &rows, palette.choice);
    }

    fn sort_menu(&self, pen: &mut Pen<'_>, layout: Layout, choice: usize) {
        let body = self.pane.document().table(self.pane.spot()).map(|(body, _)| body);
        let sorted = self.pane.sort.filter(|(table, _)| Some(*table) == body).map(|(_, sort)| sort);
        let rows: Vec<(String, String)> = self
            .sortable()
            .into_iter()
            .enumerate()
            .map(|(index, (column, title))| {
                let how = match sorted.filter(|sort| sort.column == column) {
                    Some(sort) if sort.descending => "largest first; again: as the answer has it",
                    Some(_) => "smallest first; again: largest first",
                    None => "",
                };
                (format!("{} {title}", index.saturating_add(1)), how.to_owned())
            })
            .collect();
        choices(pen, layout, &rows, Some(choice));
        if !layout.low {
            pen.text(
                layout.lower.x.saturating_add(1),
                layout.lower.y,
                layout.lower.width,
                " sort by ",
                pen.theme.key(),
            );
        }
    }

    fn keys(&self, pen: &mut Pen<'_>, layout: Layout, top: usize) {
        let section = std::sync::Arc::new(self.help());
        let area = Rect { width: layout.header.width, y: layout.rule.bottom(), ..layout.body };
        let area = Rect { height: layout.lower.y.saturating_sub(area.y), ..area };
        let bodies: Vec<Arranged> = section.bodies.iter().map(Arranged::new).collect();
        let arrangement = Arrangement { width: area.width, bodies: &bodies, ..Arrangement::none() };
        let document = Document::new(section, arrangement);
        let top = top.min(document.len().saturating_sub(usize::from(area.height)));
        document.draw(pen, area, top, None);
    }
}

/// The line between a list and its detail; lying, it says what the detail is about.
fn separate(pen: &mut Pen<'_>, area: Rect, title: &str) {
    if area.width == 1 {
        for y in area.top()..area.bottom() {
            pen.text(area.x, y, 1, pen.theme.symbols.bar, pen.theme.quiet());
        }
        return;
    }
    pen.rule(area.x, area.y, area.width);
    let title = format!(" {title} ");
    let width = u16::try_from(width_of(&title)).unwrap_or(u16::MAX).min(area.width.saturating_sub(4));
    pen.cut(area.x.saturating_add(1), area.y, width, &title, pen.theme.quiet(), &[]);
}

/// A list of choices above the lower line.
pub(super) fn choices(pen: &mut Pen<'_>, layout: Layout, rows: &[(String, String)], choice: Option<usize>) {
    let shown = rows.len().min(CHOICES).min(usize::from(layout.body.height));
    let first = choice.map_or(0, |choice| choice.saturating_add(1).saturating_sub(shown));
    let height = u16::try_from(shown).unwrap_or(0);
    let y = layout.lower.y.saturating_sub(height);
    let area = Rect::new(layout.lower.x, y, layout.lower.width, height);
    pen.clear(area);
    if height < layout.body.height {
        pen.rule(area.x, y.saturating_sub(1), area.width);
    }
    let names = rows.iter().map(|(name, _)| width_of(name)).max().unwrap_or(0);
    for (offset, (index, (name, doc))) in (0u16..).zip(rows.iter().enumerate().skip(first).take(shown)) {
        let y = y.saturating_add(offset);
        let strip = super::widgets::Strip {
            x: area.x,
            y,
            width: area.width,
            selected: Some(index) == choice,
            marked: Some(index) == choice,
        }
        .gutter(pen);
        let style = strip.tone(pen, Tone::Strong);
        pen.text(strip.x, y, strip.width, name, style);
        let x = strip.x.saturating_add(u16::try_from(names.saturating_add(2)).unwrap_or(u16::MAX));
        let style = strip.tone(pen, Tone::Dim);
        pen.clip(x, y, strip.end().saturating_sub(x).saturating_sub(1), doc, style);
    }
}

/// Why there is no answer, wrapped.
fn failure_lines(failure: &Failure, again: bool, width: u16) -> Vec<Vec<Piece>> {
    let (head, tone, text) = match failure {
        Failure::Error(why) => ("failed", Tone::Bad, why.as_str()),
        Failure::Cancelled => ("stopped", Tone::Guess, "before it was done"),
        Failure::Bug(why) => ("this is a bug in dumpscope", Tone::Bad, why.as_str()),
    };
    let mut pieces =
        vec![(format!("{head}: "), tone), (crate::report::sanitize::sanitize(text).into_owned(), Tone::Plain)];
    if again {
        pieces.push(("   Enter tries again".to_owned(), Tone::Dim));
    }
    wrap(&pieces, width)
}

fn failed(pen: &mut Pen<'_>, area: Rect, lines: &[Vec<Piece>]) {
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        let mut x = area.x;
        for (text, tone) in line {
            x = pen.text(x, y, area.right().saturating_sub(x), text, pen.theme.tone(*tone));
        }
    }
}

fn too_small(pen: &mut Pen<'_>, area: Rect) {
    let said = format!("{} x {} is too small: {} x {} at least", area.width, area.height, LEAST.0, LEAST.1);
    for (y, line) in (area.top()..area.bottom()).zip(wrap(&[(said, Tone::Plain)], area.width)) {
        let mut x = area.x;
        for (text, _) in line {
            x = pen.text(x, y, area.right().saturating_sub(x), &text, pen.theme.key());
        }
    }
}

/// `, 1,204 a second, 4 s left`, as far as it is known yet.
fn pace(progress: &Progress) -> String {
    let rate = progress.rate().filter(|rate| *rate >= 1.0).map(|rate| rate as u64);
    let rate = rate.map(|rate| match progress.unit {
        Unit::Items => format!(", {} a second", thousands(rate)),
        Unit::Bytes => format!(", {} a second", size(rate)),
    });
    let left = progress.left().map(|left| format!(", {} s left", thousands(left.as_secs().saturating_add(1))));
    [rate, left].into_iter().flatten().collect()
}
