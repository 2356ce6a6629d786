//! Memory is held as it was at the stop while it is copied, and the process is let go as early as that allows.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::copy::{Belt, Progress, Reading};
use super::faults::{bug, write_error};
use super::fork::Child;
use super::freeze::Frozen;
use super::layout::Layout;
use super::live::Live;
use super::maps::Span;
use super::scrub::Scrub;
use super::sink::Sink;
use super::source::Source;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Problem, Subject};

/// How often a dump that goes on is looked after: whether the process still is, whether it takes too long.
const LOOK: Duration = Duration::from_millis(20);

/// What keeps the memory as it was at the stop.
pub(super) enum Held<'a> {
    /// The process itself is stopped.
    Stopped(Frozen<'a>),
    /// A copy of it; the process goes on, after it was stopped for so long.
    Copied(Child<'a>, Duration),
}

impl Held<'_> {
    /// How long the process has been stopped; `None` where it goes on.
    pub(super) fn stopped_for(&self) -> Option<Duration> {
        match self {
            Held::Stopped(frozen) => Some(frozen.elapsed()),
            Held::Copied(..) => None,
        }
    }

    /// Lets the process go on, and ends its copy. How long it was stopped; false where the copy stays behind.
    pub(super) fn release(self) -> (Duration, bool) {
        match self {
            Held::Stopped(frozen) => (frozen.thaw(), true),
            Held::Copied(child, pause) => (pause, child.end()),
        }
    }
}

/// The way of memory to the sink.
pub(super) struct Way {
    pub(super) belt: Belt,
    /// What may stay of personal data; `None` where all may.
    pub(super) scrub: Option<Scrub>,
    pub(super) sink: Sink,
}

/// What came of copying.
pub(super) struct Copied {
    pub(super) pause: Duration,
    pub(super) unreadable: Vec<Span>,
    pub(super) written: u64,
    pub(super) sink: Sink,
}

/// How long a process may be kept stopped: until it takes too long, is cancelled, or the process is killed.
#[derive(Clone, Copy)]
pub(super) struct Limit<'a> {
    pub(super) live: &'a Live,
    pub(super) max_pause: Duration,
    pub(super) job: &'a Job,
}

impl Limit<'_> {
    /// Does some work on a thread of its own while the process is `held`: it may hang in the kernel, where a page is a
    /// file's on a dead network disk. When the limit is reached the process is let go first, then the work is waited
    /// for. `meanwhile` is for this thread, the tracer. `stopped`: for how long the process has been stopped, `None`
    /// where it goes on.
    pub(super) fn work<H, M, T: Send>(
        &self,
        held: H,
        stopped: Option<Duration>,
        meanwhile: impl FnOnce(&H) -> M,
        work: impl FnOnce() -> T + Send,
    ) -> Result<(H, M, T), Error> {
        let (done, is_done) = bounded::<()>(1);
        let deadline = self.deadline(stopped);
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                // Dropped when the work ends, even by a panic.
                let _done = done;
                work()
            });
            let own = meanwhile(&held);
            match self.wait(&is_done, deadline, || {}) {
                None => worker.join().map(|came| (held, own, came)).map_err(|_| bug()),
                Some(why) => {
                    drop(held);
                    Err(why)
                }
            }
        })
    }

    fn deadline(&self, stopped: Option<Duration>) -> Option<Instant> {
        stopped.map(|stopped| Instant::now() + self.max_pause.saturating_sub(stopped))
    }

    /// Waits until something is done, which is when the other end is dropped; else why it is not waited for any longer.
    /// Calls `meanwhile` every now and then.
    fn wait(&self, is_done: &Receiver<()>, deadline: Option<Instant>, mut meanwhile: impl FnMut()) -> Option<Error> {
        let mut why = None;
        while why.is_none() && is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            meanwhile();
            why = self.reason_to_stop(deadline);
        }
        why
    }

    fn reason_to_stop(&self, deadline: Option<Instant>) -> Option<Error> {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(Error::Failed(format!(
                "{} was stopped for {:.1} s, the limit; it goes on and nothing was kept (--max-pause, --mode fork, a smaller --type)",
                self.live,
                self.max_pause.as_secs_f64()
            )));
        }
        if deadline.is_some() && self.live.has_ended() {
            return Some(self.live.ended());
        }
        self.job.is_cancelled().then_some(Error::Cancelled)
    }
}

