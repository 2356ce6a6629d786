//! One capture of a live process, in memory.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use symbols::FileBytes;

use crate::capture::collect::{self, Destination, Identity, Request};
use crate::error::Error;
use crate::job::Job;
use crate::model::Problem;

/// One capture of a live process.
#[derive(Debug)]
pub struct Snapshot {
    /// What was asked for; asked again, it gives the next.
    pub request: Request,
    /// The process.
    pub process: Identity,
    /// What to call it: `pid 4711`.
    pub path: PathBuf,
    /// How long the process was stopped.
    pub pause: Duration,
    /// When it was taken, on a clock that only rises.
    pub taken: Instant,
    /// What is missing of it.
    pub problems: Vec<Problem>,
    pub(super) bytes: FileBytes,
}

impl Snapshot {
    /// Stops the process, copies what was asked for into memory, lets it go on.
    pub fn take(process: Identity, request: &Request, job: &Job) -> Result<Snapshot, Error> {
        process.check()?;
        let request = Request { to: Destination::Memory, compress: false, ..request.clone() };
        let taken = Instant::now();
        let collected = collect::collect(&request, job, &|_| {})?;
        let bytes = collected.bytes.ok_or_else(|| Error::Failed("the capture holds no bytes".to_owned()))?;
        let path = format!("pid {}", process.pid).into();
        process.check()?;
        Ok(Snapshot { process, path, pause: collected.pause, taken, problems: collected.problems, bytes, request })
    }
}
