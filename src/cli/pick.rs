//! The processes of this machine as a list in the terminal: one is opened live, or written to a dump.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use super::reading::Reading;
use super::{Cli, dispatch};
use crate::capture::collect::{Identity, Request};
use crate::error::Error;
use crate::processes::{self, Process};
use crate::session::Session;
use crate::tui::pick::{Listed, Picker, pick};
use crate::views::Answer;
use crate::views::ps::{Order, answer};

/// Lists processes, those too that cannot be dumped, which are refused with their reason. A chosen one is opened as `request` says,
/// whose process does not matter.
pub(super) fn run(request: &Request, reading: &Reading) -> Result<ExitCode, Error> {
    let (request, search) = (request.clone(), reading.search());
    let picker = Picker {
        title: "Processes",
        list: Box::new(|job| {
            let answer = answer(processes::list(job)?, true, Order::Rss);
            let items = answer.data.processes.iter().map(item).collect();
            Ok(Listed { section: answer.section(), items })
        }),
        open: Box::new(move |process: &Identity| {
            let (process, search) = (*process, search.clone());
            let request = Request { pid: process.pid, ..request.clone() };
            let opening = move |job: &crate::job::Job| {
                process.check()?;
                Session::live(&request, &search, job).map(Arc::new)
            };
            (format!("pid {}", process.pid), Box::new(opening))
        }),
    };
    match pick(picker, &reading.settings(), reading.screen_log()?)? {
        None => Ok(ExitCode::SUCCESS),
        Some(process) => {
            process.check()?;
            let words = ["dumpscope", "collect", "-p", &process.pid.to_string()];
            let cli = Cli::try_parse_from(words).map_err(|error| Error::Failed(error.to_string()))?;
            dispatch(cli)
        }
    }
}

/// The process of a row, or why it cannot be dumped.
fn item(process: &Process) -> Result<Identity, String> {
    match process.refusals.first() {
        None => Ok(Identity::new(process.pid, process.start_ticks)),
        Some(refusal) => Err(format!("{} cannot be dumped: {}", process.pid, refusal.message)),
    }
}
