//! Which formats are known, and opening a dump by its bytes.

use std::path::Path;

use symbols::FileBytes;

use super::{Capture, elf_core};
use crate::error::Error;
use crate::job::Job;

/// A kind of dump: how it is recognised and how it is opened.
pub struct Format {
    /// What it is called.
    pub name: &'static str,
    /// Whether the bytes are one. Looks at the first few only.
    pub probe: fn(&[u8]) -> bool,
    /// Opens it. The path is for messages.
    pub open: fn(FileBytes, &Path, &Job) -> Result<Capture, Error>,
}

/// Every format, in the order in which they are asked.
pub static FORMATS: &[Format] = &[Format { name: "ELF core", probe: elf_core::probe, open: elf_core::open }];

/// Opens a dump. It is recognised by its bytes, never by its name. Reads headers only.
pub fn open(path: &Path, job: &Job) -> Result<Capture, Error> {
    let bytes = FileBytes::open(path).map_err(|source| match source.kind() {
        // What is not a file of bytes is no dump; the system's other reasons speak for themselves.
        std::io::ErrorKind::InvalidInput => {
            Error::Open { path: path.to_owned(), reason: format!("{source}; a core file was expected") }
        }
        _ => Error::Open { path: path.to_owned(), reason: source.to_string() },
    })?;
    open_bytes(bytes, path, job)
}

/// Opens a dump whose bytes are at hand; the path is for messages.
pub fn open_bytes(bytes: FileBytes, path: &Path, job: &Job) -> Result<Capture, Error> {
    match FORMATS.iter().find(|format| (format.probe)(&bytes)) {
        Some(format) => (format.open)(bytes, path, job),
        None => Err(Error::Open { path: path.to_owned(), reason: unknown(&bytes) }),
    }
}

/// What an unknown file looks like, what was expected, what to try.
fn unknown(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(64)).unwrap_or_default();
    let known: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    let expected = format!("expected the start of one of: {}", known.join(", "));
    if bytes.is_empty() {
        return "the file is empty; was the disk full, or the core size limited (ulimit -c)?".to_owned();
    }
    if head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return format!("at 0x0: a text file; {expected}");
    }
    if head.iter().all(|byte| *byte == 0) {
        return format!("at 0x0: zeros; {expected}; the core was not written (disk full?)");
    }
    let start: Vec<String> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("at 0x0: {}; {expected}", start.join(" "))
}
