//! Dumps inside gzip and zstd: decompressed once, to a file without a name that only its owner can read, and opened from there.
//!
//! A dump is read at random places, a compressed one only from front to back. The file is sparse: pages of zeros, of which cores are full,
//! take no space, and long runs of them in zstd no time. Output is bounded (see the constants); a stream that ends early or goes wrong is
//! opened as far as it goes.

mod frames;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use symbols::FileBytes;

use self::frames::Frames;
use crate::error::Error;
use crate::job::{Job, Unit};

/// Most bytes that are decompressed, one by one.
const MAX_BYTES: u64 = 64 << 30;
/// Largest decompressed size, with the zeros that cost nothing.
const MAX_SIZE: u64 = 4 << 40;
/// Largest ratio of what is written to what was compressed. Zeros are not written; other memory compresses 3 to 20 times.
const MAX_RATIO: u64 = 200;
/// What may be written whatever the ratio is: the structures of a small core compress well.
const MIN_LIMIT: u64 = 64 << 20;
/// Of the free space of the temporary folder, this part is left alone: a tenth.
const KEPT_FREE: u64 = 10;
/// Bytes decompressed at once.
const CHUNK: usize = 1 << 18;
/// Granularity of zeros that are left out.
const PAGE: usize = 4096;

/// What a dump may be wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Gzip,
    Zstd,
}

impl Wrapping {
    /// What the bytes are wrapped in, if they are.
    pub(super) fn of(bytes: &[u8]) -> Option<Wrapping> {
        // Source: RFC 1952 section 2.3.1.
        if bytes.starts_with(&[0x1f, 0x8b, 8]) {
            return Some(Wrapping::Gzip);
        }
        // Source: RFC 8878 sections 3.1.1 and 3.1.2: a frame, or a skippable frame before it.
        let skippable =
            bytes.get(1..4) == Some(&[0x2a, 0x4d, 0x18]) && bytes.first().is_some_and(|byte| byte >> 4 == 5);
        (skippable || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])).then_some(Wrapping::Zstd)
    }

    /// Decompresses what is inside. `is_wanted` sees the beginning, and fails for what need not be decompressed. The path is for messages.
    pub(super) fn unwrap(
        self,
        bytes: &FileBytes,
        path: &Path,
        is_wanted: &dyn Fn(&[u8]) -> Result<(), Error>,
        job: &Job,
    ) -> Result<Unwrapped, Error> {
        bytes.advise_sequential();
        match self {
            Wrapping::Gzip => self.decompress(bytes, &mut MultiGzDecoder::new(&bytes[..]), path, is_wanted, job),
            Wrapping::Zstd => self.decompress(bytes, &mut Frames::new(bytes), path, is_wanted, job),
        }
    }
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wrapping::Gzip => "gzip",
            Wrapping::Zstd => "zstd",
        })
    }
}

/// What was inside.
pub(super) struct Unwrapped {
    /// The bytes, as far as they could be decompressed.
    pub bytes: FileBytes,
    /// Why these are not all.
    pub problem: Option<String>,
    /// Whether they hold more zeros than are held against a checksum.
    pub unchecked: bool,
}

/// What comes next of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// So many bytes were put into the buffer; none at the end.
    Bytes(usize),
    /// So many zeros.
    Zeros(u64),
}

/// A stream that is decompressed from front to back.
trait Stream {
    /// What comes next.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<Next>;
    /// Compressed bytes that are left.
    fn left(&self) -> usize;
    /// Whether a checksum was not held against its content.
    fn unchecked(&self) -> bool {
        false
    }
}

impl Stream for MultiGzDecoder<&[u8]> {
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        self.read(buffer).map(Next::Bytes)
    }

    fn left(&self) -> usize {
        self.get_ref().len()
    }
}

impl Wrapping {
    fn decompress(
        self,
        bytes: &FileBytes,
        stream: &mut impl Stream,
        path: &Path,
        is_wanted: &dyn Fn(&[u8]) -> Result<(), Error>,
        job: &Job,
    ) -> Result<Unwrapped, Error> {
        let refuse = |reason: String| Error::Open { path: path.to_owned(), reason };
        let temporary = |source| {
            Error::Failed(format!(
                "{}: cannot make a temporary file to decompress it ({source}); set TMPDIR to a folder with room",
                path.display()
            ))
        };
        let mut file = Sparse { file: tempfile::tempfile().map_err(temporary)?, length: 0, zeros: 0, written: 0 };
        let limit = limit(bytes.len() as u64, &file.file);
        job.phase_of(Unit::Bytes, "decompressing", bytes.len() as u64);
        let mut chunk = vec![0; CHUNK];
        let mut before = bytes.len();
        let stopped = loop {
            let (len, end) = fill(stream, &mut chunk);
            if file.length == 0 {
                let beginning = beginning(&mut chunk, len, &end);
                if !beginning.is_empty() {
                    is_wanted(beginning)?;
                }
            }
            let content = chunk.get(..len).unwrap_or_default();
            file.append(content).map_err(temporary)?;
            let stopped = match end {
                End::Full => None,
                End::Zeros(zeros) => {
                    file.append_zeros(zeros);
                    None
                }
                End::Whole => Some(None),
                End::Broken(why) => Some(Some(format!("the {self} stream {}", breakage(&why)))),
            };
            let decompressed = file.length.saturating_sub(file.zeros);
            let over = file.written > limit || decompressed > MAX_BYTES || file.length > MAX_SIZE;
            let limits = || format!("{limit} bytes written, {MAX_BYTES} with zeros, {MAX_SIZE} in all");
            let stopped =
                stopped.or_else(|| over.then(|| Some(format!("decompression stops at the limit of {}", limits()))));
            let now = stream.left();
            job.advance(before.saturating_sub(now) as u64)?;
            before = now;
            if let Some(reason) = stopped {
                break reason;
            }
        };
        let at = bytes.len().saturating_sub(before);
        if file.length == 0 {
            let why = stopped.unwrap_or_else(|| format!("the {self} stream is empty"));
            return Err(refuse(format!("at {at:#x}: {why}; copy the file again")));
        }
        let length = file.length;
        let inner = FileBytes::from_file(&file.finish().map_err(temporary)?).map_err(temporary)?;
        let problem = stopped.map(|why| {
            format!("truncated: at {at:#x} of the compressed file {why}; {length:#x} bytes were decompressed")
        });
        Ok(Unwrapped { bytes: inner, problem, unchecked: stream.unchecked() })
    }
}

