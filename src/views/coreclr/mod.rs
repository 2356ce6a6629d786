//! Questions that make sense of .NET alone: they are commands, documents and panes where a dump has its runtime.

pub mod clrthreads;
pub mod eeversion;

use std::sync::Arc;

use super::View;
use crate::error::Error;
use crate::job::Job;
use crate::session::coreclr::{CoreClr, KIND};
use crate::session::{Runtimes, Session};

/// The runtime's name.
pub(super) const RUNTIME: &str = KIND.name;
/// What it brings.
pub(super) static VIEWS: &[View] = &[clrthreads::VIEW, eeversion::VIEW];

/// Asks the runtime of a dump.
fn with<T>(session: &Session, job: &Job, ask: impl FnOnce(&CoreClr) -> Result<T, Error>) -> Result<T, Error> {
    let runtimes: Arc<Runtimes> = session.process()?.runtimes(job)?;
    ask(runtimes.get::<CoreClr>().ok_or_else(|| Error::Failed("there is no .NET runtime here".to_owned()))?)
}
