//! Cells as words: what a value looks like in a column, in a sentence and in full, and how two values compare.
//!
//! Everything returned has passed [`sanitize`].

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::report::sanitize::sanitize;
use crate::report::section::{Cell, Row, Value};
use crate::report::text::{function_name, span, thousands, thread_ids};

/// Thread ids of one cell that are shown in a column, and that a filter finds.
const MAX_TIDS: usize = 256;

/// Where a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// In a column: names short, numbers exact, the unit stands in the heading.
    Column,
    /// In a sentence: names short, sizes rounded and with their unit.
    Sentence,
    /// In a detail: names and paths whole, gaps with their reason.
    Full,
    /// In the clipboard: as in a detail, however long.
    Copy,
}

/// Longest text of a cell in a column, in bytes: wider than any screen. A name of a megabyte must not cost a frame.
const MAX_COLUMN: usize = 1024;
/// Longest text in a sentence, in bytes: two screens.
const MAX_SENTENCE: usize = 4096;

/// A value in words.
pub fn words(value: &Value, room: Room) -> String {
    let text = |text: &str| match room {
        Room::Column => sanitize(&bounded(text, MAX_COLUMN)).into_owned(),
        Room::Sentence | Room::Full => sanitize(&bounded(text, MAX_SENTENCE)).into_owned(),
        Room::Copy => sanitize(text).into_owned(),
    };
    let whole = matches!(room, Room::Full | Room::Copy);
    match value {
        Value::None => String::new(),
        Value::Text(own) | Value::Path(own) => text(own),
        Value::Addr(addr) => addr.to_string(),
        Value::Count(count) => thousands(*count),
        Value::Bytes(bytes) if room == Room::Sentence => size(*bytes),
        Value::Bytes(bytes) => thousands(*bytes),
        Value::Seconds(seconds) => span(*seconds),
        Value::Tid(tid) => tid.to_string(),
        Value::Tids(tids) => thread_ids(tids, if whole { usize::MAX } else { MAX_TIDS }),
        Value::Function(name) if whole => text(name),
        Value::Function(name) => function_name(&bounded(name, MAX_COLUMN)),
        Value::Source(file, line) => {
            let file = if whole { file } else { file.rsplit('/').next().unwrap_or(file) };
            match line {
                Some(line) => format!("{}:{line}", text(file)),
                None => text(file),
            }
        }
        Value::Unknown(reason) if whole => format!("? ({})", text(reason)),
        Value::Unknown(_) => "?".to_owned(),
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

/// `412 MB`: three digits at least, powers of a thousand.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 999.5 && unit < UNITS.len() - 1 {
        scaled /= 1000.0;
        unit += 1;
    }
    let unit_name = UNITS.get(unit).copied().unwrap_or("EB");
    if unit > 0 && scaled < 9.95 { format!("{scaled:.1} {unit_name}") } else { format!("{scaled:.0} {unit_name}") }
}

/// Order of two cells of a column: numbers by value, text with its numbers by value (`worker-9` before `worker-10`).
/// Empty and unknown cells come last, in either direction.
pub fn compare(a: &Cell, b: &Cell, descending: bool) -> Ordering {
    let missing = |cell: &Cell| matches!(cell.value, Value::None | Value::Unknown(_));
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
        Value::Addr(addr) => Some(addr.0),
        Value::Count(number) | Value::Bytes(number) => Some(*number),
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
    use crate::model::{Addr, Tid};

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
    }

    #[test]
    fn control_characters_of_the_dump_are_shown_as_escapes() {
        assert_eq!(words(&Value::Text("a\x1b[31mb".into()), Room::Column), "a\\x1b[31mb");
        assert_eq!(words(&Value::Unknown("\u{202e}".into()), Room::Full), "? (\\u{202e})");
    }

    #[test]
    fn a_megabyte_of_name_becomes_a_column_of_its_ends() {
        let name = format!("begin{}end", "é".repeat(1 << 20));
        for value in [Value::Text(name.as_str().into()), Value::Function(name.as_str().into())] {
            let shown = words(&value, Room::Column);
            assert!(shown.len() < 2 * MAX_COLUMN && shown.starts_with("begin") && shown.ends_with("end"));
        }
    }

    fn order(values: &[Value], descending: bool) -> Vec<String> {
        let mut cells: Vec<Cell> = values.iter().cloned().map(Cell::new).collect();
        cells.sort_by(|a, b| compare(a, b, descending));
        cells.iter().map(|cell| words(&cell.value, Room::Column)).collect()
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
