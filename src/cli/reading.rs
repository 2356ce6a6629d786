//! Options of every invocation that reads a dump, before and after the subcommand.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::config::Config;
use crate::commands::Format;
use crate::error::Error;
use crate::log::Log;
use crate::report::text::Style;
use crate::settings::{Glyphs, Settings, Theme};
use crate::target::{Search, SourcePlace};

/// Options of every invocation that reads a dump.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Reading {
    /// A moved or deleted executable or library, verified by build id (repeatable)
    #[arg(long, value_name = "FILE")]
    exe: Vec<PathBuf>,
    /// A directory with symbols (repeatable)
    #[arg(long, value_name = "PATH")]
    symbols: Vec<PathBuf>,
    /// Where the dumped machine's files are
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Where source files are: a directory, or FROM=TO where what was compiled below FROM is below TO (repeatable)
    #[arg(long, value_name = "DIR|FROM=TO")]
    source: Vec<SourcePlace>,
    /// Never asks a symbol server (none is asked today)
    #[arg(long)]
    offline: bool,
    /// One JSON object a command, one a line
    #[arg(long)]
    pub(super) json: bool,
    /// Colours [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", hide_default_value = true)]
    color: Option<Color>,
    /// Colours for a light or a dark background [default: as the terminal says]
    #[arg(long, value_enum, value_name = "BACKGROUND")]
    theme: Option<Background>,
    /// Draws with ASCII alone
    #[arg(long, conflicts_with = "unicode")]
    ascii: bool,
    /// Draws with box characters, whatever the locale says
    #[arg(long)]
    unicode: bool,
    /// Writes what is done to a file, never to the screen
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Says more on standard error
    #[arg(short = 'v', long)]
    verbose: bool,
    /// What the configuration file says.
    #[arg(skip)]
    pub(super) config: Config,
}

/// When there are colours.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Color {
    /// As the environment says.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What colours stand on.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Background {
    /// As the terminal says.
    Auto,
    /// Light text on a dark background.
    Dark,
    /// Dark text on a light background.
    Light,
}

impl Reading {
    /// These options with those that stood before the subcommand.
    pub(super) fn after(self, before: Reading) -> Reading {
        let joined = |mut first: Vec<PathBuf>, second: Vec<PathBuf>| {
            first.extend(second);
            first
        };
        // Of two signs the later one counts.
        let signs =
            if self.ascii || self.unicode { (self.ascii, self.unicode) } else { (before.ascii, before.unicode) };
        Reading {
            exe: joined(before.exe, self.exe),
            symbols: joined(before.symbols, self.symbols),
            sysroot: self.sysroot.or(before.sysroot),
            source: before.source.into_iter().chain(self.source).collect(),
            offline: self.offline || before.offline,
            json: self.json || before.json,
            color: self.color.or(before.color),
            theme: self.theme.or(before.theme),
            ascii: signs.0,
            unicode: signs.1,
            log: self.log.or(before.log),
            verbose: self.verbose || before.verbose,
            config: before.config,
        }
    }

    /// The same with this choice of colours, where one was made.
    pub(super) fn colored(self, color: Option<Color>) -> Reading {
        Reading { color: color.or(self.color), ..self }
    }