/// Why a buffer is filled no further.
enum End {
    Full,
    /// So many zeros follow.
    Zeros(u64),
    /// The stream has ended.
    Whole,
    Broken(io::Error),
}

/// What the file begins with: what was decompressed, and as many of the zeros that follow as the buffer has room for.
fn beginning<'a>(chunk: &'a mut [u8], len: usize, end: &End) -> &'a [u8] {
    let zeros = if let End::Zeros(zeros) = end { usize::try_from(*zeros).unwrap_or(usize::MAX) } else { 0 };
    let all = len.saturating_add(zeros).min(chunk.len());
    chunk.get_mut(len..all).unwrap_or_default().fill(0);
    chunk.get(..all).unwrap_or_default()
}

/// What went wrong.
fn breakage(why: &io::Error) -> String {
    if why.kind() == io::ErrorKind::UnexpectedEof {
        "breaks off in its middle: the file is cut".to_owned()
    } else {
        format!("is damaged: {why}")
    }
}

/// Reads until the buffer is full, or zeros or the end come: the number of bytes, and what ended them.
fn fill(stream: &mut impl Stream, buffer: &mut [u8]) -> (usize, End) {
    let mut filled = 0usize;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.next(rest) {
            Ok(Next::Bytes(0)) => return (filled, End::Whole),
            Ok(Next::Bytes(len)) => filled = filled.saturating_add(len),
            Ok(Next::Zeros(zeros)) => return (filled, End::Zeros(zeros)),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return (filled, End::Broken(why)),
        }
    }
    (filled, End::Full)
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
    /// Bytes of it that were appended as zeros.
    zeros: u64,
    written: u64,
}

impl Sparse {
    /// Appends bytes.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Up to the next page of the file, then page by page.
        let begun = usize::try_from(self.length % PAGE as u64).unwrap_or(0);
        let (first, rest) = bytes.split_at(if begun == 0 { 0 } else { bytes.len().min(PAGE.saturating_sub(begun)) });
        let pages: Vec<&[u8]> =
            std::iter::once(first).chain(rest.chunks(PAGE)).filter(|page| !page.is_empty()).collect();
        let mut at = 0usize;
        for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let len = run.iter().map(|page| page.len()).sum::<usize>();
            let end = at.saturating_add(len);
            if !run.first().is_some_and(|page| is_zero(page)) {
                self.file.write_all_at(bytes.get(at..end).unwrap_or_default(), self.length)?;
                self.written = self.written.saturating_add(len as u64);
            }
            self.length = self.length.saturating_add(len as u64);
            at = end;
        }
        Ok(())
    }

    fn append_zeros(&mut self, zeros: u64) {
        self.length = self.length.saturating_add(zeros);
        self.zeros = self.zeros.saturating_add(zeros);
    }

    fn finish(self) -> io::Result<File> {
        self.file.set_len(self.length)?;
        Ok(self.file)
    }
}

fn is_zero(page: &[u8]) -> bool {
    // Words first: byte by byte takes ten times as long.
    let (words, rest) = page.as_chunks::<32>();
    words.iter().all(|word| *word == [0; 32]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros_are_holes_wherever_zeros_are_appended() {
        let mut file = Sparse { file: tempfile::tempfile().expect("a file"), length: 0, zeros: 0, written: 0 };
        file.append(b"ab").expect("written");
        file.append_zeros(3);
        // To the end of the first page, a page of zeros, and one byte of the third.
        let mut bytes = vec![0; PAGE - 5];
        bytes[0] = b'c';
        bytes.extend(vec![0; PAGE]);
        bytes.push(b'd');
        file.append(&bytes).expect("written");
        assert_eq!((file.length, file.zeros, file.written), (2 * PAGE as u64 + 1, 3, 2 + PAGE as u64 - 5 + 1));
        let mut text = Vec::new();
        let mut file = file.finish().expect("a file");
        std::io::Seek::rewind(&mut file).expect("a file");
        file.read_to_end(&mut text).expect("read");
        let expected = [b"ab\0\0\0c".as_slice(), &vec![0; 2 * PAGE - 6], b"d"].concat();
        assert!(text == expected, "{} bytes", text.len());
    }
}
