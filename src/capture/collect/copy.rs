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
/// How often a reader that waits for a buffer looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Most runs of unreadable pages that are kept apart.
const MAX_UNREADABLE: usize = 1 << 16;

/// Bytes on their way.
pub(super) struct Chunk {
    offset: u64,
    bytes: Vec<u8>,
}

/// The two ends of the circle, and the buffers in it.
pub(super) struct Belt {
    full: (Sender<Chunk>, Receiver<Chunk>),
    empty: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

/// The reader's end.
pub(super) struct Reading {
    full: Sender<Chunk>,
    empty: Receiver<Vec<u8>>,
}

/// The writer's end.
pub(super) struct Writing {
    full: Receiver<Chunk>,
    empty: Sender<Vec<u8>>,
}

impl Belt {
    pub(super) fn new() -> Belt {
        let belt = Belt { full: bounded(BUFFERS), empty: bounded(BUFFERS) };
        for _ in 0..BUFFERS {
            // There is room for all of them, and both ends are here.
            let _ = belt.empty.0.send(Vec::new());
        }
        belt
    }

    pub(super) fn ends(self) -> (Reading, Writing) {
        let (full, empty) = (self.full, self.empty);
        (Reading { full: full.0, empty: empty.1 }, Writing { full: full.1, empty: empty.0 })
    }
}

impl Reading {
    /// Reads the memory of every part. What could not be read, ascending. Ends early, without an error of its own, where `stop` is
    /// set or the writer failed.
    pub(super) fn run(
        self,
        source: &Source,
        layout: &Layout,
        blot: Option<&Blot>,
        stop: &AtomicBool,
        job: &Job,
    ) -> Result<Vec<Span>, Error> {
        let mut unreadable = Vec::new();
        for placed in layout.parts.iter().filter(|placed| placed.part.held) {
            let part = placed.part;
            let runs = source.runs(part.span, part.absent, |page| add(&mut unreadable, page));
            let mut done = part.span.start.0;
            for run in runs {
                let mut at = run.start.0;
                while at < run.end.0 {
                    if stop.load(Ordering::Relaxed) || job.is_cancelled() {
                        return Err(Error::Cancelled);
                    }
                    let len = run.end.0.saturating_sub(at).min(BUFFER as u64);
                    let mut bytes = match self.empty.recv_timeout(LOOK) {
                        Ok(bytes) => bytes,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return Ok(unreadable),
                    };
                    bytes.resize(usize::try_from(len).unwrap_or(0), 0);
                    let gone =
                        |why: io::Error| Error::Failed(format!("the process ended while it was being dumped ({why})"));
                    let read = source.read(at, &mut bytes).map_err(gone)?;
                    bytes.truncate(read);
                    if let Some(blot) = blot.filter(|_| part.blot) {
                        blot.apply(at, &mut bytes);
                    }
                    let offset = placed.offset.saturating_add(at.saturating_sub(part.span.start.0));
                    if self.full.send(Chunk { offset, bytes }).is_err() {
                        return Ok(unreadable);
                    }
                    at = at.saturating_add(read as u64);
                    if (read as u64) < len {
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
        Ok(unreadable)
    }
}

impl Writing {
    /// Writes the head of the core and what comes, until the reader is done. The number of bytes that take space.
    pub(super) fn run(self, head: &[u8], sink: &mut Sink) -> io::Result<u64> {
        let mut written = sink.write_at(0, head)?;
        while let Ok(Chunk { offset, bytes }) = self.full.recv() {
            written = written.saturating_add(sink.write_at(offset, &bytes)?);
            // The reader may be done.
            let _ = self.empty.send(bytes);
        }
        Ok(written)
    }
}
