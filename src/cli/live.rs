//! `dumpscope live`: a running process, captured into memory and opened as a dump is.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Reading, collect, complain, run as run_commands};
use crate::capture::collect::{Destination, Kind, Mode, Request};
use crate::error::Error;
use crate::job::Job;
use crate::session::Session;

/// Options of `live`.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    process: collect::Which,
    /// Copies the heap too; the process is stopped for longer
    #[arg(long)]
    heap: bool,
    /// Longest time in seconds for which the process may be stopped; then it goes on, and nothing is shown
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    max_pause: f64,
    /// A command to run instead of the terminal UI (repeatable); 'refresh' captures again, 'moved' compares
    #[arg(short = 'c', long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
    #[command(flatten)]
    reading: Reading,
}

/// Runs it.
pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    let max_pause = Duration::try_from_secs_f64(options.max_pause)
        .map_err(|_| Error::Usage(format!("--max-pause {}: a number of seconds was expected", options.max_pause)))?;
    let request = Request {
        pid: options.process.pid()?,
        kind: if options.heap { Kind::Heap } else { Kind::Mini },
        mode: Mode::Direct,
        to: Destination::Memory,
        compress: false,
        max_pause,
    };
    let reading = &options.reading;
    let search = reading.search();
    if options.commands.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal() {
        crate::tui::live(&request, &search, reading.color(), reading.screen_log()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = reading.log()?;
    let session = Arc::new(Session::live(&request, &search, &Job::default())?);
    if !reading.json {
        let pause_ms = session.pause().unwrap_or_default().as_secs_f64() * 1000.0;
        complain("note", &format!("process {} was stopped for {pause_ms:.1} ms", request.pid));
    }
    run_commands(session, &options.commands, reading, options.commands.is_empty() && io::stdin().is_terminal(), log)
}
