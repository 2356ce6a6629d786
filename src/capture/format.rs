//! Which formats are known, and opening a dump by its bytes.

use std::io;
use std::path::Path;

use symbols::FileBytes;

use super::{Capture, compressed, elf_core};
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

/// What a dump of any format may be wrapped in, once.
static WRAPPINGS: &[Format] = &[
    Format { name: "gzip", probe: compressed::is_gzip, open: compressed::open_gzip },
    Format { name: "zstd", probe: compressed::is_zstd, open: compressed::open_zstd },
];

/// Opens a dump. It is recognised by its bytes, never by its name. Reads headers only.
pub fn open(path: &Path, job: &Job) -> Result<Capture, Error> {
    let bytes = FileBytes::open_scattered(path).map_err(|source| {
        let expected = if source.kind() == io::ErrorKind::InvalidInput { "; a core file was expected" } else { "" };
        Error::Open { path: path.to_owned(), reason: format!("{source}{expected}") }
    })?;
    open_bytes(bytes, path, job)
}

/// Opens a dump whose bytes are at hand. The path is for messages.
pub fn open_bytes(bytes: FileBytes, path: &Path, job: &Job) -> Result<Capture, Error> {
    match WRAPPINGS.iter().find(|wrapping| (wrapping.probe)(&bytes)) {
        Some(wrapping) => (wrapping.open)(bytes, path, job),
        None => open_plain(bytes, path, job),
    }
}

/// Opens a dump that is not wrapped (again).
pub(super) fn open_plain(bytes: FileBytes, path: &Path, job: &Job) -> Result<Capture, Error> {
    let format = recognise(&bytes).map_err(|reason| Error::Open { path: path.to_owned(), reason })?;
    (format.open)(bytes, path, job)
}

/// The format of a dump that begins with these bytes; the error says what they are instead.
pub(super) fn recognise(bytes: &[u8]) -> Result<&'static Format, String> {
    FORMATS.iter().find(|format| (format.probe)(bytes)).ok_or_else(|| unknown(bytes))
}

/// What an unknown file looks like, what was expected, what to try.
fn unknown(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(64)).unwrap_or_default();
    let names = |formats: &[Format]| formats.iter().map(|format| format.name).collect::<Vec<_>>().join(", ");
    let expected = format!("expected the start of one of: {} (or {} around it)", names(FORMATS), names(WRAPPINGS));
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
