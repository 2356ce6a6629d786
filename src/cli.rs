//! The command line: what is asked, of which file, printed how.

mod collect;
mod guard;
mod live;
mod on_crash;
mod pick;
mod ps;
mod watch;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::commands::{Format, Outcome, Shell};
use crate::error::Error;
use crate::job::Job;
use crate::log::Log;
use crate::report::sanitize::sanitize;
use crate::report::text::Style;
use crate::session::{Session, Source};
use crate::settings::{Glyphs, Settings, Theme};
use crate::target::{Search, SourcePlace};
use crate::views::VIEWS;

/// Opens a core and says why: threads, merged stacks, lock owners, deadlocks, exceptions.
#[derive(Parser, Debug)]
#[command(name = "dumpscope", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    /// The dump: recognised by its bytes, also inside gzip or zstd
    dump: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

#[derive(Subcommand, Debug)]
enum Subcommands {
    /// Runs commands over a dump: -c, or one a line from standard input; else the terminal UI
    Analyze {
        /// The dump
        dump: PathBuf,
        /// A command to run (repeatable); 'help' lists them
        #[arg(short = 'c', long = "command", value_name = "COMMAND")]
        commands: Vec<String>,
        #[command(flatten)]
        reading: Reading,
    },
    /// Writes a core of a live process, which is stopped only while it is read
    Collect(collect::Options),
    /// Opens a running process, stopped only while it is copied: the terminal UI, or -c commands
    Live(live::Options),
    /// Opens a small real core that is built into the binary: a deadlock
    Demo {
        /// A command to run instead of the terminal UI (repeatable)
        #[arg(short = 'c', long = "command", value_name = "COMMAND")]
        commands: Vec<String>,
        #[command(flatten)]
        reading: Reading,
    },
    /// Lists the processes that can be dumped, what runs in each, and why the others cannot
    Ps(ps::Arguments),
    /// Prints the JSON Schema of every command's data
    Schema,
    /// Prints a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

/// Options of every invocation that reads a dump.
#[derive(Args, Debug, Clone, Default)]
pub struct Reading {
    /// A moved or deleted executable or library, verified by build id (repeatable)
    #[arg(long, value_name = "FILE")]
    exe: Vec<PathBuf>,
    /// A directory with symbols (repeatable)
    #[arg(long, value_name = "PATH")]
    symbols: Vec<PathBuf>,
    /// Where the dumped machine's files are
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Never asks a symbol server (none is asked today)
    #[arg(long)]
    offline: bool,
    /// One JSON object a command, one a line
    #[arg(long)]
    json: bool,
    /// Colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Colours for a light or a dark background [default: as the terminal says]
    #[arg(long, value_enum, value_name = "BACKGROUND")]
    theme: Option<Background>,
    /// Draws with ASCII alone
    #[arg(long, conflicts_with = "unicode")]
    ascii: bool,
    /// Draws with box characters, whatever the locale says
    #[arg(long)]
    unicode: bool,
    /// Where source files are: a directory, or FROM=TO where what was compiled below FROM is below TO (repeatable)
    #[arg(long, value_name = "DIR|FROM=TO")]
    source: Vec<SourcePlace>,
    /// Writes what is done to a file, never to the screen
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Says more on standard error
    #[arg(short = 'v', long)]
    verbose: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Background {
    Dark,
    Light,
}

/// Exit statuses, as INTERFACE promises.
const FAILED: u8 = 1;
const CANNOT_OPEN: u8 = 3;

impl Reading {
    fn search(&self) -> Search {
        Search {
            sysroot: self.sysroot.clone(),
            exe: self.exe.clone(),
            directories: self.symbols.clone(),
            sources: self.source.clone(),
            opened: Vec::new(),
            alone: false,
        }
    }

    /// How things are shown.
    fn settings(&self) -> Settings {
        Settings {
            theme: match self.theme {
                Some(Background::Dark) => Theme::Dark,
                Some(Background::Light) => Theme::Light,
                None => Theme::Auto,
            },
            glyphs: match (self.ascii, self.unicode) {
                (true, _) => Glyphs::Ascii,
                (false, true) => Glyphs::Unicode,
                (false, false) => Glyphs::Auto,
            },
            color: match self.color {
                Color::Always => Some(true),
                Color::Never => Some(false),
                Color::Auto => None,
            },
            ..Settings::default()
        }
    }

    /// The log of a terminal UI: what `-v` says more would be written over the screen.
    fn screen_log(&self) -> Result<Log, Error> {
        Log::open(self.log.as_deref(), false)
    }

    /// The log of commands that are printed.
    fn log(&self) -> Result<Log, Error> {
        Log::open(self.log.as_deref(), self.verbose)
    }

    fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text(self.color.style()) }
    }
}

impl Color {
    /// For text on standard output.
    fn style(self) -> Style {
        let color = match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stdout().is_terminal()
            }
        };
        Style { color }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain("error", &error.to_string());
            match error {
                Error::Open { .. } => ExitCode::from(CANNOT_OPEN),
                Error::Usage(_) => ExitCode::from(2),
                _ => ExitCode::from(FAILED),
            }
        }
    }
}

