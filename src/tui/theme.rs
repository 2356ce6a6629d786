//! Colours by depth and background, symbols or their ASCII stand-ins.
//!
//! Colour carries meaning and never carries it alone: every tone also differs by word, mark or weight. A [`Theme`] is made for
//! a [`Look`] and turns a [`Tone`] into a style.

use ratatui::style::{Color, Modifier, Style};

use super::look::{Background, Depth, Look};
use crate::report::section::Tone;

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
    /// Between the parts of where a page stands.
    pub crumb: &'static str,
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
    crumb: "▸",
    warning: "!",
    dot: "·",
    caret: "▌",
    progress: ["━", "─"],
};

const ASCII: Symbols = Symbols {
    marker: "*",
    rule: "-",
    heavy: "=",
    bar: "|",
    ellipsis: "~",
    sorted: ["^", "v"],
    folded: "+",
    branches: ["|-", "`-", "| ", "  "],
    calls: ">",
    crumb: "/",
    warning: "!",
    dot: "|",
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

/// Red, yellow, cyan and grey at one depth, for one background.
struct Palette {
    bad: Color,
    guess: Color,
    link: Color,
    dim: Color,
}

const TRUE: Palette = Palette {
    bad: Color::Rgb(0xf0, 0x65, 0x5d),
    guess: Color::Rgb(0xd2, 0x99, 0x22),
    link: Color::Rgb(0x39, 0xb5, 0xc8),
    dim: Color::Rgb(0x8b, 0x94, 0x9e),
};
const TRUE_LIGHT: Palette = Palette {
    bad: Color::Rgb(0xb3, 0x26, 0x1e),
    guess: Color::Rgb(0x7a, 0x4f, 0x00),
    link: Color::Rgb(0x0b, 0x63, 0x75),
    dim: Color::Rgb(0x57, 0x60, 0x6a),
};
const INDEXED: Palette = Palette {
    bad: Color::Indexed(203),
    guess: Color::Indexed(214),
    link: Color::Indexed(44),
    dim: Color::Indexed(246),
};
const INDEXED_LIGHT: Palette =
    Palette { bad: Color::Indexed(124), guess: Color::Indexed(94), link: Color::Indexed(24), dim: Color::Indexed(241) };
const ANSI: Palette = Palette { bad: Color::Red, guess: Color::Yellow, link: Color::Cyan, dim: Color::Reset };
// Yellow and cyan are hard to read on white in every terminal's own sixteen.
const ANSI_LIGHT: Palette = Palette { bad: Color::Red, guess: Color::Magenta, link: Color::Blue, dim: Color::Reset };

/// The selected row where there are 256 colours and more: its ground, plain text on it, and the tones.
struct Selection {
    ground: Color,
    plain: Color,
    tones: Palette,
}

const SELECTED: Selection = Selection {
    ground: Color::Indexed(24),
    plain: Color::Indexed(255),
    tones: Palette {
        bad: Color::Indexed(224),
        guess: Color::Indexed(222),
        link: Color::Indexed(159),
        dim: Color::Indexed(253),
    },
};
const SELECTED_LIGHT: Selection = Selection {
    ground: Color::Indexed(189),
    plain: Color::Indexed(16),
    tones: Palette {
        bad: Color::Indexed(88),
        guess: Color::Indexed(58),
        link: Color::Indexed(18),
        dim: Color::Indexed(238),
    },
};

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
        match (self.look.depth, self.look.background) {
            (Depth::Mono, _) => None,
            (Depth::Ansi, Background::Dark) => Some(ANSI),
            (Depth::Ansi, Background::Light) => Some(ANSI_LIGHT),
            (Depth::Indexed, Background::Dark) => Some(INDEXED),
            (Depth::Indexed, Background::Light) => Some(INDEXED_LIGHT),
            (Depth::True, Background::Dark) => Some(TRUE),
            (Depth::True, Background::Light) => Some(TRUE_LIGHT),
        }
    }

    fn selection(&self) -> &'static Selection {
        match self.look.background {
            Background::Dark => &SELECTED,
            Background::Light => &SELECTED_LIGHT,
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
            Depth::Indexed | Depth::True => {
                let tones = &self.selection().tones;
                match tone {
                    Tone::Plain => base,
                    Tone::Strong => base.add_modifier(Modifier::BOLD),
                    Tone::Bad => base.fg(tones.bad).add_modifier(Modifier::BOLD),
                    Tone::Guess => base.fg(tones.guess),
                    Tone::Link => base.fg(tones.link),
                    Tone::Dim => base.fg(tones.dim),
                }
            }
        }
    }

    /// The selected row. Foreground and background are both set, so that it reads on any terminal's own colours.
    pub fn selected(&self) -> Style {
        match self.look.depth {
            Depth::Mono | Depth::Ansi => Style::default().add_modifier(Modifier::REVERSED),
            Depth::Indexed | Depth::True => Style::default().fg(self.selection().plain).bg(self.selection().ground),
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

    const TONES: [Tone; 6] = [Tone::Plain, Tone::Bad, Tone::Guess, Tone::Link, Tone::Dim, Tone::Strong];

    fn theme(depth: Depth, background: Background) -> Theme {
        Theme::new(Look { depth, ascii: false, background })
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let theme = theme(Depth::Mono, Background::Light);
        for tone in TONES {
            for style in [theme.tone(tone), theme.selected_tone(tone), theme.matched(theme.tone(tone)), theme.accent()]
            {
                assert_eq!((style.fg, style.bg), (None, None), "{tone:?}");
            }
        }
    }

    /// Red, green and blue of a colour of 24 bits or of the palette's cube and greys.
    // Source: xterm 256colres.pl: 16 + 36 r + 6 g + b with the levels 0, 95, 135, 175, 215, 255; 232.. are 8 + 10 n.
    fn parts(color: Color) -> [u8; 3] {
        let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
        match color {
            Color::Rgb(red, green, blue) => [red, green, blue],
            Color::Indexed(grey @ 232..) => [8 + 10 * (grey - 232); 3],
            Color::Indexed(cube @ 16..) => [(cube - 16) / 36, (cube - 16) / 6 % 6, (cube - 16) % 6].map(level),
            other => panic!("{other:?} is the terminal's own"),
        }
    }

    /// Source: WCAG 2.2, "relative luminance" and "contrast ratio".
    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let luminance = |parts: [u8; 3]| {
            let [red, green, blue] = parts.map(|part| {
                let part = f64::from(part) / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn contrast_is_that_of_the_standard() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.001);
        // The grey that the standard's own explanations give as just enough on white.
        assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.01);
    }

    /// Source: WCAG 2.2, success criterion 1.4.3: 4.5 for text.
    #[test]
    fn every_tone_can_be_read_on_its_background_and_in_the_selected_row() {
        let dark = [[0; 3], [0x1e; 3]];
        let light = [[255; 3], [0xfd, 0xf6, 0xe3]];
        for (background, grounds) in [(Background::Dark, dark), (Background::Light, light)] {
            for depth in [Depth::Indexed, Depth::True] {
                let theme = theme(depth, background);
                for tone in TONES {
                    let own = theme.tone(tone).fg.map(parts);
                    for ground in grounds {
                        let ratio = own.map_or(21.0, |own| contrast(own, ground));
                        assert!(ratio >= 4.5, "{tone:?} {depth:?} {background:?} on {ground:?}: {ratio:.2}");
                    }
                    let row = theme.selected_tone(tone);
                    let (text, ground) = (row.fg.expect("both are set"), row.bg.expect("both are set"));
                    let ratio = contrast(parts(text), parts(ground));
                    assert!(ratio >= 4.5, "{tone:?} selected {depth:?} {background:?}: {ratio:.2}");
                }
            }
        }
    }
}
