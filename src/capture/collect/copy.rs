//! Memory on its way to the sink: some threads read, one writes, buffers go round between them.
//!
//! The process is stopped until the last byte is read. So that it does not wait for the disk, there are as many buffers
//! as memory can be spared for ([`Stock`]); where that is less than the dump, reading goes on as buffers come back. The
//! writer may hang (a dead disk, a pipe that nobody reads); a reader never waits for it longer than it takes to notice
//! that it is to stop.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use rustix::thread::disable_transparent_huge_pages;
use symbols::Room;

use super::layout::Layout;
use super::maps::Span;
use super::scrub::Scrub;
use super::sink::Sink;
use super::source::{PAGE, Source, add};
use super::stock::{BUFFER, Stock, buffers};
use super::work::{Piece, Portion, Work};
use crate::error::Error;
use crate::job::Job;

/// As many are made ready before the process is stopped, whatever is expected: a mini dump of a thousand threads fits.
const READY: usize = 4;
/// For so long buffers are made before the process is stopped. Where memory is in many pieces, or full of cached files,
/// the kernel takes seconds for each GiB; what then does not fit is written meanwhile.
const MAKING: Duration = Duration::from_secs(3);
/// Most threads that read, and the bytes of memory that are worth one more.
const MAX_READERS: usize = 4;
const WORTH_A_READER: u64 = 64 << 20;
/// How often a reader that waits for a buffer looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Most runs of unreadable pages that a thread keeps apart.
const MAX_UNREADABLE: usize = 1 << 16;

/// Bytes on their way.
pub(super) struct Chunk {
    /// Stands at an address that is a multiple of a page's, for writes past the page cache.
    bytes: Room,
    portion: Portion,
}

/// The two ends of the circle, and the buffers in it.
pub(super) struct Belt {
    full: (Sender<Chunk>, Receiver<Chunk>),
    empty: (Sender<Chunk>, Receiver<Chunk>),
    stock: Stock,
}

/// How far the writer is, and whether it is to end.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes of the dump's memory that are done since that was last asked, holes included.
    pub(super) covered: AtomicU64,
    pub(super) stop: AtomicBool,
}

/// The readers' end.
pub(super) struct Reading {
    full: Sender<Chunk>,
    empty: Receiver<Chunk>,
    stock: Stock,
    /// Dropped when the writer has to begin.
    hold: Mutex<Option<Sender<()>>>,
}

/// The writer's end.
pub(super) struct Writing {
    full: Receiver<Chunk>,
    empty: Sender<Chunk>,
    /// Disconnected when the readers are done, or have no more buffers.
    held: Receiver<()>,
    pub(super) progress: Arc<Progress>,
}

impl Belt {
    /// A belt for a dump of about `expected` bytes, for which `most` bytes of memory may be taken where they can be
    /// spared. As many buffers as are needed are in memory already: getting their pages takes as long as filling them,
    /// and once they are filled the process waits.
    pub(super) fn new(scrubs: bool, expected: u64, most: u64) -> Belt {
        let belt = Belt { full: unbounded(), empty: unbounded(), stock: Stock::new(scrubs, most) };
        if expected > 0 {
            // mimalloc has the kernel make no huge pages for this process, even where they are asked for. Where that is
            // refused they are small ones.
            let _ = disable_transparent_huge_pages(false);
        }
        let left = AtomicUsize::new(buffers(expected).saturating_add(1).max(READY));
        let end = Instant::now().checked_add(MAKING);
        let in_time = || end.is_none_or(|end| Instant::now() < end);
        let make = || {
            while in_time()
                && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                let Some(mut bytes) = belt.stock.make() else { break };
                bytes.fill();
                // Both ends are here.
                let _ = belt.empty.0.send(Chunk::of(bytes));
            }
        };
        thread::scope(|scope| {
            let more = if expected > WORTH_A_READER { readers().saturating_sub(1) } else { 0 };
            (0..more).for_each(|_| drop(scope.spawn(make)));
            make();
        });
        if !in_time() {
            // More would take as long while the process is stopped.
            belt.stock.keep_made();
        }
        belt
    }

    /// Bytes of the buffers that are there.
    pub(super) fn bytes(&self) -> u64 {
        self.stock.bytes()
    }

    /// The same where nobody waits for reading: no more buffers than there have to be.
    pub(super) fn without_haste(self) -> Belt {
        self.stock.keep_least();
        self
    }

    pub(super) fn ends(self) -> (Reading, Writing) {
        let (full, empty) = (self.full, self.empty);
        let (hold, held) = bounded(0);
        let reading = Reading { full: full.0, empty: empty.1, stock: self.stock, hold: Mutex::new(Some(hold)) };
        (reading, Writing { full: full.1, empty: empty.0, held, progress: Arc::default() })
    }
}

/// How many threads may read.
fn readers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_READERS)
}

