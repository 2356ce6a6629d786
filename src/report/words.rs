//! Cells as words: what a value looks like in a column, in a sentence and in full, and how two values compare.
//!
//! Everything returned has passed [`sanitize`]. Sorting and searching go by these words, so that one finds what one sees.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::cell::{Cell, Row, Value};
use super::sanitize::sanitize;
use crate::model::Tid;

/// Thread ids of one cell that are shown in a column, and that a filter finds.
const MAX_TIDS: usize = 256;
/// Thread ids shown of a group in printed text.
const PRINTED_TIDS: usize = 6;

/// Where a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// In a column of the screen: names short, sizes rounded, `?` for what is not known.
    Column,
    /// In a column of printed text: as on the screen, and gaps with their reason.
    Printed,
    /// In a sentence of the screen: names short, sizes rounded and with their unit, gaps with their reason.
    Sentence,
    /// In a line of printed text: as in a sentence, however long.
    Line,
    /// In a detail: names and paths whole, sizes exact, gaps with their reason.
    Full,
    /// In the clipboard: as in a detail, however long.
    Copy,
}

/// Longest text of a cell in a column, in bytes: wider than any screen. A name of a megabyte must not cost a frame.
const MAX_COLUMN: usize = 1024;
/// Longest text in a sentence or a detail, in bytes: two screens.
const MAX_DETAIL: usize = 4096;
/// Characters of a whole bar.
const BAR: u32 = 5;

/// A value in words.
pub fn words(value: &Value, room: Room) -> Cow<'_, str> {
    let whole = matches!(room, Room::Full | Room::Copy);
    match value {
        Value::None => Cow::Borrowed(""),
        Value::Text(text) | Value::Path(text) => plain(text, room),
        Value::Addr(addr) | Value::Object(addr) => Cow::Owned(addr.to_string()),
        Value::Count(count) => Cow::Owned(thousands(*count)),
        Value::Bytes(bytes) => Cow::Owned(match room {
            Room::Column | Room::Printed => short_size(*bytes),
            Room::Sentence | Room::Line => size(*bytes),
            // No heading states its unit there.
            Room::Full if *bytes == 1 => "1 byte".to_owned(),
            Room::Full => format!("{} bytes", thousands(*bytes)),
            Room::Copy => thousands(*bytes),
        }),
        Value::Seconds(seconds) => Cow::Owned(span(*seconds)),
        Value::Millis(ms) => Cow::Owned(short_span(*ms)),
        Value::Bar(tenths) if room == Room::Column => Cow::Owned(bar(*tenths)),
        Value::Percent(tenths) | Value::Bar(tenths) => Cow::Owned(format!("{}.{} %", tenths / 10, tenths % 10)),
        Value::Bool(yes) => Cow::Borrowed(if *yes { "yes" } else { "no" }),
        Value::Hex(bytes) => Cow::Owned(hex(bytes)),
        Value::Tid(tid) => Cow::Owned(tid.to_string()),
        Value::Tids(tids) => Cow::Owned(thread_ids(
            tids,
            match room {
                Room::Column => MAX_TIDS,
                Room::Printed | Room::Sentence | Room::Line => PRINTED_TIDS,
                Room::Full | Room::Copy => usize::MAX,
            },
        )),
        Value::Function(name) | Value::Type(name) if whole => plain(name, room),
        Value::Function(name) => Cow::Owned(function_name(name, room)),
        Value::Type(name) if has_template(name) => Cow::Owned(function_name(name, room)),
        Value::Type(name) => plain(name, room),
        Value::Near(file, line) => Cow::Owned(format!("~{}", words(&Value::Source(Arc::clone(file), *line), room))),
        Value::Source(file, line) => {
            let file = if whole { file } else { file.rsplit('/').next().unwrap_or(file) };
            match line {
                Some(line) => Cow::Owned(format!("{}:{line}", plain(file, room))),
                None => plain(file, room),
            }
        }
        Value::Awaited if whole => Cow::Borrowed("… (not computed yet)"),
        Value::Awaited => Cow::Borrowed("…"),
        Value::Unknown(_) if room == Room::Column => Cow::Borrowed("?"),
        Value::Unknown(reason) => Cow::Owned(format!("? ({})", plain(reason, room))),
    }
}

