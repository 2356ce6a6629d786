//! `dumpscope collect --watch`: a dump when memory, processor time, a hang or a signal asks for it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::complain;
use crate::capture::collect::{Destination, Identity, Request};
use crate::error::Error;
use crate::job::Job;
use crate::processes::watch::{self, Condition, Ended, Pace};

/// What is watched for, and how many dumps are taken.
#[derive(Args, Debug)]
pub(super) struct Watches {
    /// Waits for a condition and dumps then (repeatable, the first that is true): rss>2G, cpu>90%[:SECONDS],
    /// hang:SECONDS[:THREAD|:*], signal:SIGABRT
    #[arg(long = "watch", value_name = "CONDITION")]
    conditions: Vec<Condition>,
    /// Dumps until the watch ends
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "conditions")]
    max: u32,
    /// Shortest time in seconds between two dumps
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "conditions")]
    every: u64,
}

/// Takes a dump: of the running process, or of these threads of it, which are stopped, with the signals that they are about to take.
pub(super) type Dump<'a> = dyn Fn(&Request, Option<&[(u32, i32)]>) -> Result<(), Error> + Sync + 'a;

impl Watches {
    /// Whether there is anything to watch for.
    pub(super) fn is_wanted(&self) -> bool {
        !self.conditions.is_empty()
    }
}

/// Watches until all dumps are taken or the process ends.
pub(super) fn run(arguments: &Watches, request: &Request, job: &Job, dump: &Dump<'_>) -> Result<ExitCode, Error> {
    if arguments.max > 1 && matches!(request.to, Destination::Stdout) {
        return Err(Error::Usage("several dumps do not go to standard output: --max 1, or -o DIR".to_owned()));
    }
    let pace = Pace { max: arguments.max, every: Duration::from_secs(arguments.every) };
    let mut taken = 0u32;
    let ended = watch::watch(request.pid, arguments.conditions.clone(), pace, job, &mut |trigger, watched| {
        complain("note", &format!("process {}: {}", request.pid, trigger.seen));
        let request = Request { to: numbered(&request.to, taken), ..request.clone() };
        Identity::new(watched.pid, watched.start_ticks).check()?;
        dump(&request, watched.held.map(|held| held.stopped.as_slice()))?;
        taken = taken.saturating_add(1);
        Ok(())
    })?;
    match ended {
        Ended::Done => Ok(ExitCode::SUCCESS),
        Ended::Exited if taken > 0 => {
            complain("note", &format!("process {} has ended, after {taken} of {} dumps", request.pid, arguments.max));
            Ok(ExitCode::SUCCESS)
        }
        Ended::Exited => Err(Error::Failed(format!(
            "process {} has ended, and no condition was met while it was watched",
            request.pid
        ))),
    }
}

/// Where the dump of this number goes: the first to the file that was named, `core`, later ones to `core.1`, `core.2`.
fn numbered(to: &Destination, taken: u32) -> Destination {
    match to {
        Destination::File(path) if taken > 0 => Destination::File(suffixed(path, taken)),
        same => same.clone(),
    }
}

fn suffixed(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_after_the_first_have_numbers() {
        let name = |taken| match numbered(&Destination::File("/tmp/core".into()), taken) {
            Destination::File(path) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!([name(0), name(1), name(2)], ["/tmp/core", "/tmp/core.1", "/tmp/core.2"].map(PathBuf::from));
    }
}
