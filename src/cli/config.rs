//! The configuration file: `$XDG_CONFIG_HOME/dumpscope/config.toml`, else `~/.config/dumpscope/config.toml`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::settings::{Glyphs, Settings, Theme, user_directory};
use crate::target::SourcePlace;

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// What the file says, with defaults for what it does not.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    /// Where it is looked for; `None` where no home is known.
    pub(super) path: Option<PathBuf>,
    /// Whether it is there, and may be read.
    pub(super) there: bool,
    /// The keys that it has.
    pub(super) keys: Vec<&'static str>,
    /// How things are shown.
    pub(super) settings: Settings,
    /// Directories of symbols.
    pub(super) symbols: Vec<PathBuf>,
    /// Places of source files.
    pub(super) source: Vec<SourcePlace>,
}

/// The file as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Written {
    theme: Option<Background>,
    ascii: Option<When>,
    color: Option<When>,
    pc: Option<bool>,
    history: Option<bool>,
    source: Option<Vec<Place>>,
    symbols: Option<Vec<String>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Background {
    Auto,
    Dark,
    Light,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Place(SourcePlace);

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Place, String> {
        let home = |path: PathBuf| from_home(&path);
        Ok(Place(match text.parse()? {
            SourcePlace::Directory(directory) => SourcePlace::Directory(home(directory)),
            SourcePlace::Mapped(from, to) => SourcePlace::Mapped(from, home(to)),
        }))
    }
}

/// A path that begins with `~/`, below the home directory.
fn from_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

/// Why there is no file of this user's.
const NO_FILE: [io::ErrorKind; 3] =
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::PermissionDenied];

impl Config {
    /// The file of this user; without one, defaults.
    pub(super) fn load() -> Result<Config, Error> {
        let path = user_directory("XDG_CONFIG_HOME", ".config").map(|path| path.join("dumpscope/config.toml"));
        let Some(path) = path else { return Ok(Config::default()) };
        let io = |source| Error::Io { path: path.clone(), source };
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => {
                let metadata = file.metadata().map_err(io)?;
                if !metadata.is_file() || metadata.len() > MAX_FILE {
                    return Err(Error::Usage(format!(
                        "{}: no regular file of at most {MAX_FILE} bytes",
                        path.display()
                    )));
                }
                file.take(MAX_FILE).read_to_string(&mut text).map_err(io)?;
            }
            // A file that may not be looked for is somebody else's: `su` and `setpriv` leave HOME as it was.
            Err(error) if NO_FILE.contains(&error.kind()) => {
                return Ok(Config { path: Some(path), ..Config::default() });
            }
            Err(error) => return Err(io(error)),
        }
        let read = Config::parse(&text).map_err(|why| Error::Usage(format!("{}: {why}", path.display())))?;
        Ok(Config { path: Some(path), ..read })
    }

    /// Reads the file's text; an error names its line.
    fn parse(text: &str) -> Result<Config, String> {
        let written: Written = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or(text).lines().count().max(1);
            // The span of a key on a fresh line starts behind the newline before it.
            let fresh = text.get(..start).is_some_and(|before| before.ends_with('\n'));
            format!("line {}: {}", line.saturating_add(usize::from(fresh)), error.message())
        })?;
        let defaults = Settings::default();
        let keys = [
            ("theme", written.theme.is_some()),
            ("ascii", written.ascii.is_some()),
            ("color", written.color.is_some()),
            ("pc", written.pc.is_some()),
            ("history", written.history.is_some()),
            ("source", written.source.is_some()),
            ("symbols", written.symbols.is_some()),
        ];
        Ok(Config {
            there: true,
            path: None,
            keys: keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect(),
            settings: Settings {
                theme: match written.theme {
                    Some(Background::Dark) => Theme::Dark,
                    Some(Background::Light) => Theme::Light,
                    Some(Background::Auto) | None => Theme::Auto,
                },
                glyphs: match written.ascii {
                    Some(When::Always) => Glyphs::Ascii,
                    Some(When::Never) => Glyphs::Unicode,
                    Some(When::Auto) | None => Glyphs::Auto,
                },
                color: match written.color {
                    Some(When::Always) => Some(true),
                    Some(When::Never) => Some(false),
                    Some(When::Auto) | None => None,
                },
                pc: written.pc.unwrap_or(defaults.pc),
                history: written.history.unwrap_or(defaults.history),
            },
            symbols: written.symbols.unwrap_or_default().iter().map(|path| from_home(Path::new(path))).collect(),
            source: written.source.unwrap_or_default().into_iter().map(|place| place.0).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_does_not_say_is_as_without_it() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.settings, Settings::default());
        assert!(config.keys.is_empty());
    }

    #[test]
    fn every_key_is_read() {
        let text = "theme = \"light\"\nascii = \"always\"\ncolor = \"never\"\npc = true\nhistory = false\n\
                    source = [\"/src\", \"/build=/home/me\"]\nsymbols = [\"/symbols\"]\n";
        let config = Config::parse(text).unwrap();
        let settings =
            Settings { theme: Theme::Light, glyphs: Glyphs::Ascii, color: Some(false), pc: true, history: false };
        assert_eq!(config.settings, settings);
        let mapped = SourcePlace::Mapped("/build".into(), "/home/me".into());
        assert_eq!(config.source, [SourcePlace::Directory("/src".into()), mapped]);
        assert_eq!(config.symbols, [PathBuf::from("/symbols")]);
        assert_eq!(config.keys.len(), 7);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (text, line, word) in [
            ("theme = \"dark\"\nthem = 1\n", "line 2", "them"),
            ("\n\ntheme = \"blue\"\n", "line 3", "blue"),
            ("pc = \"yes\"\n", "line 1", "bool"),
            ("pc = true\nhistory = \n", "line 2", ""),
            ("source = [\"=x\"]\n", "line 1", "FROM=TO"),
        ] {
            let said = Config::parse(text).unwrap_err();
            assert!(said.contains(line) && said.contains(word), "{text:?}: {said}");
        }
    }
}
