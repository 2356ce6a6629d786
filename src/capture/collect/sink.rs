//! Where a core goes: a file in which zeros are holes, a stream, or memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::OFlags;

/// Granularity of holes.
const PAGE: usize = 4096;
/// Zeros that a stream gets at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// The fastest of zstd's ordinary levels.
const LEVEL: i32 = 1;
/// Bytes of one frame of zstd. Each stands for itself, so that no more than this is kept.
const FRAME: usize = 4 << 20;
/// Cores of at least this many bytes are written past the page cache, in runs of at least that many.
const DIRECT_FROM: u64 = 1 << 30;
const DIRECT_RUN: usize = 64 << 10;
/// Largest core that is kept in memory.
const MAX_MEMORY: u64 = 512 << 20;

/// A place for a core. Contents come in ascending order of their offsets; what is not written is zero.
pub(super) enum Sink {
    /// A file; pages of zeros take no space.
    File(Disk),
    /// A stream, at a position.
    Stream(Box<dyn Write + Send>, u64),
    /// Memory.
    Memory(Vec<u8>),
}

/// A file on a disk, written through the page cache or past it.
pub(super) struct Disk {
    file: File,
    /// The same file, opened with O_DIRECT.
    direct: Option<File>,
}

impl Disk {
    /// Through the page cache.
    pub(super) fn new(file: File) -> Disk {
        Disk { file, direct: None }
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let is_aligned = bytes.as_ptr().addr().is_multiple_of(PAGE) && offset.is_multiple_of(PAGE as u64);
        let whole = bytes.len().saturating_sub(bytes.len() % PAGE);
        let Some(direct) = self.direct.as_ref().filter(|_| is_aligned && whole >= DIRECT_RUN) else {
            return self.file.write_all_at(bytes, offset);
        };
        let (pages, rest) = bytes.split_at(whole);
        match direct.write_all_at(pages, offset) {
            Ok(()) => self.file.write_all_at(rest, offset.saturating_add(whole as u64)),
            // A file system that wants other alignments.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.direct = None;
                self.file.write_all_at(bytes, offset)
            }
            Err(error) => Err(error),
        }
    }
}

impl Sink {
    /// Prepares for this many bytes. Large files are written past the page cache: it would be filled at the cost of the target, which may
    /// have to live within the same limit of memory, and its copy costs as much time as the disk. Small ones go through it, so that the
    /// process does not wait for the disk.
    pub(super) fn expect(&mut self, bytes: u64) {
        let Sink::File(disk) = self else { return };
        if bytes < DIRECT_FROM {
            return;
        }
        let flags = OFlags::DIRECT | OFlags::CLOEXEC;
        let again = format!("/proc/self/fd/{}", disk.file.as_raw_fd());
        // What cannot be opened so (a file system in memory, no /proc) is written as ever.
        disk.direct = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(again).ok();
    }

    /// Writes bytes at an offset. The number of bytes that take space.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        match self {
            Sink::File(disk) => {
                let mut written = 0u64;
                let pages: Vec<&[u8]> = bytes.chunks(PAGE).collect();
                let mut at = 0usize;
                for run in pages.chunk_by(|one, other| is_zero(one) == is_zero(other)) {
                    let len: usize = run.iter().map(|page| page.len()).sum();
                    let end = at.saturating_add(len);
                    if !run.first().is_some_and(|page| is_zero(page)) {
                        let run = bytes.get(at..end).unwrap_or_default();
                        disk.write(run, offset.saturating_add(at as u64))?;
                        written = written.saturating_add(len as u64);
                    }
                    at = end;
                }
                Ok(written)
            }
            Sink::Stream(stream, position) => {
                fill(stream.as_mut(), position, offset)?;
                stream.write_all(bytes)?;
                *position = position.saturating_add(bytes.len() as u64);
                Ok(bytes.len() as u64)
            }
            Sink::Memory(memory) => {
                let end = offset.saturating_add(bytes.len() as u64);
                if end > MAX_MEMORY {
                    return Err(io::Error::other(format!("the core is larger than {} MiB", MAX_MEMORY >> 20)));
                }
                let (start, end) = (usize::try_from(offset), usize::try_from(end));
                let (start, end) = (start.map_err(io::Error::other)?, end.map_err(io::Error::other)?);
                memory.resize(memory.len().max(end), 0);
                if let Some(place) = memory.get_mut(start..end) {
                    place.copy_from_slice(bytes);
                }
                Ok(bytes.len() as u64)
            }
        }
    }

    /// Whether what was written can be written again.
    pub(super) fn can_rewrite(&self) -> bool {
        !matches!(self, Sink::Stream(..))
    }

    /// Completes the core to its size.
    pub(super) fn finish(&mut self, size: u64) -> io::Result<()> {
        match self {
            Sink::File(disk) => disk.file.set_len(size),
            Sink::Stream(stream, position) => {
                fill(stream.as_mut(), position, size)?;
                stream.flush()
            }
            Sink::Memory(memory) => {
                let size = usize::try_from(size.min(MAX_MEMORY)).map_err(io::Error::other)?;
                memory.resize(memory.len().max(size), 0);
                Ok(())
            }
        }
    }
}

