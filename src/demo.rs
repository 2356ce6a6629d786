//! The core that is built into the binary.

use crate::error::Error;
use crate::job::Job;
use crate::session::Session;

/// Opens it.
pub fn open(_job: &Job) -> Result<Session, Error> {
    Err(Error::Failed("no demo core is built in yet".to_owned()))
}
