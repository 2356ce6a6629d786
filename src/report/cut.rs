//! Text that is too long for its place: its middle is left out, what tells it apart stays.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Columns that the beginning of a cut text keeps at least.
const LEAST_HEAD: usize = 2;
/// Columns in which a remark still says something.
const LEAST_REMARK: usize = 6;

/// Columns that a text takes.
pub fn width_of(text: &str) -> usize {
    // Sequences whose parts are wider than the whole hold joiners and selectors, which the sanitiser does not let through.
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Graphemes that stay: those before `head`, and those from `tail` on that are before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first that an ellipsis stands for.
    pub head: usize,
    /// The first behind those.
    pub tail: usize,
    /// The first of those that are left out at the end.
    pub end: usize,
}

/// Cuts the middle out of a text so that it fits `width` columns with an ellipsis of `ellipsis` columns. The last
/// component of a name or path (`::_M_insert`, `/libc.so.6`), the last word of a phrase, stays whole where it can. A
/// remark in parentheses behind a phrase is cut before the phrase is.
pub fn cut(text: &str, width: usize, ellipsis: usize) -> Cut {
    let widths: Vec<usize> = text.graphemes(true).map(width_of).collect();
    let (whole, end) = (widths.iter().sum::<usize>(), widths.len());
    if whole <= width {
        return Cut { head: end, tail: end, end };
    }
    if let Some((phrase, remark)) = with_remark(text) {
        let before = phrase.graphemes(true).count();
        let room = width.saturating_sub(width_of(phrase));
        if room < ellipsis {
            return Cut { end: before, ..cut(phrase, width, ellipsis) };
        }
        if room < LEAST_REMARK.saturating_add(ellipsis) {
            return Cut { head: before, tail: end, end };
        }
        let Cut { head, tail, .. } = cut(remark, room, ellipsis);
        return Cut { head: before.saturating_add(head), tail: before.saturating_add(tail), end };
    }
    let room = width.saturating_sub(ellipsis);
    let fits = |tail: &usize| *tail <= room.saturating_sub(LEAST_HEAD);
    let tail_room = last_components(text).map(width_of).find(fits).unwrap_or(room / 2);
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
    Cut { head, tail, end }
}

/// A phrase and the remark in parentheses behind it, from the space before it on, as in
/// `epoll fd 3 (anon_inode:[eventpoll])`.
fn with_remark(text: &str) -> Option<(&str, &str)> {
    let mut open = 0usize;
    let begins = |(_, c): &(usize, char)| {
        open = match c {
            ')' => open.saturating_add(1),
            '(' => open.saturating_sub(1),
            _ => open,
        };
        open == 0
    };
    let (at, _) = text.char_indices().rev().find(begins)?;
    let phrase = text.get(..at)?.strip_suffix(' ').filter(|phrase| !phrase.is_empty() && text.ends_with(')'))?;
    Some((phrase, text.get(phrase.len()..)?))
}

/// From the last `::`, `/` or space on, where there is one; before that a number with its word: `fd 3`.
fn last_components(text: &str) -> impl Iterator<Item = &str> {
    let at = text.rfind("::").into_iter().chain(text.rfind(['/', ' '])).max();
    let last = at.and_then(|at| text.get(at..));
    let is_number = |word: &str| word.len() > 1 && word.trim_start().bytes().all(|byte| byte.is_ascii_digit());
    let before = at.filter(|_| last.is_some_and(is_number)).and_then(|at| text.get(..at));
    let with_word = before.and_then(|before| text.get(before.rfind(' ')?..));
    with_word.into_iter().chain(last)
}

/// A sanitised text that takes `width` columns at most, an ellipsis for what is left out.
pub fn shortened<'a>(text: &'a str, width: usize, ellipsis: &str) -> Cow<'a, str> {
    if width_of(text) <= width {
        return Cow::Borrowed(text);
    }
    let Cut { head, tail, end } = cut(text, width, width_of(ellipsis));
    let mut short = String::with_capacity(width);
    for (index, grapheme) in text.graphemes(true).enumerate() {
        if index == head && head < tail {
            short.push_str(ellipsis);
        }
        if index < head || (tail..end).contains(&index) {
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
    fn a_remark_is_cut_before_what_it_is_about() {
        let epoll = "epoll_wait fd 5 (anon_inode:[eventpoll])";
        for (width, short) in [
            (30, "epoll_wait fd 5 (anon_…tpoll])"),
            (22, "epoll_wait fd 5 (a…l])"),
            (21, "epoll_wait fd 5…"),
            (16, "epoll_wait fd 5…"),
            (15, "epoll_wait fd 5"),
            (12, "epoll_… fd 5"),
            (8, "ep… fd 5"),
            (7, "epol… 5"),
        ] {
            assert_eq!(shortened(epoll, width, "…"), short, "{width}");
        }
        assert_eq!(shortened("read fd 3 (/var/log/shop/orders.log)", 26, "…"), "read fd 3 (/v…/orders.log)");
        // Parentheses of a type are no remark.
        assert_eq!(with_remark("void (*)(int)"), None);
        assert_eq!(with_remark("(anonymous)"), None);
    }

    #[test]
    fn no_width_is_passed() {
        for text in ["漢字 std::漢字::名前 waits for g_orders", "waits for fd 3 (漢字)", "a (b) (c) ) (d))"] {
            for width in 1..30 {
                let short = shortened(text, width, "…");
                assert!(width_of(&short) <= width, "{width}: {short}");
            }
        }
    }
}
