//! Text that is too long for its place: its middle is left out, what tells it apart stays.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns that the beginning of a cut text keeps at least.
const LEAST_HEAD: usize = 2;

/// Columns that a text takes.
pub fn width_of(text: &str) -> usize {
    // Sequences whose parts are wider than the whole hold joiners and selectors, which the sanitiser does not let through.
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Graphemes that stay: those before `head` and from `tail` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first that is left out.
    pub head: usize,
    /// The first behind those.
    pub tail: usize,
}

/// Cuts the middle out of a text so that it fits `width` columns with an ellipsis of `ellipsis` columns. The last
/// component of a name or path (`::_M_insert`, `/libc.so.6`), the last word of a phrase, stays whole where it can.
pub fn cut(text: &str, width: usize, ellipsis: usize) -> Cut {
    let widths: Vec<usize> = text.graphemes(true).map(width_of).collect();
    let whole: usize = widths.iter().sum();
    if whole <= width {
        return Cut { head: widths.len(), tail: widths.len() };
    }
    let room = width.saturating_sub(ellipsis);
    let tail_room =
        last_component(text).map(width_of).filter(|tail| *tail <= room.saturating_sub(LEAST_HEAD)).unwrap_or(room / 2);
    let mut tail = widths.len();
    let mut used = 0usize;
    while let Some(width) = tail.checked_sub(1).and_then(|before| widths.get(before)) {
        if used.saturating_add(*width) > tail_room {
            break;
        }
        used = used.saturating_add(*width);
        tail = tail.saturating_sub(1);
    }
    let mut head = 0;
    while let Some(width) = widths.get(head).filter(|_| head < tail) {
        if used.saturating_add(*width) > room {
            break;
        }
        used = used.saturating_add(*width);
        head = head.saturating_add(1);
    }
    Cut { head, tail }
}

/// From the last `::`, `/` or space on, where there is one.
fn last_component(text: &str) -> Option<&str> {
    let at = text.rfind("::").into_iter().chain(text.rfind(['/', ' '])).max()?;
    text.get(at..)
}

/// A sanitised text that takes `width` columns at most, an ellipsis for what is left out.
pub fn shortened<'a>(text: &'a str, width: usize, ellipsis: &str) -> Cow<'a, str> {
    if width_of(text) <= width {
        return Cow::Borrowed(text);
    }
    let Cut { head, tail } = cut(text, width, width_of(ellipsis));
    let mut short = String::with_capacity(width);
    for (index, grapheme) in text.graphemes(true).enumerate() {
        if index == head {
            short.push_str(ellipsis);
        }
        if index < head || index >= tail {
            short.push_str(grapheme);
        }
    }
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_beginning_and_its_last_part() {
        assert_eq!(shortened("std::_Rb_tree<int>::_M_insert", 22, "…"), "std::_Rb_t…::_M_insert");
        assert_eq!(shortened("short", 5, "…"), "short");
        assert_eq!(shortened("abcdefghij", 5, "~"), "ab~ij");
    }

    #[test]
    fn no_width_is_passed() {
        for width in 1..30 {
            let short = shortened("漢字 std::漢字::名前 waits for g_orders", width, "…");
            assert!(width_of(&short) <= width, "{width}: {short}");
        }
    }
}
