//! The core that is built into the binary, with its executable: a real service in a real deadlock, nothing else needed.
//! What the program does, and how the two files were made, stands in fixtures/demo.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use symbols::{Elf, FileBytes};

use crate::error::Error;
use crate::job::Job;
use crate::session::{Session, Source};
use crate::target::Search;

const CORE: &[u8] = include_bytes!("../fixtures/demo/demo.core.zst");
const EXECUTABLE: &[u8] = include_bytes!("../fixtures/demo/demo.exe.zst");

/// Opens it. `search` says where else files are looked for.
pub fn open(search: &Search, job: &Job) -> Result<Session, Error> {
    let executable = Elf::parse_at(Path::new("/srv/orders-api"), FileBytes::from_vec(unpack(EXECUTABLE)?))
        .map_err(|error| Error::Failed(format!("the executable of the demo: {error}")))?;
    let mut search = search.clone();
    search.opened.push(Arc::new(executable));
    Session::open(Source::Bytes("demo".into(), FileBytes::from_vec(unpack(CORE)?)), &search, job)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Failed(format!("the demo cannot be unpacked: {error}"));
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}
