//! Frames one after the other on a line (`a › b › c`), and which give way where the line is too narrow.

use ratatui::style::Style;

use crate::report::section::Tone;
use crate::tui::ink::{Pen, width_of};
use crate::tui::marked::Word;
use crate::tui::widgets::Strip;

fn width_of_part(part: &[Word]) -> usize {
    let texts = part.iter().filter(|word| !word.text.is_empty());
    texts.map(|word| width_of(&word.text).saturating_add(1)).sum::<usize>().saturating_sub(1)
}

/// Draws frames one after the other, outermost first; what [`shortened`] keeps when the room is short.
pub(super) fn chain(pen: &mut Pen<'_>, strip: Strip, parts: Vec<Vec<Word>>, notes: &[(String, Style)]) {
    let quiet = strip.tone(pen, Tone::Dim);
    let calls = pen.theme.symbols.calls;
    let joint = width_of(calls).saturating_add(2);
    let notes_width: usize = notes.iter().map(|(text, _)| width_of(text).saturating_add(2)).sum();
    let room = usize::from(strip.width).saturating_sub(notes_width);
    let parts = shortened(parts, room, joint);
    let end = strip.x.saturating_add(u16::try_from(room).unwrap_or(u16::MAX));
    let mut x = strip.x;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            x = pen.text(x, strip.y, end.saturating_sub(x), &format!(" {calls} "), quiet);
        }
        let later = parts.iter().skip(index.saturating_add(1));
        let rest: usize = later.map(|part| width_of_kept(part.as_deref()).saturating_add(joint)).sum();
        let share = usize::from(end.saturating_sub(x));
        // The last frame gets what is left; an earlier one leaves at least half for what follows it.
        let own = if rest == 0 { share } else { share.saturating_sub(rest.min(share / 2)) };
        let own_end = x.saturating_add(u16::try_from(own).unwrap_or(u16::MAX));
        x = match part {
            Some(part) => draw_part(pen, strip, x, own_end, part),
            None => pen.text(x, strip.y, own_end.saturating_sub(x), pen.theme.symbols.ellipsis, quiet),
        };
    }
    for (text, style) in notes {
        x = x.saturating_add(2);
        x = pen.text(x, strip.y, strip.end().saturating_sub(x), text, *style);
    }
}

/// Frames that fit a width, `None` where some were left out. The first, the last and the innermost of the program's own
/// stay longest: library frames between them go first, then others, outermost first; then the last, where it is a
/// library's.
fn shortened(parts: Vec<Vec<Word>>, room: usize, joint: usize) -> Vec<Option<Vec<Word>>> {
    let ours = |part: &[Word]| part.first().is_some_and(|word| word.tone != Tone::Dim);
    let innermost = parts.iter().rposition(|part| ours(part));
    let last = parts.len().saturating_sub(1);
    let mut order: Vec<usize> = (1..last).filter(|index| Some(*index) != innermost).collect();
    order.sort_by_key(|index| parts.get(*index).is_some_and(|part| ours(part)));
    order.extend(Some(last).filter(|last| *last > 0 && innermost.is_some_and(|innermost| innermost < *last)));
    let widths: Vec<usize> = parts.iter().map(|part| width_of_part(part).saturating_add(joint)).collect();
    let mut kept: Vec<Option<Vec<Word>>> = parts.into_iter().map(Some).collect();
    let gap = width_of_kept(None).saturating_add(joint);
    // No joint stands behind the last.
    let room = room.saturating_add(joint);
    let mut needed = widths.iter().sum::<usize>();
    for index in order {
        if needed <= room {
            break;
        }
        let is_gap = |at: Option<usize>| at.and_then(|at| kept.get(at)).is_some_and(Option::is_none);
        let gaps = [index.checked_sub(1), index.checked_add(1)].into_iter().filter(|at| is_gap(*at)).count();
        // Those beside each other are one.
        needed = needed.saturating_sub(widths.get(index).copied().unwrap_or(0)).saturating_add(gap);
        needed = needed.saturating_sub(gap.saturating_mul(gaps));
        if let Some(part) = kept.get_mut(index) {
            *part = None;
        }
    }
    kept.dedup_by(|later, earlier| later.is_none() && earlier.is_none());
    kept
}

fn width_of_kept(part: Option<&[Word]>) -> usize {
    part.map_or(1, width_of_part)
}

fn draw_part(pen: &mut Pen<'_>, strip: Strip, mut x: u16, end: u16, part: &[Word]) -> u16 {
    let start = x;
    let whole = width_of_part(part);
    for word in part.iter().filter(|word| !word.text.is_empty()) {
        if x > start {
            x = x.saturating_add(1).min(end);
        }
        // Words behind a name (`×12`, a source line) keep their room; the name is cut.
        let others = whole.saturating_sub(width_of(&word.text));
        let room = usize::from(end.saturating_sub(x));
        let own = if x == start { room.saturating_sub(others.min(room / 2)) } else { room };
        x = pen.cut(
            x,
            strip.y,
            u16::try_from(own).unwrap_or(u16::MAX),
            &word.text,
            strip.tone(pen, word.tone),
            &word.hits,
        );
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, tone: Tone) -> Vec<Word> {
        vec![Word { text: text.to_owned(), tone, hits: Vec::new() }]
    }

    fn shown(parts: &[Vec<Word>], room: usize) -> String {
        let kept = shortened(parts.to_vec(), room, 3);
        let texts: Vec<&str> =
            kept.iter().map(|part| part.as_ref().map_or("…", |part| part[0].text.as_str())).collect();
        texts.join(" › ")
    }

    #[test]
    fn what_is_left_out_leaves_one_mark_and_no_more_goes_than_has_to() {
        let names = [
            ("main", Tone::Plain),
            ("lib", Tone::Dim),
            ("run", Tone::Plain),
            ("call", Tone::Dim),
            ("work", Tone::Plain),
        ];
        let parts: Vec<Vec<Word>> = names.iter().map(|(name, tone)| word(name, *tone)).collect();
        for (room, line) in [
            (30, "main › lib › run › call › work"),
            (29, "main › … › run › call › work"),
            (28, "main › … › run › call › work"),
            (27, "main › … › run › … › work"),
            (25, "main › … › run › … › work"),
            (24, "main › … › work"),
            (0, "main › … › work"),
        ] {
            assert_eq!(shown(&parts, room), line, "{room}");
        }
    }

    #[test]
    fn a_chain_of_many_frames_costs_no_more_than_a_look_at_each() {
        let parts: Vec<Vec<Word>> =
            (0..20_000).map(|at| word("f", if at % 2 == 0 { Tone::Dim } else { Tone::Plain })).collect();
        // Of every two the library's goes first.
        assert_eq!(shown(&parts, 21), "f › … › f › … › f");
    }
}