/// Writes zeros up to an offset.
fn fill(stream: &mut dyn Write, position: &mut u64, offset: u64) -> io::Result<()> {
    while *position < offset {
        let len = offset.saturating_sub(*position).min(ZEROS.len() as u64);
        stream.write_all(ZEROS.get(..usize::try_from(len).unwrap_or(0)).unwrap_or_default())?;
        *position = position.saturating_add(len);
    }
    Ok(())
}

fn is_zero(page: &[u8]) -> bool {
    // Words first: a page is compared within a hundred nanoseconds.
    let (words, rest) = page.as_chunks::<32>();
    words.iter().all(|word| *word == [0; 32]) && rest.iter().all(|byte| *byte == 0)
}

/// Compresses what is written, in frames that stand for themselves (RFC 8878 allows any number).
pub(super) struct Compressed<W: Write> {
    inner: W,
    frame: Vec<u8>,
}

impl<W: Write> Compressed<W> {
    pub(super) fn new(inner: W) -> Compressed<W> {
        Compressed { inner, frame: Vec::with_capacity(FRAME) }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        // The process may be stopped meanwhile: the reference implementation is several times faster than the one in Rust that unpacks.
        let packed = zstd::bulk::compress(&self.frame, LEVEL)?;
        self.frame.clear();
        self.inner.write_all(&packed)
    }
}

impl<W: Write> Write for Compressed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME.saturating_sub(self.frame.len());
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.frame.extend_from_slice(taken);
        if self.frame.len() >= FRAME {
            self.end_frame()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end_frame()?;
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn gaps_of_a_stream_and_of_memory_are_zeros() {
        let shared = Shared::default();
        let mut memory = Sink::Memory(Vec::new());
        let mut stream = Sink::Stream(Box::new(shared.clone()), 0);
        for sink in [&mut memory, &mut stream] {
            sink.write_at(2, b"ab").expect("written");
            sink.write_at(6, b"c").expect("written");
            sink.finish(9).expect("finished");
        }
        let expected = b"\0\0ab\0\0c\0\0";
        assert_eq!(shared.0.lock().expect("no writer panicked").as_slice(), expected);
        assert!(matches!(memory, Sink::Memory(bytes) if bytes == expected));
    }

    #[test]
    fn what_is_compressed_is_what_zstd_reads() {
        let shared = Shared::default();
        let text: Vec<u8> = (0..(FRAME + 5000)).map(|index| (index / 7 % 251) as u8).collect();
        let mut packed = Compressed::new(shared.clone());
        packed.write_all(&text).expect("written");
        packed.flush().expect("flushed");
        let bytes = shared.0.lock().expect("no writer panicked").clone();
        assert!(bytes.len() < text.len() / 2, "{} bytes", bytes.len());
        let mut rest = bytes.as_slice();
        let mut unpacked = Vec::new();
        while !rest.is_empty() {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).expect("a frame");
            io::Read::read_to_end(&mut decoder, &mut unpacked).expect("decoded");
        }
        assert!(unpacked == text, "the text differs");
    }
}
