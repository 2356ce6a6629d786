//! Which formats are known, and opening a dump by its bytes.

use std::io;
use std::path::Path;

use symbols::FileBytes;

use super::compressed::{self, Unwrapped};
use super::{Opened, elf_core, foreign};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Problem, Subject};

/// A kind of dump: how it is recognised and how it is opened.
pub struct Format {
    /// What it is called.
    pub name: &'static str,
    /// Whether the bytes are one. Looks at the first few only.
    pub probe: fn(&[u8]) -> bool,
    /// Opens it. The path is for messages.
    pub open: fn(FileBytes, &Path, &Job) -> Result<Opened, Error>,
}

/// Every format, in the order in which they are asked.
pub static FORMATS: &[Format] = &[Format { name: "ELF core", probe: elf_core::probe, open: elf_core::open }];

/// Opens a dump of one of `formats` ([`FORMATS`]). It is recognised by its bytes, never by its name. Reads headers only.
pub fn open(path: &Path, formats: &[Format], job: &Job) -> Result<Opened, Error> {
    let bytes = FileBytes::open_scattered(path).map_err(|source| {
        let reason = match source.kind() {
            io::ErrorKind::InvalidInput if path.is_dir() => "a directory; name the core file in it".to_owned(),
            io::ErrorKind::InvalidInput => format!("{source}; a core file was expected"),
            _ => source.to_string(),
        };
        Error::Open { path: path.to_owned(), reason }
    })?;
    open_bytes(bytes, path, formats, job)
}

/// Opens a dump whose bytes are at hand, be they compressed (once) or not. The path is for messages.
pub fn open_bytes(bytes: FileBytes, path: &Path, formats: &[Format], job: &Job) -> Result<Opened, Error> {
    let Some(wrapping) = compressed::Wrapping::of(&bytes) else {
        return open_plain(bytes, path, formats, job);
    };
    let inside = |reason: String| Error::Open { path: path.to_owned(), reason: format!("inside {wrapping}: {reason}") };
    // What is no dump is not decompressed to its end.
    let is_wanted = |content: &[u8]| recognise(content, formats).map(|_| ()).map_err(inside);
    let Unwrapped { bytes, problem, unchecked } = wrapping.unwrap(&bytes, path, &is_wanted, job)?;
    let mut opened = open_plain(bytes, path, formats, job).map_err(|error| match error {
        Error::Open { reason, .. } => inside(reason),
        other => other,
    })?;
    if let Some(why) = problem {
        let remedy = "copy the file again; if the limit was reached, decompress it by hand";
        let problem = Problem::new("truncated", Subject::Capture, why).with_remedy(remedy);
        opened.problems_mut().insert(0, problem);
    }
    if unchecked {
        let why =
            format!("the {wrapping} file has more zeros than are held against its checksum: that was not checked");
        let problem = Problem::new("checksum-unchecked", Subject::Capture, why).with_remedy("zstd -t checks it");
        opened.problems_mut().push(problem);
    }
    Ok(opened)
}

/// Opens a dump that is not wrapped.
fn open_plain(bytes: FileBytes, path: &Path, formats: &[Format], job: &Job) -> Result<Opened, Error> {
    let format = recognise(&bytes, formats).map_err(|reason| Error::Open { path: path.to_owned(), reason })?;
    (format.open)(bytes, path, job)
}

/// The format of a dump that begins with these bytes; the error says what they are instead.
fn recognise<'a>(bytes: &[u8], formats: &'a [Format]) -> Result<&'a Format, String> {
    let names = || formats.iter().map(|format| format.name).collect::<Vec<_>>().join(", ");
    formats.iter().find(|format| (format.probe)(bytes)).ok_or_else(|| foreign::explain(bytes, &names()))
}
