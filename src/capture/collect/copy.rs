//! Memory on its way to the sink: one thread reads, one writes, a fixed set of buffers goes round between them.
//!
//! A small dump fits into the buffers: then reading, and with it the pause, does not wait for the disk at all. The writer may hang (a
//! dead disk, a pipe that nobody reads); the reader never waits for it longer than it takes to notice that it is to stop.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::blot::Blot;
use super::layout::Layout;
use super::maps::Span;
use super::sink::Sink;
use super::source::{PAGE, Source, add};
use crate::error::Error;
use crate::job::Job;

/// Bytes of a buffer, and how many there are: 32 MiB.
const BUFFER: usize = 1 << 20;
const BUFFERS: usize = 32;
/// How many there are where personal data is blotted out, which takes longer than reading: the largest triage dump of a .NET process fits,
/// so that the process does not wait for that. They take memory only as they are filled.
const BUFFERS_TO_BLOT: usize = 128;
/// As many are made ready before the process is stopped: a mini dump of a thousand threads fits.
const READY: usize = 16;
/// How often a reader that waits for a buffer looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Most runs of unreadable pages that are kept apart.
const MAX_UNREADABLE: usize = 1 << 16;

/// Bytes on their way: pieces of memory, one behind the other.
pub(super) struct Chunk {
    bytes: Vec<u8>,
    /// Where in `bytes` the first piece stands: at an address that is a multiple of a page's, for writes past the page cache.
    start: usize,
    pieces: Vec<Piece>,
    /// Bytes of all pieces.
    filled: usize,
}

/// A piece of memory.
struct Piece {
    /// Where it goes in the core, and where it stands in the process.
    offset: u64,
    address: u64,
    len: usize,
    /// Whether personal data is blotted out before it is written.
    blot: bool,
}

/// The two ends of the circle, and the buffers in it.
pub(super) struct Belt {
    full: (Sender<Chunk>, Receiver<Chunk>),
    empty: (Sender<Chunk>, Receiver<Chunk>),
}

/// The reader's end.
pub(super) struct Reading {
    full: Sender<Chunk>,
    empty: Receiver<Chunk>,
}

/// The writer's end.
pub(super) struct Writing {
    full: Receiver<Chunk>,
    empty: Sender<Chunk>,
}

impl Belt {
    /// A belt whose first buffers are in memory already: getting their pages takes as long as filling them, and once they are filled the
    /// process waits.
    pub(super) fn new(blots: bool) -> Belt {
        let buffers = if blots { BUFFERS_TO_BLOT } else { BUFFERS };
        let belt = Belt { full: bounded(buffers), empty: bounded(buffers) };
        for index in 0..buffers {
            let mut chunk = Chunk { bytes: Vec::new(), start: 0, pieces: Vec::new(), filled: 0 };
            if index < READY {
                chunk.clear();
            }
            // There is room for all of them, and both ends are here.
            let _ = belt.empty.0.send(chunk);
        }
        belt
    }

    pub(super) fn ends(self) -> (Reading, Writing) {
        let (full, empty) = (self.full, self.empty);
        (Reading { full: full.0, empty: empty.1 }, Writing { full: full.1, empty: empty.0 })
    }
}

impl Reading {
    /// Reads the memory of every part. What could not be read, ascending. Ends early, without an error of its own, where the writer
    /// failed; as cancelled where `stop` is set.
    pub(super) fn run(
        self,
        source: &Source,
        layout: &Layout,
        stop: &AtomicBool,
        job: &Job,
    ) -> Result<Vec<Span>, Error> {
        let mut unreadable = Vec::new();
        let mut chunk = None;
        for placed in layout.parts.iter().filter(|placed| placed.part.held) {
            let part = placed.part;
            let runs = source.runs(part.span, part.absent, |page| add(&mut unreadable, page));
            let mut done = part.span.start.0;
            for run in runs {
                let mut at = run.start.0;
                while at < run.end.0 {
                    let Some(open) = self.room(&mut chunk, stop, job)? else { return Ok(unreadable) };
                    let offset = placed.offset.saturating_add(at.saturating_sub(part.span.start.0));
                    let wanted = run.end.0.saturating_sub(at);
                    let gone =
                        |why: io::Error| Error::Failed(format!("the process ended while it was being dumped ({why})"));
                    let (asked, read) = open.fill(source, at, wanted, offset, part.blot).map_err(gone)?;
                    at = at.saturating_add(read);
                    if read < asked {
                        let end = (at / PAGE).saturating_add(1).saturating_mul(PAGE).min(run.end.0);
                        if unreadable.len() < MAX_UNREADABLE {
                            add(&mut unreadable, Span::new(at, end));
                        }
                        at = end;
                    }
                    job.advance(at.saturating_sub(done))?;
                    done = at;
                }
            }
            job.advance(part.span.end.0.saturating_sub(done))?;
        }
        if let Some(last) = chunk {
            // Where the writer failed it says so itself.
            let _ = self.full.send(last);
        }
        Ok(unreadable)
    }

    /// A chunk with room, the open one or a new one; `None` where the writer is gone.
    fn room<'a>(
        &self,
        chunk: &'a mut Option<Chunk>,
        stop: &AtomicBool,
        job: &Job,
    ) -> Result<Option<&'a mut Chunk>, Error> {
        if let Some(full) = chunk.take_if(|chunk| chunk.filled >= BUFFER)
            && self.full.send(full).is_err()
        {
            return Ok(None);
        }
        while chunk.is_none() {
            if stop.load(Ordering::Relaxed) || job.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match self.empty.recv_timeout(LOOK) {
                Ok(mut empty) => {
                    empty.clear();
                    *chunk = Some(empty);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
        Ok(chunk.as_mut())
    }
}

impl Chunk {
    fn clear(&mut self) {
        let size = usize::try_from(PAGE).unwrap_or(0);
        self.bytes.resize(BUFFER.saturating_add(size), 0);
        self.start = self.bytes.as_ptr().align_offset(size).min(size);
        self.pieces.clear();
        self.filled = 0;
    }

    /// Reads as much as fits: how many bytes were asked for, and how many came.
    fn fill(&mut self, source: &Source, address: u64, wanted: u64, offset: u64, blot: bool) -> io::Result<(u64, u64)> {
        let from = self.start.saturating_add(self.filled);
        let room = self.bytes.get_mut(from..self.start.saturating_add(BUFFER)).unwrap_or_default();
        let asked = room.len().min(usize::try_from(wanted).unwrap_or(usize::MAX));
        let len = source.read(address, room.get_mut(..asked).unwrap_or_default())?;
        if len > 0 {
            self.pieces.push(Piece { offset, address, len, blot });
            self.filled = self.filled.saturating_add(len);
        }
        Ok((asked as u64, len as u64))
    }
}

impl Writing {
    /// Writes the head of the core and what comes, until the reader is done. The number of bytes that take space.
    pub(super) fn run(self, head: &[u8], blot: Option<&Blot>, sink: &mut Sink) -> io::Result<u64> {
        let mut written = sink.write_at(0, head)?;
        while let Ok(mut chunk) = self.full.recv() {
            let mut at = chunk.start;
            for piece in &chunk.pieces {
                let end = at.saturating_add(piece.len);
                let bytes = chunk.bytes.get_mut(at..end).unwrap_or_default();
                if let Some(blot) = blot.filter(|_| piece.blot) {
                    blot.apply(piece.address, bytes);
                }
                written = written.saturating_add(sink.write_at(piece.offset, bytes)?);
                at = end;
            }
            // The reader may be done.
            let _ = self.empty.send(chunk);
        }
        Ok(written)
    }
}
