//! The terminal UI.

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::session::Session;
use crate::target::Search;

/// Opens a dump in the terminal.
pub fn open(_dump: &Path, _search: &Search) -> Result<(), Error> {
    Err(Error::Failed("the terminal UI is not built yet; use 'analyze DUMP -c COMMAND'".to_owned()))
}

/// Browses an opened dump in the terminal.
pub fn browse(_session: Arc<Session>) -> Result<(), Error> {
    Err(Error::Failed("the terminal UI is not built yet; use -c COMMAND".to_owned()))
}