/// Text of the dump, safe, and no longer than its place can show.
fn plain(text: &str, room: Room) -> Cow<'_, str> {
    let most = match room {
        Room::Column => MAX_COLUMN,
        Room::Sentence | Room::Full => MAX_DETAIL,
        Room::Printed | Room::Line | Room::Copy => return sanitize(text),
    };
    match bounded(text, most) {
        Cow::Borrowed(text) => sanitize(text),
        Cow::Owned(text) => Cow::Owned(sanitize(&text).into_owned()),
    }
}

/// A function's full name shortened for display.
fn function_name(full: &str, room: Room) -> String {
    // What a screen draws it shortens anew for each frame: no name may cost more than one that fits.
    let full = match room {
        Room::Column | Room::Sentence => bounded(full, MAX_COLUMN),
        Room::Printed | Room::Line | Room::Full | Room::Copy => Cow::Borrowed(full),
    };
    sanitize(&symbols::short_name(&full)).into_owned()
}

/// Whether a type's name is one word with the arguments of a template, which are shortened as those of a function are. Where words
/// stand outside the brackets (`unsigned char`, `T const*`) the first would be taken for what a function returns.
fn has_template(name: &str) -> bool {
    let outside = name.split_once('<').zip(name.rsplit_once('>')).map(|((head, _), (_, tail))| [head, tail]);
    outside.is_some_and(|parts| parts.iter().all(|part| !part.contains([' ', '('])))
}

/// `de ad ?? ef`, a wider gap in the middle of sixteen.
fn hex(bytes: &[Option<u8>]) -> String {
    let mut hex = String::with_capacity(bytes.len().saturating_mul(3));
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            hex.push_str(if index == 8 { "  " } else { " " });
        }
        match byte {
            Some(byte) => hex.push_str(&format!("{byte:02x}")),
            None => hex.push_str("??"),
        }
    }
    hex
}

/// `██▌    51 %`: a bar in eighths of a character, and the number, a tenth of a percent left out.
fn bar(tenths: u32) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    // What is there at all is seen.
    let eighths = tenths.min(1000).saturating_mul(BAR).saturating_mul(8).div_ceil(1000);
    let (whole, part) = (eighths / 8, PARTS.get((eighths % 8) as usize).copied().unwrap_or_default());
    let blanks = BAR.saturating_sub(whole).saturating_sub(u32::from(!part.is_empty()));
    let percent = tenths / 10;
    format!("{}{part}{} {percent:>3} %", "█".repeat(whole as usize), " ".repeat(blanks as usize))
}

/// `4712 4713 4714 … 19 threads`: the first `most` ids, and how many there are where that is not all.
pub fn thread_ids(tids: &[Tid], most: usize) -> String {
    let mut words: Vec<String> = tids.iter().take(most).map(Tid::to_string).collect();
    if tids.len() > most {
        words.push(format!("… {} threads", thousands(tids.len() as u64)));
    }
    words.join(" ")
}

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len().saturating_add(digits.len() / 3));
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().saturating_sub(at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A length of time in its two largest units: `3d 04h`, `5m 12s`, `7s`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// `12 ms`, `0.3 s`, `12.4 s`, `3m 20s`.
fn short_span(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => span(ms / 1000),
    }
}

/// A text of at most `most` bytes and an ellipsis: its middle is left out.
fn bounded(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let head = text.get(..text.floor_char_boundary(most / 2)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len().saturating_sub(most / 2))..).unwrap_or_default();
    Cow::Owned(format!("{head}…{tail}"))
}

/// A row as one line of text, as it is filtered and copied: cells with two spaces between, empty ones left out.
pub fn line(row: &Row, room: Room) -> String {
    let mut line = String::new();
    for cell in &row.cells {
        let words = words(&cell.value, room);
        if words.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.push_str(&words);
    }
    line
}

/// Between two words of the text that a pattern is matched against.
pub const GAP: &str = "  ";