    /// The options given that only reading a dump has a use for.
    pub(super) fn needless(&self) -> Vec<&'static str> {
        let given = [
            ("--exe", !self.exe.is_empty()),
            ("--symbols", !self.symbols.is_empty()),
            ("--sysroot", self.sysroot.is_some()),
            ("--source", !self.source.is_empty()),
            ("--offline", self.offline),
            ("--log", self.log.is_some()),
            ("--verbose", self.verbose),
        ];
        given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect()
    }

    /// Reads the configuration file, and refuses files and directories that are not there.
    pub(super) fn checked(mut self) -> Result<Reading, Error> {
        self.config = Config::load()?;
        let missing = |option: &str, path: &Path, what: &str| {
            Error::Usage(format!("{option} {}: there is no such {what}", path.display()))
        };
        if let Some(sysroot) = self.sysroot.as_deref().filter(|path| !path.is_dir()) {
            return Err(missing("--sysroot", sysroot, "directory"));
        }
        for path in &self.symbols {
            if path.to_string_lossy().contains('*') || path.to_string_lossy().starts_with("http") {
                return Err(Error::Usage("--symbols: symbol servers are not asked yet; name a directory".to_owned()));
            }
            if !path.is_dir() {
                return Err(missing("--symbols", path, "directory"));
            }
        }
        if let Some(exe) = self.exe.iter().find(|path| !path.exists()) {
            return Err(missing("--exe", exe, "file"));
        }
        if let Some(place) = self.source.iter().find(|place| !place.directory().is_dir()) {
            return Err(missing("--source", place.directory(), "directory"));
        }
        Ok(self)
    }

    /// Where files are looked for.
    pub(super) fn search(&self) -> Search {
        Search {
            sysroot: self.sysroot.clone(),
            exe: self.exe.clone(),
            directories: self.symbols.iter().chain(&self.config.symbols).cloned().collect(),
            sources: self.source.iter().chain(&self.config.source).cloned().collect(),
            ..Search::default()
        }
    }

    /// How things are shown.
    pub(super) fn settings(&self) -> Settings {
        let of_file = self.config.settings;
        Settings {
            theme: match self.theme {
                Some(Background::Auto) => Theme::Auto,
                Some(Background::Dark) => Theme::Dark,
                Some(Background::Light) => Theme::Light,
                None => of_file.theme,
            },
            glyphs: match (self.ascii, self.unicode) {
                (true, _) => Glyphs::Ascii,
                (false, true) => Glyphs::Unicode,
                (false, false) => of_file.glyphs,
            },
            color: match self.color {
                Some(Color::Always) => Some(true),
                Some(Color::Never) => Some(false),
                Some(Color::Auto) => None,
                None => of_file.color,
            },
            ..of_file
        }
    }

    /// Which settings the command line gave.
    pub(super) fn on_command_line(&self) -> Vec<&'static str> {
        let given = [
            ("theme", self.theme.is_some()),
            ("ascii", self.ascii || self.unicode),
            ("color", self.color.is_some()),
            ("source", !self.source.is_empty()),
            ("symbols", !self.symbols.is_empty()),
        ];
        given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect()
    }

    /// The log of a terminal UI: what `-v` says more would be written over the screen.
    pub(super) fn screen_log(&self) -> Result<Log, Error> {
        Log::open(self.log.as_deref(), false)
    }

    /// The log of commands that are printed.
    pub(super) fn log(&self) -> Result<Log, Error> {
        Log::open(self.log.as_deref(), self.verbose)
    }

    /// How answers are printed.
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text(self.style()) }
    }

    /// How text is printed on standard output.
    pub(super) fn style(&self) -> Style {
        let wanted = || std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stdout().is_terminal();
        let settings = self.settings();
        // What goes into a pipe or a file is as wide as it is, and UTF-8 unless ASCII is asked for.
        let width = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|width| *width > 0);
        let ascii = match settings.glyphs {
            Glyphs::Ascii => true,
            Glyphs::Unicode => false,
            Glyphs::Auto => width.is_some() && has_other_locale(),
        };
        Style { color: settings.color.unwrap_or_else(wanted), width, ascii }
    }
}

/// Whether the environment names a character set that is not UTF-8.
// Source: POSIX XBD 8.2: LC_ALL, then LC_CTYPE, then LANG decide the character set.
fn has_other_locale() -> bool {
    let set = |name: &&str| std::env::var(name).ok().filter(|locale| !locale.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set);
    locale.is_some_and(|locale| !["utf-8", "utf8"].iter().any(|utf8| locale.to_ascii_lowercase().contains(utf8)))
}
