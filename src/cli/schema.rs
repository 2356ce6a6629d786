//! `dumpscope schema`: the JSON Schema of every command's data.

use std::io::Read;
use std::process::ExitCode;

use flate2::read::GzDecoder;

use super::print;
use crate::error::Error;

/// What `views::shapes::document` says, which a test holds it against.
static SCHEMA: &[u8] = include_bytes!("../../docs/schema.json.gz");

/// Prints it.
pub(super) fn run() -> Result<ExitCode, Error> {
    let mut text = String::new();
    let read = GzDecoder::new(SCHEMA).read_to_string(&mut text);
    read.map_err(|error| Error::Failed(format!("the schema in this program: {error}")))?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