/// Does what a command line says.
fn dispatch(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command {
        Some(Subcommands::Analyze { dump, commands, reading }) => analyze(&dump, &commands, &reading, false),
        Some(Subcommands::Collect(options)) => collect::run(&options),
        Some(Subcommands::Live(options)) => live::run(&options),
        Some(Subcommands::Demo { commands, reading }) => demo(&commands, &reading),
        Some(Subcommands::Ps(arguments)) => ps::run(&arguments),
        Some(Subcommands::Schema) => schema(),
        Some(Subcommands::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "dumpscope", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Some(Subcommands::Man) => clap_mangen::Man::new(Cli::command())
            .render(&mut io::stdout())
            .map(|()| ExitCode::SUCCESS)
            .map_err(|source| Error::Io { path: "standard output".into(), source }),
        None => match cli.dump {
            Some(dump) => analyze(&dump, &[], &cli.reading, true),
            None if is_interactive() => pick::run(&live::request(0, false, live::MAX_PAUSE), &cli.reading),
            None => Err(Error::Usage("name a dump, or a running process with live -p PID; see --help".to_owned())),
        },
    }
}

/// Whether there is somebody to show a screen to.
fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// One line on standard error. Nothing can be done where even that fails.
fn complain(word: &str, message: &str) {
    let _ = writeln!(io::stderr(), "dumpscope: {word}: {}", sanitize(message));
}

fn analyze(dump: &std::path::Path, commands: &[String], reading: &Reading, bare: bool) -> Result<ExitCode, Error> {
    if commands.is_empty() && is_interactive() {
        crate::tui::open(dump, &reading.search(), &reading.settings(), reading.screen_log()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = reading.log()?;
    let session = match Session::open(Source::File(dump.to_owned()), &reading.search(), &Job::default()) {
        Ok(session) => Arc::new(session),
        Err(error) => {
            if reading.json {
                printed(|out, job| crate::report::json::Envelope::new(out, job).error("open", &error, &[]))?;
            }
            return Err(error);
        }
    };
    run(session, commands, reading, bare, log)
}

fn demo(commands: &[String], reading: &Reading) -> Result<ExitCode, Error> {
    let session = Arc::new(crate::demo::open(&reading.search(), &Job::default())?);
    if commands.is_empty() && is_interactive() {
        crate::tui::browse(session, &reading.settings(), reading.screen_log()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = reading.log()?;
    run(session, commands, reading, true, log)
}

/// Runs commands from `-c`; without any: `summary` where `bare`, else one a line from standard input.
fn run(session: Arc<Session>, commands: &[String], reading: &Reading, bare: bool, log: Log) -> Result<ExitCode, Error> {
    log.opened(&session);
    let mut shell = Shell::new(session);
    let mut runner = Runner { format: reading.format(), failed: false, log };
    if !reading.json {
        for problem in shell.session.problems() {
            complain("warning", &problem.to_string());
        }
    }
    if !commands.is_empty() {
        for line in commands {
            if !runner.run(&mut shell, line)? {
                break;
            }
        }
    } else if bare {
        runner.run(&mut shell, "summary")?;
    } else {
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|source| Error::Io { path: "standard input".into(), source })?;
            if !line.trim().is_empty() && !runner.run(&mut shell, &line)? {
                break;
            }
        }
    }
    // The process ends, and the kernel takes everything at once: piece by piece it takes as long as to print the answer.
    std::mem::forget(shell);
    Ok(if runner.failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

struct Runner {
    format: Format,
    failed: bool,
    log: Log,
}

impl Runner {
    /// Runs and prints one command; false when the session ends.
    fn run(&mut self, shell: &mut Shell, line: &str) -> Result<bool, Error> {
        let begun = Instant::now();
        let result = shell.run(line, &Job::default());
        let failure = result.as_ref().err().map(ToString::to_string);
        self.log.ran(line, begun.elapsed(), failure.as_deref());
        let warnings = printed(|out, job| shell.print(line, &result, self.format, out, job))?;
        self.log.problems(&warnings);
        for problem in warnings {
            complain("warning", &problem.to_string());
        }
        if let Err(error) = &result {
            self.failed = true;
            complain("error", &format!("{line}: {error}"));
        }
        Ok(!matches!(result, Ok(Outcome::Exit)))
    }
}

fn print(text: &str) -> Result<(), Error> {
    printed(|out, _| out.write_all(text.as_bytes()).map_err(lost))
}

/// Bytes that are held before they go to standard output.
const HELD: usize = 64 * 1024;

/// Lets something print to standard output, as it is made.
fn printed<T>(write: impl FnOnce(&mut dyn Write, &Job) -> Result<T, Error>) -> Result<T, Error> {
    let mut out = io::BufWriter::with_capacity(HELD, io::stdout().lock());
    let value = write(&mut out, &Job::default())?;
    out.flush().map_err(lost)?;
    Ok(value)
}

fn lost(source: io::Error) -> Error {
    Error::Io { path: "standard output".into(), source }
}

fn schema() -> Result<ExitCode, Error> {
    let mut commands: serde_json::Map<String, serde_json::Value> =
        VIEWS.iter().map(|view| (view.name.to_owned(), (view.schema)().to_value())).collect();
    commands.insert(ps::NAME.to_owned(), ps::schema().to_value());
    let schema = serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dumpscope: one line a command",
        "description": "Each line is an object with schema, command, data or error, warnings. Under $defs: the data of each command.",
        "type": "object",
        "required": ["schema", "command", "warnings"],
        "properties": {
            "schema": { "const": crate::report::json::SCHEMA },
            "command": { "type": "string" },
            "data": { "description": "the shape of $defs/COMMAND" },
            "error": { "$ref": "#/$defs/message" },
            "warnings": { "type": "array", "items": { "$ref": "#/$defs/message" } },
        },
        "$defs": with_message(commands),
    });
    let text = serde_json::to_string_pretty(&schema).map_err(|error| Error::Failed(error.to_string()))?;
    print(&format!("{text}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn with_message(
    mut definitions: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    let message = serde_json::json!({
        "type": "object",
        "required": ["code", "message"],
        "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
    });
    definitions.insert("message".to_owned(), message);
    definitions
}
