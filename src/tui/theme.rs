//! What the terminal can show: colours by depth, symbols or their ASCII stand-ins.
//!
//! Colour carries meaning and never carries it alone: every tone also differs by word, mark or weight. Input: the
//! environment ([`Look::detect`]); output: [`Theme`], which turns a [`Tone`] into a style.

use ratatui::style::{Color, Modifier, Style};

use crate::report::section::Tone;
use crate::settings::{Glyphs, Settings};

/// How many colours may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None: bold, dim and reverse only.
    Mono,
    /// The terminal's own sixteen.
    Ansi,
    /// The 256-colour palette.
    Indexed,
    /// 24 bits.
    True,
}

/// What a terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours.
    pub depth: Depth,
    /// Whether only ASCII may be drawn.
    pub ascii: bool,
}

impl Look {
    /// What the environment says: `NO_COLOR`, `COLORTERM`, `TERM`, and the character set of the locale.
    /// The user's own choice (`--color`, `--ascii`, `--unicode`) goes before it.
    pub fn detect(settings: &Settings, var: impl Fn(&str) -> Option<String>) -> Look {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        // Source: POSIX XBD 8.2: LC_ALL, then LC_CTYPE, then LANG decide the character set.
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        // The Linux console's font lacks most symbols; `dumb` promises nothing.
        let plain = term == "linux" || term == "dumb" || term.starts_with("vt");
        let color = settings.color;
        let depth = match color {
            Some(false) => Depth::Mono,
            // Source: https://no-color.org: present and not empty, whatever its value.
            None if set("NO_COLOR").is_some() => Depth::Mono,
            _ => colours(&term, &set("COLORTERM").unwrap_or_default(), color == Some(true)),
        };
        let ascii = match settings.glyphs {
            Glyphs::Auto => plain || !utf8,
            Glyphs::Ascii => true,
            Glyphs::Unicode => false,
        };
        Look { depth, ascii }
    }
}

fn colours(term: &str, colorterm: &str, forced: bool) -> Depth {
    let none = term.is_empty() || term == "dumb" || term.starts_with("vt1") || term.starts_with("vt2");
    match (colorterm, term) {
        ("truecolor" | "24bit", _) => Depth::True,
        (_, term) if term.contains("direct") => Depth::True,
        (_, term) if term.contains("256") => Depth::Indexed,
        _ if none && !forced => Depth::Mono,
        _ => Depth::Ansi,
    }
}

