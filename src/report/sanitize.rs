//! The one place where text from a dump is made safe for a terminal, a file or a page.
//!
//! Control characters (C0, DEL, C1), bidi controls, zero-width and other invisible format characters are shown as
//! visible escapes (`\x1b`, `\u{202e}`); what printable text remains is kept. Length is bounded.

use std::borrow::Cow;

/// Longest text shown of one value, in bytes; the middle of a longer one is left out.
pub const MAX_SHOWN: usize = 16 * 1024;

/// Text that may be shown anywhere: on one line, without control, bidi or invisible characters.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    let text = shorten(text, MAX_SHOWN);
    let is_ascii = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_ascii || text.chars().all(is_plain) {
        return text;
    }
    let mut safe = String::with_capacity(text.len().saturating_add(16));
    for c in text.chars() {
        match c {
            c if is_plain(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\t' => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            c if (c as u32) < 0x100 => safe.push_str(&format!("\\x{:02x}", c as u32)),
            c => safe.push_str(&format!("\\u{{{:x}}}", c as u32)),
        }
    }
    Cow::Owned(safe)
}

/// Bytes from the target as text: invalid UTF-8 becomes `\x..` escapes of the bytes themselves.
pub fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Cuts the middle out of a text of more than `max` bytes.
fn shorten(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let half = max / 2;
    let head = text.get(..text.floor_char_boundary(half)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len().saturating_sub(half))..).unwrap_or_default();
    Cow::Owned(format!("{head}…[{} bytes]…{tail}", text.len()))
}

/// Whether a character shows itself and nothing else.
// Source: Unicode 16, general category Cf (format) and default ignorable code points, DerivedCoreProperties.txt.
pub fn is_plain(c: char) -> bool {
    !matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}'
        | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_become_visible() {
        assert_eq!(sanitize("a\x1b]52;c;eA==\x07b"), "a\\x1b]52;c;eA==\\x07b");
        assert_eq!(sanitize("\u{9b}31m"), "\\x9b31m");
        assert_eq!(sanitize("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }

    #[test]
    fn printable_text_is_kept_without_a_copy() {
        assert!(matches!(sanitize("std::vector<Größe> — 漢字"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_megabyte_of_name_is_cut_in_the_middle() {
        let name = format!("begin{}end", "é".repeat(1 << 20));
        let shown = sanitize(&name);
        assert!(shown.len() <= MAX_SHOWN + 64);
        assert!(shown.starts_with("begin") && shown.ends_with("end"));
    }

    #[test]
    fn bytes_that_are_no_utf8_show_as_bytes() {
        assert_eq!(lossy(b"ok\xff\xfe"), "ok\\xff\\xfe");
    }
}
