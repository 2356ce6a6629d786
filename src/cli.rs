//! The command line: what is asked, of which file, printed how.

mod collect;
mod config;
mod guard;
mod in_force;
mod live;
mod misspelled;
mod needed;
mod on_crash;
mod pages;
mod pick;
mod ps;
mod reading;
mod run;
mod schema;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use self::reading::Reading;
use self::run::{From, run};
use crate::error::Error;
use crate::job::Job;
use crate::report::sanitize::sanitize;
use crate::session::{Session, Source};

/// Opens a core and says why: threads, merged stacks, lock owners, deadlocks, exceptions.
#[derive(Parser, Debug)]
#[command(
    name = "dumpscope",
    version,
    after_help = "'dumpscope man' and 'dumpscope man SUBCOMMAND' print manual pages."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Subcommands>,
    /// The dump: recognised by its bytes, also inside gzip or zstd
    dump: Option<PathBuf>,
    /// A command to run instead of the terminal UI (repeatable)
    #[arg(short = 'c', long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
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
    /// Prints the settings that are in force, and whether the configuration file or the command line gave them
    Config {
        #[command(flatten)]
        reading: Reading,
    },
    /// Prints the JSON Schema of every command's data
    Schema,
    /// Prints a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, or a subcommand's
    Man {
        /// The subcommand
        subcommand: Option<String>,
    },
}

/// Exit statuses, as INTERFACE promises.
const FAILED: u8 = 1;
const CANNOT_OPEN: u8 = 3;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let done = match misspelled::subcommand(&words) {
        Some(error) => Err(error),
        None => dispatch(Cli::parse_from(words)),
    };
    match done {
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
    let Cli { command, dump, commands: before, reading } = cli;
    if let (Some(dump), Some(_)) = (&dump, &command) {
        return Err(Error::Usage(format!("{} stands before a subcommand: name the dump behind it", dump.display())));
    }
    let joined = |after: Vec<String>| before.iter().cloned().chain(after).collect::<Vec<String>>();
    // Options that stand before a subcommand which has no use for them.
    let spare = |name: &str, has_json: bool| {
        let mut needless = reading.needless();
        needless.extend((!before.is_empty()).then_some("-c"));
        needless.extend((reading.json && !has_json).then_some("--json"));
        match needless.as_slice() {
            [] => Ok(()),
            options => Err(Error::Usage(format!("{name} has no use for {}", options.join(", ")))),
        }
    };
    match command {
        Some(Subcommands::Analyze { dump, commands, reading: after }) => {
            analyze(&dump, &joined(commands), &after.after(reading).checked()?, From::Input)
        }
        Some(Subcommands::Live(mut options)) => {
            options.commands = joined(options.commands);
            options.reading = options.reading.after(reading).checked()?;
            live::run(&options)
        }
        Some(Subcommands::Demo { commands, reading: after }) => {
            demo(&joined(commands), &after.after(reading).checked()?)
        }
        Some(Subcommands::Config { reading: after }) => {
            spare("config", true)?;
            in_force::print(&after.after(reading).checked()?).map(|()| ExitCode::SUCCESS)
        }
        Some(Subcommands::Ps(arguments)) => {
            spare("ps", true)?;
            ps::run(&arguments, reading.checked()?)
        }
        Some(Subcommands::Collect(options)) => spare("collect", false).and_then(|()| collect::run(&options)),
        Some(Subcommands::Schema) => spare("schema", false).and_then(|()| schema::run()),
        Some(Subcommands::Completions { shell }) => {
            spare("completions", false)?;
            pages::completions(shell).map(|()| ExitCode::SUCCESS)
        }
        Some(Subcommands::Man { subcommand }) => {
            spare("man", false)?;
            pages::man(subcommand.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        None => match dump {
            Some(dump) => analyze(&dump, &before, &reading.checked()?, From::Options),
            None if before.is_empty() && is_interactive() => {
                pick::run(&live::request(0, false, live::MAX_PAUSE), &reading.checked()?)
            }
            None => Err(Error::Usage("name a dump, or a running process with live -p PID; see --help".to_owned())),
        },
    }
}

/// Whether there is somebody to show a screen to, on a terminal that can move its cursor.
fn is_interactive() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

/// One line on standard error. Nothing can be done where even that fails.
fn complain(word: &str, message: &str) {
    let _ = writeln!(io::stderr(), "dumpscope: {word}: {}", sanitize(message));
}

fn analyze(dump: &Path, commands: &[String], reading: &Reading, from: From) -> Result<ExitCode, Error> {
    if commands.is_empty() && is_interactive() {
        crate::tui::open(dump, &reading.search(), &reading.settings(), reading.screen_log()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = reading.log()?;
    let session = Session::open(Source::File(dump.to_owned()), &reading.search(), &Job::default());
    let session = Arc::new(opened(session, reading)?);
    run(session, commands, reading, from.unless_a_person_types(), log)
}

fn demo(commands: &[String], reading: &Reading) -> Result<ExitCode, Error> {
    let session = Arc::new(opened(crate::demo::open(&reading.search(), &Job::default()), reading)?);
    if commands.is_empty() && is_interactive() {
        crate::tui::browse(session, &reading.settings(), reading.screen_log()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = reading.log()?;
    run(session, commands, reading, From::Options, log)
}

/// What was opened. Where it was not, JSON has a line that says why, too.
fn opened<T>(what: Result<T, Error>, reading: &Reading) -> Result<T, Error> {
    if let (Err(error), true) = (&what, reading.json) {
        printed(|out, job| crate::report::json::Envelope::new(out, job).error("open", error, &[]))?;
    }
    what
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