/// Appends what a pattern is matched against: the words of a row's cells as columns show them.
pub fn join(row: &Row, text: &mut String) {
    for cell in &row.cells {
        let word = words(&cell.value, Room::Column);
        if !word.is_empty() && !text.is_empty() {
            text.push_str(GAP);
        }
        text.push_str(&word);
    }
}

/// `412 MB`: at least two digits, powers of a thousand.
pub fn size(bytes: u64) -> String {
    let (number, unit) = scaled(bytes, 1000.0);
    if unit.is_empty() { format!("{number} B") } else { format!("{number} {unit}B") }
}

/// `412M`: for a column, in powers of 1024, as `top` and `ls -h` have it.
fn short_size(bytes: u64) -> String {
    let (number, unit) = scaled(bytes, 1024.0);
    format!("{number}{}", unit.to_ascii_uppercase())
}

fn scaled(bytes: u64, power: f64) -> (String, &'static str) {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let mut scaled = bytes as f64;
    let mut unit = 0usize;
    while scaled >= 999.5 && unit < UNITS.len().saturating_sub(1) {
        scaled /= power;
        unit = unit.saturating_add(1);
    }
    let number = if unit > 0 && scaled < 9.95 { format!("{scaled:.1}") } else { format!("{scaled:.0}") };
    (number, UNITS.get(unit).copied().unwrap_or("P"))
}

/// Order of two cells of a column: numbers by value, text with its numbers by value (`worker-9` before `worker-10`).
/// Empty and unknown cells come last, in either direction.
pub fn compare(a: &Cell, b: &Cell, descending: bool) -> Ordering {
    let missing = |cell: &Cell| matches!(cell.value, Value::None | Value::Unknown(_) | Value::Awaited);
    match (missing(a), missing(b)) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = compare_values(&a.value, &b.value);
            if descending { order.reverse() } else { order }
        }
    }
}

fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => natural(&words(a, Room::Column), &words(b, Room::Column)),
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Addr(addr) | Value::Object(addr) => Some(addr.0),
        Value::Count(number) | Value::Bytes(number) | Value::Seconds(number) | Value::Millis(number) => Some(*number),
        Value::Percent(tenths) | Value::Bar(tenths) => Some(u64::from(*tenths)),
        Value::Bool(yes) => Some(u64::from(*yes)),
        Value::Tid(tid) => Some(u64::from(tid.0)),
        _ => None,
    }
}

