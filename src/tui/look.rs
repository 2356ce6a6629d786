//! What a terminal can show, and what its user wants of it.
//!
//! The user's own choice decides, then the environment, then what the terminal says of itself ([`super::probe`]).

use crate::settings::{Glyphs, Settings, Theme};

/// What text stands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Bright text on a dark screen.
    #[default]
    Dark,
    /// Dark text on a bright screen.
    Light,
}

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
    /// What the colours stand on.
    pub background: Background,
}

/// What a terminal said of itself; `None` where it was not asked, or did not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Whether it takes bytes for UTF-8.
    pub utf8: Option<bool>,
    /// Its background.
    pub background: Option<Background>,
}

/// What the environment leaves open: to be asked of the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Whether it takes bytes for UTF-8: no locale is set.
    pub utf8: bool,
    /// Its background.
    pub background: bool,
}

impl Open {
    /// Whether nothing is to be asked.
    pub fn is_empty(self) -> bool {
        self == Open::default()
    }
}

impl Look {
    /// The user's choice, else what the environment says (`NO_COLOR`, `COLORTERM`, `TERM`, `COLORFGBG`, the character set of
    /// the locale), else what the terminal said. Also: what neither the user nor the environment tells.
    pub fn detect(settings: &Settings, said: Said, var: impl Fn(&str) -> Option<String>) -> (Look, Open) {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        // Source: POSIX XBD 8.2: LC_ALL, then LC_CTYPE, then LANG decide the character set.
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let utf8 = locale
            .map(|locale| locale.to_ascii_lowercase())
            .map(|locale| locale.contains("utf-8") || locale.contains("utf8"));
        // The Linux console's font lacks most symbols; `dumb` promises nothing.
        let plain = term == "linux" || term == "dumb" || term.starts_with("vt");
        let chosen = match settings.glyphs {
            Glyphs::Auto => None,
            Glyphs::Ascii => Some(true),
            Glyphs::Unicode => Some(false),
        };
        let ascii = chosen.or(plain.then_some(true)).or(utf8.map(|utf8| !utf8));
        let depth = match settings.color {
            Some(false) => Depth::Mono,
            // Source: https://no-color.org: present and not empty, whatever its value.
            None if set("NO_COLOR").is_some() => Depth::Mono,
            color => colours(&term, &set("COLORTERM").unwrap_or_default(), color == Some(true)),
        };
        let chosen = match settings.theme {
            Theme::Auto => None,
            Theme::Dark => Some(Background::Dark),
            Theme::Light => Some(Background::Light),
        };
        let background = chosen.or_else(|| set("COLORFGBG").as_deref().and_then(colorfgbg));
        let open =
            Open { utf8: ascii.is_none(), background: background.is_none() && depth != Depth::Mono && term != "dumb" };
        let look = Look {
            depth,
            ascii: ascii.or(said.utf8.map(|utf8| !utf8)).unwrap_or(true),
            background: background.or(said.background).unwrap_or_default(),
        };
        (look, open)
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

/// `15;0`: the last number is the background among the sixteen colours.
// Source: rxvt(1) "COLORFGBG"; 7 and the bright ones but 8 (dark grey) are taken for light, as vim does.
fn colorfgbg(value: &str) -> Option<Background> {
    let colour: u8 = value.rsplit(';').next()?.parse().ok()?;
    match colour {
        0..=6 | 8 => Some(Background::Dark),
        7 | 9..=15 => Some(Background::Light),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(wanted: Settings, said: Said, pairs: &[(&str, &str)]) -> (Look, Open) {
        Look::detect(&wanted, said, |name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn look(pairs: &[(&str, &str)]) -> Look {
        detect(Settings::default(), Said::default(), pairs).0
    }

    #[test]
    fn no_color_means_no_colour_whatever_its_value() {
        let seen = look(&[("NO_COLOR", "0"), ("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")]);
        assert_eq!((seen.depth, seen.ascii), (Depth::Mono, false));
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
    fn a_locale_without_utf8_and_the_linux_console_get_ascii_unasked() {
        for pairs in [
            &[("LANG", "C"), ("TERM", "xterm-256color")][..],
            &[("LANG", "en_US.UTF-8"), ("TERM", "linux")],
            &[("LANG", "en_US.UTF-8"), ("LC_ALL", "C"), ("TERM", "xterm")],
        ] {
            let (look, open) = detect(Settings::default(), Said { utf8: Some(true), background: None }, pairs);
            assert!(look.ascii && !open.utf8, "{pairs:?}");
        }
        assert!(!look(&[("LANG", "C"), ("LC_CTYPE", "C.utf8"), ("TERM", "xterm")]).ascii);
    }

    #[test]
    fn without_a_locale_the_terminal_is_asked_and_believed() {
        let term = [("TERM", "xterm-256color")];
        for (utf8, ascii) in [(None, true), (Some(true), false), (Some(false), true)] {
            let (look, open) = detect(Settings::default(), Said { utf8, background: None }, &term);
            assert_eq!((look.ascii, open.utf8), (ascii, true), "{utf8:?}");
        }
    }

    #[test]
    fn the_users_choice_stands_above_all() {
        let wanted = Settings { glyphs: Glyphs::Unicode, theme: Theme::Light, ..Settings::default() };
        let said = Said { utf8: Some(false), background: Some(Background::Dark) };
        let (look, open) = detect(wanted, said, &[("LANG", "C"), ("TERM", "linux"), ("COLORFGBG", "15;0")]);
        assert_eq!((look.ascii, look.background), (false, Background::Light));
        assert!(open.is_empty());
    }

    #[test]
    fn a_light_background_is_known_from_the_environment_else_from_the_terminal() {
        let term = ("TERM", "xterm-256color");
        assert_eq!(look(&[term, ("COLORFGBG", "0;15")]).background, Background::Light);
        assert_eq!(look(&[term, ("COLORFGBG", "15;default;0")]).background, Background::Dark);
        let said = Said { utf8: None, background: Some(Background::Light) };
        let (look, open) = detect(Settings::default(), said, &[term, ("COLORFGBG", "0;default")]);
        assert_eq!((look.background, open.background), (Background::Light, true));
    }
}
