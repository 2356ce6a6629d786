//! Questions that make sense of .NET alone: they are commands, documents and panes where a dump has its runtime.

pub mod analyzeoom;
mod by_type;
pub mod clrthreads;
pub mod dumparray;
pub mod dumpasync;
pub mod dumpdelegate;
pub mod dumpexceptions;
pub mod dumphttp;
pub mod dumprequests;
pub mod dumpruntimetypes;
pub mod dumpstackobjects;
pub mod dumpvc;
pub mod eeheap;
pub mod eeversion;
pub mod ephrefs;
pub mod finalizequeue;
pub mod gchandles;
pub mod gcheapstat;
pub mod gcinfo;
pub mod gcwhere;
pub mod listnearobj;
pub mod sizestats;
pub mod syncblk;
pub mod taskstate;
pub mod threadpool;
pub mod threadpoolqueue;
pub mod threadstate;
pub mod timerinfo;
pub mod traverseheap;
pub mod verifyobj;

use std::sync::Arc;

use super::View;
use crate::error::Error;
use crate::job::Job;
use crate::report::section::Cell;
use crate::session::coreclr::{CoreClr, KIND};
use crate::session::{Runtimes, Scene, Session};

/// The runtime's name.
pub(super) const RUNTIME: &str = KIND.name;
/// What it brings.
pub(super) static VIEWS: &[View] = &[
    clrthreads::VIEW,
    dumpasync::VIEW,
    dumphttp::VIEW,
    dumpexceptions::VIEW,
    analyzeoom::VIEW,
    dumprequests::VIEW,
    eeversion::VIEW,
    syncblk::VIEW,
    threadstate::VIEW,
    threadpool::VIEW,
    threadpoolqueue::VIEW,
    timerinfo::VIEW,
    taskstate::VIEW,
    dumparray::VIEW,
    dumpvc::VIEW,
    dumpdelegate::VIEW,
    gcinfo::VIEW,
    eeheap::VIEW,
    gcheapstat::VIEW,
    gcwhere::VIEW,
    listnearobj::VIEW,
    gchandles::VIEW,
    finalizequeue::VIEW,
    dumpstackobjects::VIEW,
    verifyobj::VIEW,
    sizestats::VIEW,
    ephrefs::VIEW,
    ephrefs::TO_LARGE,
    dumpruntimetypes::VIEW,
    traverseheap::VIEW,
];

/// Asks the runtime of a dump.
fn with<T>(session: &Session, job: &Job, ask: impl FnOnce(&CoreClr) -> Result<T, Error>) -> Result<T, Error> {
    let runtimes: Arc<Runtimes> = session.process()?.runtimes(job)?;
    ask(runtimes.get::<CoreClr>().ok_or_else(|| Error::Failed("there is no .NET runtime here".to_owned()))?)
}

/// Asks it with the threads of the dump and their stacks.
fn with_scene<T>(
    session: &Session,
    job: &Job,
    ask: impl FnOnce(&CoreClr, &Scene<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let process = session.process()?;
    let runtimes = process.runtimes(job)?;
    let stacks = process.stacks(job)?;
    let scene = runtimes.scene(&process.target, process.os_threads(), &stacks);
    with(session, job, |runtime| ask(runtime, &scene))
}

/// Text, or nothing.
fn cell(text: Option<&str>) -> Cell {
    text.map_or(Cell::NONE, Cell::text)
}
