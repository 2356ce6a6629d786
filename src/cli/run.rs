//! Commands from `-c` or standard input, run and printed one after the other.

use std::io::{self, BufRead, IsTerminal, Read};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::reading::Reading;
use super::{FAILED, complain, printed};
use crate::commands::{Format, Outcome, Shell};
use crate::error::Error;
use crate::job::Job;
use crate::log::Log;
use crate::model::Problem;
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
    let told = shell.session.problems();
    if !reading.json {
        told.iter().for_each(warn);
    }
    let mut runner = Runner { format: reading.format(), failed: false, told, log };
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
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input)? {
            let goes_on = match line {
                Ok(line) if line.trim().is_empty() => continue,
                Ok(line) => runner.run(&mut shell, &line)?,
                Err((line, why)) => runner.tell(&shell, &line, Err(why), Instant::now())?,
            };
            any = true;
            if !goes_on {
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

/// Longest line of standard input that is taken, in bytes.
const MAX_LINE: u64 = 64 * 1024;
/// Letters of a line that is refused by which it is called.
const SHOWN: usize = 60;

/// A line, or the beginning of one that is no text, and why it is none.
type Line = Result<String, (String, Error)>;

/// The next line; nothing at the end.
fn next_line(input: &mut impl BufRead) -> Result<Option<Line>, Error> {
    let failed = |source| Error::Io { path: "standard input".into(), source };
    let mut line = Vec::new();
    if input.take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)? == 0 {
        return Ok(None);
    }
    let refused = |line: &[u8], why: String| {
        let whole = String::from_utf8_lossy(line);
        let mut shown: String = whole.chars().take(SHOWN).collect();
        if shown.len() < whole.len() {
            shown.push('…');
        }
        Ok(Some(Err((shown, Error::Usage(why)))))
    };
    if line.pop_if(|last| *last == b'\n').is_none() && !input.fill_buf().map_err(failed)?.is_empty() {
        input.skip_until(b'\n').map_err(failed)?;
        return refused(&line, format!("the line is longer than {MAX_LINE} bytes"));
    }
    match String::from_utf8(line) {
        Ok(line) => Ok(Some(Ok(line))),
        Err(error) => refused(error.as_bytes(), "the line is not UTF-8".to_owned()),
    }
}

struct Runner {
    format: Format,
    failed: bool,
    /// Problems of the session that were told.
    told: Vec<Problem>,
    log: Log,
}

impl Runner {
    /// Runs and prints one command; false when the session ends.
    fn run(&mut self, shell: &mut Shell, line: &str) -> Result<bool, Error> {
        let begun = Instant::now();
        let result = shell.run(line, &Job::default());
        self.tell(shell, line, result, begun)
    }

    /// Prints what came of a command; false when the session ends.
    fn tell(
        &mut self,
        shell: &Shell,
        line: &str,
        result: Result<Outcome, Error>,
        begun: Instant,
    ) -> Result<bool, Error> {
        let failure = result.as_ref().err().map(ToString::to_string);
        self.log.ran(line, begun.elapsed(), failure.as_deref());
        let warnings = printed(|out, job| shell.print(line, &result, self.format, out, job))?;
        let fresh = fresh(&mut self.told, shell.session.problems(), warnings);
        self.log.problems(&fresh);
        if !matches!(self.format, Format::Json) {
            fresh.iter().for_each(warn);
        }
        if let Err(error) = &result {
            self.failed = true;
            complain("error", &format!("{line}: {error}"));
        }
        Ok(!matches!(result, Ok(Outcome::Exit)))
    }
}

fn warn(problem: &Problem) {
    complain("warning", &problem.to_string());
}

/// What is told after a command: what the session knows since then, and what its answer alone tells.
fn fresh(told: &mut Vec<Problem>, session: Vec<Problem>, answer: Vec<Problem>) -> Vec<Problem> {
    let before = told.len();
    Problem::join(told, session);
    let of_answer = answer.into_iter().filter(|problem| !told.contains(problem));
    told.iter().skip(before).cloned().chain(of_answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Subject;

    #[test]
    fn a_problem_that_the_session_finds_later_is_told_once_and_those_of_an_answer_with_it() {
        let of = |code: &'static str| Problem::new(code, Subject::Capture, code);
        let (cut, heap, lock) = (of("truncated"), of("heap-damaged"), of("lock-unreadable"));
        let mut told = vec![cut.clone()];
        let later = vec![cut.clone(), heap.clone()];
        // The answer's view tells that of the heap, too.
        assert_eq!(fresh(&mut told, later.clone(), vec![heap.clone(), lock.clone()]), [heap.clone(), lock.clone()]);
        assert_eq!(fresh(&mut told, later.clone(), vec![heap]), []);
        assert_eq!(fresh(&mut told, later, vec![lock.clone()]), [lock]);
    }
}
