//! Signs of our own drawings and sentences for a terminal that has ASCII alone.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

/// A text in ASCII.
pub fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.graphemes(true).map(to_ascii).collect()) }
}

/// A stand-in for a symbol that our own printers use; `?` for anything else.
pub fn to_ascii(grapheme: &str) -> &str {
    if grapheme.is_ascii() {
        return grapheme;
    }
    match grapheme {
        "─" | "━" | "–" | "—" | "┄" | "┈" | "−" => "-",
        "│" | "┃" | "┆" | "┊" => "|",
        "├" | "┬" | "┼" | "┤" | "┴" | "╭" | "╮" | "┌" | "┐" => "+",
        "└" | "╰" | "╯" | "┘" => "`",
        "▸" | "▶" | "›" | "→" | "⏵" => ">",
        "◂" | "◀" | "‹" | "←" | "⏴" => "<",
        "▾" | "▼" | "↓" => "v",
        "▴" | "▲" | "↑" => "^",
        "…" => "~",
        "·" | "•" | "∙" => "-",
        "×" | "✗" | "✘" => "x",
        "✓" | "✔" => "+",
        "’" | "‘" => "'",
        "“" | "”" => "\"",
        "⏎" => "Enter",
        "≥" => ">=",
        "≤" => "<=",
        "█" | "▉" | "▊" | "▋" | "▌" | "▍" => "#",
        "▎" | "▏" => ".",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_what_is_ascii_and_gets_stand_ins_for_the_rest() {
        assert_eq!(ascii("a ◂ b ▸ größe …"), "a < b > gr??e ~");
        assert!(matches!(ascii("plain"), Cow::Borrowed(_)));
    }
}
