//! Sentences, fields, headings and warnings: lines that wrap.

use super::Strip;
use crate::report::sanitize::sanitize;
use crate::report::section::{Chain, Row, Tone};
use crate::report::words::Room;
use crate::report::wrap::{self, Piece};
use crate::tui::arrange::Kept;
use crate::tui::ink::{Pen, width_of};

/// A line as wrapped.
#[derive(Clone, Debug)]
pub struct TextLine {
    /// The row of the body that it is a part of.
    pub item: u32,
    /// Its text.
    pub pieces: Vec<Piece>,
    /// Whether it can be selected: the first line of a row that opens something.
    pub opens: bool,
}

/// Widest column of labels.
const MOST_LABEL: usize = 24;

/// A heading.
pub fn heading(title: &str) -> Vec<TextLine> {
    vec![TextLine { item: 0, pieces: vec![(sanitize(title).into_owned(), Tone::Strong)], opens: false }]
}

/// Lines of cells, those that are kept.
pub fn lines(rows: &[Row], width: u16, kept: &Kept) -> Vec<TextLine> {
    let lines = (0u32..).zip(rows).filter(|(item, _)| is_kept(kept, *item));
    lines.flat_map(|(item, row)| wrapped(item, row, &wrap::pieces(row, Room::Sentence), width)).collect()
}

/// Labels and values, those that are kept: the labels in a column of their own.
pub fn fields(fields: &[(String, Row)], width: u16, kept: &Kept) -> Vec<TextLine> {
    let labels = fields.iter().map(|(label, _)| width_of(label)).max().unwrap_or(0).min(MOST_LABEL);
    let indent = labels.saturating_add(2);
    let room = width.saturating_sub(u16::try_from(indent).unwrap_or(u16::MAX)).max(8);
    let mut all = Vec::new();
    for (item, (label, row)) in (0u32..).zip(fields).filter(|(item, _)| is_kept(kept, *item)) {
        let label = sanitize(label);
        let blanks = labels.saturating_sub(width_of(&label)).saturating_add(2);
        let mut before = format!("{label}{}", " ".repeat(blanks));
        for mut line in wrapped(item, row, &wrap::pieces(row, Room::Full), room) {
            line.pieces.insert(0, (std::mem::replace(&mut before, " ".repeat(indent)), Tone::Dim));
            all.push(line);
        }
    }
    all
}

/// A drawing of who waits for whom.
pub fn chain(chain: &Chain, width: u16, kept: &Kept) -> Vec<TextLine> {
    let drawn = chain.drawn(false);
    let mut all = Vec::new();
    for (item, line) in (0u32..).zip(&drawn).filter(|(item, _)| is_kept(kept, *item)) {
        let mut pieces = vec![(line.margin.to_owned(), Tone::Dim)];
        pieces.extend(wrap::pieces(&line.row, Room::Sentence));
        let opens = line.row.subject.is_some();
        // A drawing means nothing once its lines are broken: what does not fit is cut off.
        if line.whole {
            all.push(TextLine { item, pieces, opens });
            continue;
        }
        let lines = wrap::behind(&pieces, width, Some(line.further)).into_iter().enumerate();
        all.extend(lines.map(|(at, pieces)| TextLine { item, pieces, opens: at == 0 && opens }));
    }
    all
}

/// A warning and what to do about it.
pub fn problem(item: u32, message: &str, remedy: Option<&str>, width: u16) -> Vec<TextLine> {
    let mut pieces = vec![("! ".to_owned(), Tone::Guess), (sanitize(message).into_owned(), Tone::Plain)];
    if let Some(remedy) = remedy {
        pieces.extend([("; ".to_owned(), Tone::Plain), (sanitize(remedy).into_owned(), Tone::Dim)]);
    }
    let lines = wrap::wrap(&pieces, width).into_iter();
    lines.map(|pieces| TextLine { item, pieces, opens: false }).collect()
}

fn is_kept(kept: &Kept, item: u32) -> bool {
    kept.as_ref().is_none_or(|kept| kept.binary_search(&item).is_ok())
}

fn wrapped(item: u32, row: &Row, pieces: &[Piece], width: u16) -> Vec<TextLine> {
    let lines = wrap::wrap(pieces, width).into_iter().enumerate();
    lines.map(|(index, pieces)| TextLine { item, pieces, opens: index == 0 && row.subject.is_some() }).collect()
}

/// Draws a line.
pub fn draw(pen: &mut Pen<'_>, strip: Strip, line: &TextLine) {
    let strip = strip.gutter(pen);
    let mut x = strip.x;
    for (text, tone) in &line.pieces {
        let style = strip.tone(pen, *tone);
        x = pen.clip(x, strip.y, strip.end().saturating_sub(x), text, style);
    }
}
