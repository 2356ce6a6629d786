//! Commands from `-c` or standard input, run and printed one after the other.

use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::reading::Reading;
use super::{FAILED, complain, printed};
use crate::commands::{Format, Outcome, Shell};
use crate::error::Error;
use crate::job::Job;
use crate::log::Log;
use crate::session::Session;

/// Where commands come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// There are none but those of `-c`: `summary` without any.
    Options,
    /// One a line from standard input, where `-c` gives none; `summary` where that is empty.
    Input,
}

impl From {
    /// A terminal that cannot show the screen is not waited for: nobody was asked to type.
    pub(super) fn unless_a_person_types(self) -> From {
        if io::stdin().is_terminal() { From::Options } else { self }
    }
}

/// Runs them all.
pub(super) fn run(
    session: Arc<Session>,
    commands: &[String],
    reading: &Reading,
    from: From,
    log: Log,
) -> Result<ExitCode, Error> {
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
    } else if from == From::Options {
        runner.run(&mut shell, SUMMARY)?;
    } else {
        let mut any = false;
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|source| Error::Io { path: "standard input".into(), source })?;
            if line.trim().is_empty() {
                continue;
            }
            any = true;
            if !runner.run(&mut shell, &line)? {
                break;
            }
        }
        if !any {
            runner.run(&mut shell, SUMMARY)?;
        }
    }
    // The process ends, and the kernel takes everything at once: piece by piece it takes as long as to print the answer.
    std::mem::forget(shell);
    Ok(if runner.failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

/// What is said of a dump where nothing is asked.
const SUMMARY: &str = "summary";

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