impl Reading {
    /// Reads the memory of every part. What could not be read, ascending. Ends early, without an error of its own,
    /// where the writer failed; as cancelled where `stop` is set.
    pub(super) fn run(
        self,
        source: &Source,
        layout: &Layout,
        stop: &AtomicBool,
        job: &Job,
    ) -> Result<Vec<Span>, Error> {
        let work = Work::new(source, layout);
        let share = usize::try_from(layout.size / WORTH_A_READER).unwrap_or(usize::MAX).saturating_add(1);
        let read = thread::scope(|scope| {
            let readers: Vec<_> =
                (0..share.min(readers())).map(|_| scope.spawn(|| self.read(source, &work, stop, job))).collect();
            let parts = readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| Err(super::faults::bug())));
            // All of them are waited for, whatever becomes of one.
            parts.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>, Error>>()
        });
        let mut unreadable = read?.concat();
        unreadable.extend(work.unknown());
        unreadable.sort_unstable();
        let mut joined = Vec::new();
        unreadable.into_iter().for_each(|span| add(&mut joined, span));
        Ok(joined)
    }

    /// What one thread does: reads portions until none is left.
    fn read(&self, source: &Source, work: &Work<'_>, stop: &AtomicBool, job: &Job) -> Result<Vec<Span>, Error> {
        let mut unreadable = Vec::new();
        // First the buffer, then what it is for: who has the portion that the writer waits for never waits for a
        // buffer.
        while let Some(mut chunk) = self.buffer(stop, job)? {
            let Some(portion) = work.next(BUFFER, stop) else { break };
            let gone = |why: io::Error| Error::Failed(format!("the process ended while it was being dumped ({why})"));
            chunk.read(source, portion, &mut unreadable).map_err(gone)?;
            if self.full.send(chunk).is_err() {
                break;
            }
        }
        if stop.load(Ordering::Relaxed) || job.is_cancelled() { Err(Error::Cancelled) } else { Ok(unreadable) }
    }

    /// An empty buffer; `None` where the writer is gone.
    fn buffer(&self, stop: &AtomicBool, job: &Job) -> Result<Option<Chunk>, Error> {
        loop {
            if stop.load(Ordering::Relaxed) || job.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(chunk) = self.empty.try_recv().ok().or_else(|| self.stock.make().map(Chunk::of)) {
                return Ok(Some(chunk));
            }
            drop(self.hold.lock().unwrap_or_else(PoisonError::into_inner).take());
            match self.empty.recv_timeout(LOOK) {
                Ok(chunk) => return Ok(Some(chunk)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

impl Chunk {
    /// An empty one.
    fn of(bytes: Room) -> Chunk {
        Chunk { bytes, portion: Portion::default() }
    }

    /// Reads a portion. Pages that cannot be read are left out of it.
    fn read(&mut self, source: &Source, portion: Portion, unreadable: &mut Vec<Span>) -> io::Result<()> {
        let mut pieces = Vec::with_capacity(portion.pieces.len());
        for piece in &portion.pieces {
            let mut done = 0usize;
            while done < piece.len {
                let at = piece.at.saturating_add(done);
                let end = piece.at.saturating_add(piece.len);
                let address = piece.address.saturating_add(done as u64);
                let len = source.read(address, self.bytes.get_mut(at..end).unwrap_or_default())?;
                if len > 0 {
                    let offset = piece.offset.saturating_add(done as u64);
                    pieces.push(Piece { offset, address, len, at, scrub: piece.scrub });
                    done = done.saturating_add(len);
                }
                if done < piece.len {
                    let from = piece.address.saturating_add(done as u64);
                    let last = piece.address.saturating_add(piece.len as u64);
                    let to = (from / PAGE).saturating_add(1).saturating_mul(PAGE).min(last);
                    if unreadable.len() < MAX_UNREADABLE {
                        add(unreadable, Span::new(from, to));
                    }
                    done = usize::try_from(to.saturating_sub(piece.address)).unwrap_or(piece.len);
                }
            }
        }
        self.portion = Portion { pieces, ..portion };
        Ok(())
    }

    /// Writes what was read. The number of bytes that take space.
    fn write(&mut self, scrub: Option<&Scrub>, sink: &mut Sink) -> io::Result<u64> {
        let mut written = 0u64;
        for piece in &self.portion.pieces {
            let bytes = self.bytes.get_mut(piece.at..piece.at.saturating_add(piece.len)).unwrap_or_default();
            if let Some(scrub) = scrub.filter(|_| piece.scrub) {
                scrub.apply(piece.address, bytes);
            }
            written = written.saturating_add(sink.write_at(piece.offset, bytes)?);
        }
        Ok(written)
    }
}

impl Writing {
    /// Writes the head of the core and what comes, until the readers are done. The number of bytes that take space.
    /// Where that takes a processor it begins late: the process waits for the readers alone.
    pub(super) fn run(self, head: &[u8], scrub: Option<&Scrub>, sink: &mut Sink) -> io::Result<u64> {
        if !sink.is_direct() {
            // Nothing is ever sent.
            let _ = self.held.recv();
        }
        let mut written = sink.write_at(0, head)?;
        // Those that came before their turn. A file takes them in any order.
        let mut early = BTreeMap::new();
        let mut next = 0u64;
        while let Ok(chunk) = self.full.recv() {
            if sink.takes_any_order() {
                written = written.saturating_add(self.write(chunk, scrub, sink)?);
                continue;
            }
            early.insert(chunk.portion.number, chunk);
            while let Some(chunk) = early.remove(&next) {
                written = written.saturating_add(self.write(chunk, scrub, sink)?);
                next = next.saturating_add(1);
            }
        }
        Ok(written)
    }

    fn write(&self, mut chunk: Chunk, scrub: Option<&Scrub>, sink: &mut Sink) -> io::Result<u64> {
        if self.progress.stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let written = chunk.write(scrub, sink)?;
        self.progress.covered.fetch_add(chunk.portion.covered, Ordering::Relaxed);
        // Once the readers are done the memory is given back.
        let _ = self.empty.send(chunk);
        Ok(written)
    }
}
