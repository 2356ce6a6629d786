//! How the user wants things shown: from the configuration file and the command line.

use std::path::PathBuf;

/// The colours' background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the terminal says.
    #[default]
    Auto,
    /// Light text on a dark background.
    Dark,
    /// Dark text on a light background.
    Light,
}

/// Which signs are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// As the locale and the terminal say.
    #[default]
    Auto,
    /// ASCII alone.
    Ascii,
    /// Box drawing and the other signs of Unicode.
    Unicode,
}

/// The settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The background.
    pub theme: Theme,
    /// The signs.
    pub glyphs: Glyphs,
    /// Colours: `Some(false)` never, `Some(true)` always, `None` as the environment says.
    pub color: Option<bool>,
    /// Whether stacks show the instruction pointer of every frame.
    pub pc: bool,
    /// Whether commands typed at the `:` prompt are kept for the next time.
    pub history: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { theme: Theme::Auto, glyphs: Glyphs::Auto, color: None, pc: false, history: true }
    }
}

/// A directory of the user's for files of this kind: `variable` where it is absolute, else `fallback` below the home.
pub fn user_directory(variable: &str, fallback: &str) -> Option<PathBuf> {
    // Source: XDG Base Directory Specification: relative paths are ignored.
    let named = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| home().map(|home| home.join(fallback)))
}
