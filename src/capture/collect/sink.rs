//! Where a core goes: a file in which zeros are holes, a stream, which may be compressed, or memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::OFlags;
use symbols::{FileBytes, Room};

use super::packed::Packed;

/// Granularity of holes.
const PAGE: usize = 4096;
/// Zeros that a stream gets at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// Cores of at least this many bytes are written past the page cache, in runs of at least that many.
const DIRECT_FROM: u64 = 1 << 30;
const DIRECT_RUN: usize = 64 << 10;
/// Largest core that is kept in memory: bytes that are written, zeros left out.
const MAX_MEMORY: u64 = 512 << 20;

/// A place for a core. What is not written is zero. Contents come in ascending order of their offsets, unless the place
/// takes any.
pub(super) enum Sink {
    /// A file; pages of zeros take no space.
    File(Disk),
    /// A stream, at a position.
    Stream(Box<dyn Write + Send>, u64),
    /// The same, compressed.
    Packed(Packed<Box<dyn Write + Send>>, u64),
    /// Memory, which takes room where it is not zero.
    Memory(Memory),
}

/// A core in memory.
#[derive(Default)]
pub(super) struct Memory {
    /// There once it is known how large the core may become.
    room: Option<Room>,
    written: u64,
    size: usize,
}

impl Memory {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > MAX_MEMORY {
            return Err(io::Error::other(format!("more than {} MiB would be kept in memory", MAX_MEMORY >> 20)));
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.saturating_add(bytes.len());
        let place = self.room.as_mut().and_then(|room| room.get_mut(start..end));
        place.ok_or_else(|| io::Error::other("the core is larger than was expected"))?.copy_from_slice(bytes);
        Ok(())
    }

    /// The core, once it is whole.
    pub(super) fn into_bytes(self) -> io::Result<FileBytes> {
        let room = self.room.ok_or_else(|| io::Error::other("there is no core"))?;
        room.into_bytes(self.size)
    }
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
    /// Prepares for this many bytes of memory in a core of `size` bytes at most. Large files are written past the page
    /// cache: it would be filled at the cost of the target, which may have to live within the same limit of memory, and
    /// its copy costs as much time as the disk. Small ones go through it, so that the process does not wait for the
    /// disk.
    pub(super) fn expect(&mut self, bytes: u64, size: u64) -> io::Result<()> {
        match self {
            Sink::File(disk) if bytes >= DIRECT_FROM => {
                let flags = OFlags::DIRECT | OFlags::CLOEXEC;
                let again = format!("/proc/self/fd/{}", disk.file.as_raw_fd());
                // What cannot be opened so (a file system in memory, no /proc) is written as ever.
                disk.direct = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(again).ok();
            }
            Sink::Memory(memory) => memory.room = Some(Room::sparse(usize::try_from(size).map_err(io::Error::other)?)?),
            Sink::File(_) | Sink::Stream(..) | Sink::Packed(..) => {}
        }
        Ok(())
    }

    /// Writes bytes at an offset. The number of bytes that take space.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<u64> {
        let len = bytes.len() as u64;
        match self {
            Sink::File(disk) => each_run(bytes, offset, |run, at| disk.write(run, at)),
            Sink::Memory(memory) => each_run(bytes, offset, |run, at| memory.write(run, at)),
            Sink::Stream(stream, position) => {
                fill(stream.as_mut(), position, offset)?;
                stream.write_all(bytes)?;
                *position = position.saturating_add(len);
                Ok(len)
            }
            Sink::Packed(packed, position) => {
                let written = each_run(bytes, offset, |run, at| {
                    packed.write_zeros(at.saturating_sub(*position));
                    *position = at.saturating_add(run.len() as u64);
                    packed.write(run)
                });
                written.map(|_| len)
            }
        }
    }

    /// Whether what was written can be written again.
    pub(super) fn can_rewrite(&self) -> bool {
        self.takes_any_order()
    }

    /// Whether contents may come in any order.
    pub(super) fn takes_any_order(&self) -> bool {
        matches!(self, Sink::File(_) | Sink::Memory(_))
    }

    /// Whether writing is the disk's work alone.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Sink::File(Disk { direct: Some(_), .. }))
    }

    /// Completes the core to its size.
    pub(super) fn finish(&mut self, size: u64) -> io::Result<()> {
        match self {
            Sink::File(disk) => disk.file.set_len(size),
            Sink::Stream(stream, position) => {
                fill(stream.as_mut(), position, size)?;
                stream.flush()
            }
            Sink::Packed(packed, position) => {
                packed.write_zeros(size.saturating_sub(*position));
                *position = size;
                packed.finish()
            }
            Sink::Memory(memory) => {
                memory.size = usize::try_from(size).map_err(io::Error::other)?;
                Ok(())
            }
        }
    }
}

/// Calls `write` for every run of pages that are not zero, with its offset. How many bytes they have together.
fn each_run(bytes: &[u8], offset: u64, mut write: impl FnMut(&[u8], u64) -> io::Result<()>) -> io::Result<u64> {
    let mut written = 0u64;
    let pages: Vec<&[u8]> = bytes.chunks(PAGE).collect();
    let mut at = 0usize;
    for run in pages.chunk_by(|one, other| is_zero(one) == is_zero(other)) {
        let len: usize = run.iter().map(|page| page.len()).sum();
        let end = at.saturating_add(len);
        if !run.first().is_some_and(|page| is_zero(page)) {
            write(bytes.get(at..end).unwrap_or_default(), offset.saturating_add(at as u64))?;
            written = written.saturating_add(len as u64);
        }
        at = end;
    }
    Ok(written)
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
        let mut memory = Sink::Memory(Memory::default());
        memory.expect(4, 9).expect("there is memory");
        let mut stream = Sink::Stream(Box::new(shared.clone()), 0);
        for sink in [&mut memory, &mut stream] {
            sink.write_at(2, b"ab").expect("written");
            sink.write_at(6, b"c").expect("written");
            sink.finish(9).expect("finished");
        }
        let expected = b"\0\0ab\0\0c\0\0";
        assert_eq!(shared.0.lock().expect("no writer panicked").as_slice(), expected);
        let Sink::Memory(memory) = memory else { panic!("it is memory") };
        assert_eq!(&memory.into_bytes().expect("a core")[..], expected);
    }

    #[test]
    fn memory_is_limited_by_what_is_written_not_by_its_holes() {
        let mut memory = Sink::Memory(Memory::default());
        memory.expect(4 * MAX_MEMORY, 4 * MAX_MEMORY).expect("a range of addresses");
        assert_eq!(memory.write_at(3 * MAX_MEMORY, &[7; PAGE]).expect("written"), PAGE as u64);
        assert_eq!(memory.write_at(2 * MAX_MEMORY, &[0; 4 * PAGE]).expect("zeros"), 0);
        assert!(memory.write_at(4 * MAX_MEMORY, &[7; PAGE]).is_err(), "behind what was expected");
        let Sink::Memory(memory) = memory else { panic!("it is memory") };
        let mut full = Memory { written: MAX_MEMORY - 1, ..memory };
        full.write(&[1], 0).expect("the last byte");
        assert!(full.write(&[1], 1).is_err());
    }
}
