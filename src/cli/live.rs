//! `dumpscope live`: a running process, captured into memory and opened as a dump is.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::reading::Reading;
use super::run::{From, run as run_commands};
use super::{collect, complain, is_interactive, opened, pick};
use crate::capture::collect::{Destination, Kind, Mode, Request};
use crate::error::Error;
use crate::job::Job;
use crate::session::Session;

/// Longest time for which a process is stopped, unless another is named.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Options of `live`.
#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    process: collect::Which,
    /// Copies the heap too; the process is stopped for longer
    #[arg(long)]
    heap: bool,
    /// Longest time in seconds for which the process may be stopped; then it goes on, and nothing is shown
    #[arg(long, value_name = "SECONDS", default_value_t = MAX_PAUSE.as_secs_f64())]
    max_pause: f64,
    /// A command to run instead of the terminal UI (repeatable); 'refresh' captures again, 'moved' compares
    #[arg(short = 'c', long = "command", value_name = "COMMAND")]
    pub(super) commands: Vec<String>,
    #[command(flatten)]
    pub(super) reading: Reading,
}

/// Runs it.
pub(super) fn run(options: &Options) -> Result<ExitCode, Error> {
    let max_pause = Duration::try_from_secs_f64(options.max_pause)
        .map_err(|_| Error::Usage(format!("--max-pause {}: a number of seconds was expected", options.max_pause)))?;
    let reading = &options.reading;
    let search = reading.search();
    let shows_screen = options.commands.is_empty() && is_interactive();
    if shows_screen && !options.process.is_named() {
        return pick::run(&request(0, options.heap, max_pause), reading);
    }
    let request = request(opened(options.process.pid(), reading)?, options.heap, max_pause);
    if shows_screen {
        crate::tui::live(&request, &search, &reading.settings(), reading.screen_log()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = reading.log()?;
    let session = Arc::new(opened(Session::live(&request, &search, &Job::default()), reading)?);
    if !reading.json {
        let pause_ms = session.pause().unwrap_or_default().as_secs_f64() * 1000.0;
        complain("note", &format!("process {} was stopped for {pause_ms:.1} ms", request.pid));
    }
    run_commands(session, &options.commands, reading, From::Input.unless_a_person_types(), log)
}

/// What is captured of a process.
pub(super) fn request(pid: u32, heap: bool, max_pause: Duration) -> Request {
    let kind = if heap { Kind::Heap } else { Kind::Mini };
    let (mode, to) = (Mode::Direct, Destination::Memory);
    Request { pid, kind, mode, to, compress: false, max_pause, buffer: 0, guard: None, needed: None }
}