/// Compares text, runs of digits by their value.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = (leading_digits(a), leading_digits(b));
        if !x.is_empty() && !y.is_empty() {
            let significant = |digits: &str| digits.trim_start_matches('0').to_owned();
            let (left, right) = (significant(x), significant(y));
            let order = left.len().cmp(&right.len()).then_with(|| left.cmp(&right));
            if order != Ordering::Equal {
                return order;
            }
            a = a.get(x.len()..).unwrap_or_default();
            b = b.get(y.len()..).unwrap_or_default();
            continue;
        }
        let (mut left, mut right) = (a.chars(), b.chars());
        match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = x.to_lowercase().cmp(y.to_lowercase()).then_with(|| x.cmp(&y));
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
        (a, b) = (left.as_str(), right.as_str());
    }
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    #[test]
    fn a_length_of_time_has_two_units() {
        let texts = [0, 59, 60, 3_599, 3_600, 86_399, 90_000].map(span);
        assert_eq!(texts, ["0s", "59s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 01h"]);
        assert_eq!([7, 340, 12_400, 200_000].map(short_span), ["7 ms", "0.3 s", "12.4 s", "3m 20s"]);
    }

    #[test]
    fn sizes_are_short_in_a_column_and_exact_in_a_detail() {
        let texts = [Room::Column, Room::Printed, Room::Sentence, Room::Full, Room::Copy];
        let texts = texts.map(|room| words(&Value::Bytes(730_123_456), room));
        assert_eq!(texts, ["696M", "696M", "730 MB", "730,123,456 bytes", "730,123,456"]);
        assert_eq!([0, 999, 1_024, 4_096, 765_460_480].map(short_size), ["0", "999", "1.0K", "4.0K", "730M"]);
    }

    #[test]
    fn shares_bytes_and_answers_have_words_of_their_own() {
        let shown = |value: &Value| words(value, Room::Column).into_owned();
        assert_eq!(shown(&Value::Percent(1000)), "100.0 %");
        assert_eq!(shown(&Value::Percent(334)), "33.4 %");
        assert_eq!(shown(&Value::Bar(334)), "█▊     33 %");
        assert_eq!(shown(&Value::Bar(1)), "▏       0 %", "what is there is seen");
        assert_eq!(shown(&Value::Bar(1000)), "█████ 100 %");
        assert_eq!(words(&Value::Bar(334), Room::Printed), "33.4 %");
        assert_eq!(shown(&Value::Bool(true)), "yes");
        assert_eq!(shown(&Value::Hex([Some(0xde), None, Some(0x07)].into())), "de ?? 07");
        assert_eq!(shown(&Value::Object(Addr(0x7f10))), "0x7f10");
    }

    #[test]
    fn a_types_template_is_shortened_and_its_words_are_kept() {
        let shown = |name: &str, room| words(&Value::Type(name.into()), room).into_owned();
        assert_eq!(shown("unsigned char", Room::Column), "unsigned char");
        let long = "std::vector<shop::Order, std::allocator<shop::Order> >";
        assert!(shown(long, Room::Column).len() < long.len());
        assert_eq!(shown(long, Room::Full), long);
    }

    #[test]
    fn sizes_in_sentences_are_rounded() {
        assert_eq!(size(412), "412 B");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(412_345_678), "412 MB");
        assert_eq!(size(999_600), "1.0 MB");
        assert_eq!(size(u64::MAX), "18447 PB");
    }

    #[test]
    fn a_source_position_shows_its_file_and_keeps_its_path_for_the_detail() {
        let at = Value::Source("/srv/src/stock.cpp".into(), Some(88));
        assert_eq!(words(&at, Room::Column), "stock.cpp:88");
        assert_eq!(words(&at, Room::Full), "/srv/src/stock.cpp:88");
        assert_eq!(words(&Value::Near("/srv/src/stock.cpp".into(), Some(88)), Room::Column), "~stock.cpp:88");
    }

    #[test]
    fn control_characters_of_the_dump_are_shown_as_escapes() {
        assert_eq!(words(&Value::Text("a\x1b[31mb".into()), Room::Column), "a\\x1b[31mb");
        assert_eq!(words(&Value::Unknown("\u{202e}".into()), Room::Full), "? (\\u{202e})");
    }

    #[test]
    fn a_megabyte_of_name_becomes_what_a_screen_has_room_for_of_its_ends() {
        let name: std::sync::Arc<str> = format!("begin{}end", "é".repeat(1 << 20)).into();
        let values = [Value::Text(name.clone()), Value::Function(name.clone()), Value::Path(name.clone())];
        for (room, most) in [(Room::Column, MAX_COLUMN), (Room::Sentence, MAX_DETAIL)] {
            for value in &values {
                let shown = words(value, room);
                assert!(shown.len() < 2 * most && shown.starts_with("begin") && shown.ends_with("end"), "{room:?}");
            }
        }
    }

    fn order(values: &[Value], descending: bool) -> Vec<String> {
        let mut cells: Vec<Cell> = values.iter().cloned().map(Cell::new).collect();
        cells.sort_by(|a, b| compare(a, b, descending));
        cells.iter().map(|cell| words(&cell.value, Room::Column).into_owned()).collect()
    }

    #[test]
    fn numbers_sort_by_value_not_by_text() {
        let values = [Value::Count(10), Value::Count(9), Value::None, Value::Count(1_000)];
        assert_eq!(order(&values, false), ["9", "10", "1,000", ""]);
        assert_eq!(order(&values, true), ["1,000", "10", "9", ""]);
        let values = [Value::Addr(Addr(0x1000)), Value::Tid(Tid(7))];
        assert_eq!(order(&values, false), ["7", "0x1000"]);
    }

    #[test]
    fn text_sorts_its_numbers_by_value() {
        let values = ["worker-10", "worker-9", "Main", "worker-007"].map(|text| Value::Text(text.into()));
        assert_eq!(order(&values, false), ["Main", "worker-007", "worker-9", "worker-10"]);
    }
}