/// What is copied, from where.
pub(super) struct Plan<'a> {
    pub(super) limit: Limit<'a>,
    pub(super) source: &'a Source,
    pub(super) layout: &'a Layout,
}

impl Plan<'_> {
    /// Reads and writes all memory. The process goes on as soon as the last byte is read, and at once where that takes
    /// too long, is cancelled or fails.
    pub(super) fn copy(
        &self,
        held: Held<'_>,
        way: Way,
        say: &(dyn Fn(&str) + Sync),
        problems: &mut Vec<Problem>,
    ) -> Result<Copied, Error> {
        let Way { belt, scrub, mut sink } = way;
        let (reading, writing) = belt.ends();
        let shown = Shown { job: self.limit.job, progress: Arc::clone(&writing.progress) };
        let (done, is_done) = bounded::<()>(1);
        let head = self.layout.head.clone();
        // A thread of its own, for which nobody waits when the dump fails: it may hang in the kernel.
        let writer = thread::spawn(move || {
            // Dropped when the writer ends, even by a panic.
            let _done = done;
            let written = writing.run(&head, scrub.as_ref(), &mut sink);
            (sink, written)
        });
        let (read, pause) = self.read(reading, held, &shown, say, problems);
        // The process goes on; what of its memory is in buffers is still to be written.
        let waited = read.and_then(|unreadable| match self.limit.wait(&is_done, None, || shown.update()) {
            None => Ok(unreadable),
            Some(why) => Err(why),
        });
        let unreadable = waited.inspect_err(|_| shown.progress.stop.store(true, Ordering::Relaxed))?;
        let (sink, written) = writer.join().map_err(|_| bug())?;
        let written = written.map_err(|why| self.failed_to_write(&why))?;
        shown.update();
        Ok(Copied { pause, unreadable, written, sink })
    }

    fn failed_to_write(&self, why: &io::Error) -> Error {
        // Who cancels a pipeline from the keyboard ends its reader, too: the pipe may break before we hear of it.
        if why.kind() == io::ErrorKind::BrokenPipe {
            thread::sleep(LOOK);
        }
        if self.limit.job.is_cancelled() { Error::Cancelled } else { write_error(why) }
    }

    /// Reads all memory while it is held. What could not be read, and how long the process was stopped.
    fn read(
        &self,
        reading: Reading,
        held: Held<'_>,
        shown: &Shown<'_>,
        say: &(dyn Fn(&str) + Sync),
        problems: &mut Vec<Problem>,
    ) -> (Result<Vec<Span>, Error>, Duration) {
        let stop = AtomicBool::new(false);
        let (done, is_done) = bounded::<()>(1);
        let deadline = self.limit.deadline(held.stopped_for());
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                // Dropped when the reader ends, even by a panic.
                let _done = done;
                reading.run(self.source, self.layout, &stop, self.limit.job)
            });
            let why = self.limit.wait(&is_done, deadline, || shown.update());
            stop.store(why.is_some(), Ordering::Relaxed);
            let (pause, whole) = held.release();
            say(&format!("the process was stopped for {:.1} ms", pause.as_secs_f64() * 1000.0));
            if !whole {
                let message = "the copy of the process that was read could not be reaped; a zombie stays behind until the process ends";
                problems.push(Problem::new("zombie", Subject::Capture, message));
            }
            let read = reader.join().unwrap_or_else(|_| Err(bug()));
            let read = match why {
                Some(why) => Err(why),
                None if deadline.is_some() && self.limit.live.has_ended() => read.map_err(|_| self.limit.live.ended()),
                None => read,
            };
            (read, pause)
        })
    }
}

/// Progress of the writer, as it is shown to who waits for the dump.
struct Shown<'a> {
    job: &'a Job,
    progress: Arc<Progress>,
}

impl Shown<'_> {
    fn update(&self) {
        let written = self.progress.covered.swap(0, Ordering::Relaxed);
        // Whether the job was cancelled is looked at elsewhere.
        let _ = self.job.advance(written);
    }
}
