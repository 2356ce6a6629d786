//! Dumps inside gzip and zstd: decompressed once, to a file without a name that only its owner can read, and opened from there.
//!
//! A dump is read at random places, a compressed one only from front to back. The file is sparse: pages of zeros, of which cores are full,
//! take no space. Output is bounded (see the constants); a stream that ends early or goes wrong is opened as far as it goes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use symbols::FileBytes;

use super::{Capture, format};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Problem, Subject};

/// Largest decompressed size, zeros included.
const MAX_BYTES: u64 = 64 << 30;
/// Largest ratio of what is written to what was compressed. Zeros are not written; other memory compresses 3 to 20 times.
const MAX_RATIO: u64 = 200;
/// What may be written whatever the ratio is: the structures of a small core compress well.
const MIN_LIMIT: u64 = 64 << 20;
/// Of the free space of the temporary folder, this part is left alone: a tenth.
const KEPT_FREE: u64 = 10;
/// Largest window that a zstd frame may ask for (`zstd -19` uses 8 MiB, `--ultra` and `--long` up to 128 MiB).
const MAX_WINDOW: u64 = 128 << 20;
/// Bytes decompressed at once.
const CHUNK: usize = 1 << 18;
/// Granularity of zeros that are left out.
const PAGE: usize = 4096;

// Source: RFC 1952 section 2.3.1.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}

// Source: RFC 8878 sections 3.1.1 and 3.1.2: a frame, or a skippable frame before it.
pub(super) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || (bytes.get(1..4) == Some(&[0x2a, 0x4d, 0x18]) && bytes.first().is_some_and(|byte| byte >> 4 == 5))
}

/// Opens a dump inside gzip.
pub(super) fn open_gzip(bytes: FileBytes, path: &Path, job: &Job) -> Result<Capture, Error> {
    let mut decoder = MultiGzDecoder::new(&bytes[..]);
    open("gzip", &bytes, &mut decoder, |decoder| decoder.get_ref().len(), path, job)
}

/// Opens a dump inside zstd.
pub(super) fn open_zstd(bytes: FileBytes, path: &Path, job: &Job) -> Result<Capture, Error> {
    let mut decoder = Frames::new(&bytes);
    open("zstd", &bytes, &mut decoder, |decoder| decoder.rest.len(), path, job)
}

fn open<D: Read>(
    name: &str,
    bytes: &FileBytes,
    decoder: &mut D,
    left: impl Fn(&D) -> usize,
    path: &Path,
    job: &Job,
) -> Result<Capture, Error> {
    bytes.advise_sequential();
    let refuse = |reason: String| Error::Open { path: path.to_owned(), reason };
    let temporary = |source| {
        Error::Failed(format!(
            "{}: cannot make a temporary file to decompress it ({source}); set TMPDIR to a folder with room",
            path.display()
        ))
    };
    let mut file = Sparse { file: tempfile::tempfile().map_err(temporary)?, length: 0, written: 0 };
    let limit = limit(bytes.len() as u64, &file.file);
    job.phase("decompressing", bytes.len() as u64);
    let mut chunk = vec![0; CHUNK];
    let mut before = bytes.len();
    let stopped = loop {
        let stopped = match fill(decoder, &mut chunk) {
            (0, end) => Some(end.err().map(|why| format!("the {name} stream breaks off: {why}"))),
            (len, end) => {
                if file.length == 0 {
                    // What is no dump is not decompressed to its end.
                    let start = chunk.get(..len).unwrap_or_default();
                    format::recognise(start).map_err(|reason| refuse(format!("inside {name}: {reason}")))?;
                }
                file.append(chunk.get(..len).unwrap_or_default()).map_err(temporary)?;
                let over = file.written > limit || file.length > MAX_BYTES;
                let why = end.err().map(|why| format!("the {name} stream breaks off: {why}"));
                let over = over
                    .then(|| format!("decompression stops at the limit of {limit} bytes written, {MAX_BYTES} in all"));
                why.or(over).map(Some)
            }
        };
        let now = left(decoder);
        job.advance(before.saturating_sub(now) as u64)?;
        before = now;
        if let Some(reason) = stopped {
            break reason;
        }
    };
    let at = bytes.len().saturating_sub(before);
    if file.length == 0 {
        let why = stopped.unwrap_or_else(|| format!("the {name} stream is empty"));
        return Err(refuse(format!("at {at:#x}: {why}; copy the file again")));
    }
    let length = file.length;
    let inner = FileBytes::from_file(&file.finish().map_err(temporary)?).map_err(temporary)?;
    let mut capture = format::open_plain(inner, path, job).map_err(|error| match error {
        Error::Open { path, reason } => Error::Open { path, reason: format!("inside {name}: {reason}") },
        other => other,
    })?;
    if let Some(why) = stopped {
        let message =
            format!("truncated: at {at:#x} of the compressed file {why}; {length:#x} bytes were decompressed");
        let remedy = "copy the file again; if the limit was reached, decompress it by hand";
        capture.problems.insert(0, Problem::new("truncated", Subject::Capture, message).with_remedy(remedy));
    }
    Ok(capture)
}