/// Symbols that stand for something; each has an ASCII stand-in.
#[derive(Clone, Copy, Debug)]
pub struct Symbols {
    /// Marks the selected row.
    pub marker: &'static str,
    /// A calm horizontal line.
    pub rule: &'static str,
    /// The part of a line that marks the open pane.
    pub heavy: &'static str,
    /// Between list and detail.
    pub bar: &'static str,
    /// Stands for what was cut out.
    pub ellipsis: &'static str,
    /// Sorted ascending, descending.
    pub sorted: [&'static str; 2],
    /// A node whose children are folded away.
    pub folded: &'static str,
    /// Tree: a child that others follow, the last child, the line past a child, nothing.
    pub branches: [&'static str; 4],
    /// Between an outer frame and the one it calls.
    pub calls: &'static str,
    /// A warning.
    pub warning: &'static str,
    /// Between facts on one line.
    pub dot: &'static str,
    /// The text cursor.
    pub caret: &'static str,
    /// Progress: done, to do.
    pub progress: [&'static str; 2],
}

const UNICODE: Symbols = Symbols {
    marker: "▸",
    rule: "─",
    heavy: "━",
    bar: "│",
    ellipsis: "…",
    sorted: ["▴", "▾"],
    folded: "▸",
    branches: ["├ ", "└ ", "│ ", "  "],
    calls: "›",
    warning: "!",
    dot: "·",
    caret: "▌",
    progress: ["━", "─"],
};

const ASCII: Symbols = Symbols {
    marker: ">",
    rule: "-",
    heavy: "=",
    bar: "|",
    ellipsis: "~",
    sorted: ["^", "v"],
    folded: "+",
    branches: ["|-", "`-", "| ", "  "],
    calls: ">",
    warning: "!",
    dot: "-",
    caret: "_",
    progress: ["#", "."],
};

/// Styles and symbols for one kind of terminal.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    look: Look,
    /// Symbols that the terminal can draw.
    pub symbols: Symbols,
}

/// Red, yellow, cyan and grey at one depth; mid-tones, so that they read on a dark and on a light background.
struct Palette {
    bad: Color,
    guess: Color,
    link: Color,
    dim: Color,
}

const TRUE: Palette = Palette {
    bad: Color::Rgb(0xe5, 0x53, 0x4b),
    guess: Color::Rgb(0xc6, 0x90, 0x26),
    link: Color::Rgb(0x39, 0xa5, 0xb8),
    dim: Color::Rgb(0x7d, 0x85, 0x90),
};
const INDEXED: Palette = Palette {
    bad: Color::Indexed(167),
    guess: Color::Indexed(172),
    link: Color::Indexed(37),
    dim: Color::Indexed(245),
};
const ANSI: Palette = Palette { bad: Color::Red, guess: Color::Yellow, link: Color::Cyan, dim: Color::Reset };

impl Theme {
    /// The theme for a terminal.
    pub fn new(look: Look) -> Theme {
        Theme { look, symbols: if look.ascii { ASCII } else { UNICODE } }
    }

    /// Whether only ASCII may be drawn.
    pub fn ascii(&self) -> bool {
        self.look.ascii
    }

    fn palette(&self) -> Option<Palette> {
        match self.look.depth {
            Depth::Mono => None,
            Depth::Ansi => Some(ANSI),
            Depth::Indexed => Some(INDEXED),
            Depth::True => Some(TRUE),
        }
    }

    /// The style of a tone.
    pub fn tone(&self, tone: Tone) -> Style {
        let style = Style::default();
        let palette = self.palette();
        match (tone, palette) {
            (Tone::Plain, _) => style,
            (Tone::Strong, _) => style.add_modifier(Modifier::BOLD),
            (Tone::Bad, Some(palette)) => style.fg(palette.bad).add_modifier(Modifier::BOLD),
            (Tone::Bad, None) => style.add_modifier(Modifier::BOLD),
            (Tone::Guess, Some(palette)) => style.fg(palette.guess),
            (Tone::Link, Some(palette)) => style.fg(palette.link),
            (Tone::Guess | Tone::Link, None) => style,
            (Tone::Dim, Some(Palette { dim, .. })) if dim != Color::Reset => style.fg(dim),
            (Tone::Dim, _) => style.add_modifier(Modifier::DIM),
        }
    }

    /// The same tone inside the selected row.
    pub fn selected_tone(&self, tone: Tone) -> Style {
        let base = self.selected();
        match self.look.depth {
            // Reverse video has no room for a second meaning; weight stays.
            Depth::Mono | Depth::Ansi => match tone {
                Tone::Strong | Tone::Bad => base.add_modifier(Modifier::BOLD),
                _ => base,
            },
            Depth::Indexed | Depth::True => match tone {
                Tone::Plain => base,
                Tone::Strong => base.add_modifier(Modifier::BOLD),
                Tone::Bad => base.fg(Color::Indexed(217)).add_modifier(Modifier::BOLD),
                Tone::Guess => base.fg(Color::Indexed(222)),
                Tone::Link => base.fg(Color::Indexed(159)),
                Tone::Dim => base.fg(Color::Indexed(250)),
            },
        }
    }

    /// The selected row. Foreground and background are both set, so that it reads on any terminal's own colours.
    pub fn selected(&self) -> Style {
        match self.look.depth {
            Depth::Mono | Depth::Ansi => Style::default().add_modifier(Modifier::REVERSED),
            Depth::Indexed | Depth::True => Style::default().fg(Color::Indexed(255)).bg(Color::Indexed(24)),
        }
    }

    /// What a filter matched: underlined, so that it shows in every row and on every terminal.
    pub fn matched(&self, style: Style) -> Style {
        style.add_modifier(Modifier::UNDERLINED | Modifier::BOLD)
    }

    /// A key in the footer, the open pane's tab.
    pub fn key(&self) -> Style {
        self.tone(Tone::Strong)
    }

    /// What moves or was chosen: the open pane's line, the prompt.
    pub fn accent(&self) -> Style {
        match self.palette() {
            Some(palette) => Style::default().fg(palette.link).add_modifier(Modifier::BOLD),
            None => Style::default().add_modifier(Modifier::BOLD),
        }
    }

    /// Rules, column headings, labels.
    pub fn quiet(&self) -> Style {
        self.tone(Tone::Dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(pairs: &[(&str, &str)]) -> Look {
        Look::detect(&Settings::default(), |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn no_color_means_no_colour_whatever_its_value() {
        let seen = look(&[("NO_COLOR", "0"), ("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")]);
        assert_eq!(seen, Look { depth: Depth::Mono, ascii: false });
    }

    #[test]
    fn an_empty_no_color_is_none() {
        assert_eq!(look(&[("NO_COLOR", ""), ("TERM", "xterm-256color")]).depth, Depth::Indexed);
    }

    #[test]
    fn depth_follows_colorterm_then_term() {
        assert_eq!(look(&[("COLORTERM", "truecolor"), ("TERM", "xterm")]).depth, Depth::True);
        assert_eq!(look(&[("TERM", "xterm")]).depth, Depth::Ansi);
        assert_eq!(look(&[("TERM", "vt100")]).depth, Depth::Mono);
        assert_eq!(look(&[("TERM", "dumb")]).depth, Depth::Mono);
    }

    #[test]
    fn a_locale_without_utf8_and_the_linux_console_get_ascii() {
        assert!(look(&[("LANG", "C"), ("TERM", "xterm-256color")]).ascii);
        assert!(look(&[("LANG", "en_US.UTF-8"), ("TERM", "linux")]).ascii);
        assert!(look(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C"), ("TERM", "xterm")]).ascii);
        assert!(!look(&[("LANG", "C"), ("LC_CTYPE", "C.utf8"), ("TERM", "xterm")]).ascii);
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let theme = Theme::new(Look { depth: Depth::Mono, ascii: false });
        for tone in [Tone::Plain, Tone::Bad, Tone::Guess, Tone::Link, Tone::Dim, Tone::Strong] {
            for style in [theme.tone(tone), theme.selected_tone(tone), theme.matched(theme.tone(tone)), theme.accent()]
            {
                assert_eq!((style.fg, style.bg), (None, None), "{tone:?}");
            }
        }
    }
}