/// Reads until the buffer is full or the stream ends: the number of bytes, and why there are no more.
fn fill(decoder: &mut impl Read, buffer: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(len) => filled = filled.saturating_add(len),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return (filled, Err(why)),
        }
    }
    (filled, Ok(()))
}

/// Bytes that may be written for a compressed file of this size.
fn limit(compressed: u64, file: &File) -> u64 {
    // A file system that does not tell its free space tells when it is full.
    let free = rustix::fs::fstatvfs(file).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let room = free.saturating_sub(free / KEPT_FREE);
    compressed.saturating_mul(MAX_RATIO).max(MIN_LIMIT).min(room)
}

/// A file in which pages of zeros are holes.
struct Sparse {
    file: File,
    length: u64,
    written: u64,
}

impl Sparse {
    /// Appends bytes. Every call but the last passes whole pages.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        for run in bytes.chunks(PAGE).collect::<Vec<_>>().chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let len = run.iter().map(|page| page.len() as u64).sum::<u64>();
            if !run.first().is_some_and(|page| is_zero(page)) {
                self.file.seek(SeekFrom::Start(self.length))?;
                for page in run {
                    self.file.write_all(page)?;
                }
                self.written = self.written.saturating_add(len);
            }
            self.length = self.length.saturating_add(len);
        }
        Ok(())
    }

    fn finish(self) -> io::Result<File> {
        self.file.set_len(self.length)?;
        Ok(self.file)
    }
}

fn is_zero(page: &[u8]) -> bool {
    page.iter().all(|byte| *byte == 0)
}

/// The content of the frames of a zstd file, one after the other; skippable frames are skipped (`pzstd` writes them).
struct Frames<'a> {
    rest: &'a [u8],
    decoder: FrameDecoder,
    /// Whether a frame is begun.
    inside: bool,
}

impl<'a> Frames<'a> {
    fn new(bytes: &'a [u8]) -> Frames<'a> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Frames { rest: bytes, decoder, inside: false }
    }

    /// Begins the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.rest.is_empty() {
            match self.decoder.init(&mut self.rest) {
                Ok(()) => {
                    self.inside = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skip = usize::try_from(length).unwrap_or(usize::MAX);
                    self.rest = self.rest.get(skip..).ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                Err(why) => return Err(io::Error::other(why)),
            }
        }
        Ok(false)
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.inside = false;
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(stated), Some(found)) if stated != found => {
                Err(io::Error::other("the checksum differs, its content is damaged"))
            }
            _ => Ok(()),
        }
    }
}

impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        loop {
            if !self.inside && !self.next_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.rest, UptoBlocks(1)).map_err(io::Error::other)?;
            }
            let len = self.decoder.read(buffer)?;
            if len > 0 {
                return Ok(len);
            }
            self.end_frame()?;
        }
    }
}
