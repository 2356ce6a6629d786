//! Memory is held as it was at the stop while it is copied, and the process is let go as early as that allows.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::blot::Blot;
use super::copy::{Belt, Reading};
use super::fork::Child;
use super::freeze::Frozen;
use super::layout::Layout;
use super::live::Live;
use super::maps::Span;
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
    /// Whether the process is stopped.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self, Held::Stopped(_))
    }

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
    pub(super) blot: Option<Blot>,
    pub(super) sink: Sink,
}

/// What came of copying.
pub(super) struct Copied {
    pub(super) pause: Duration,
    pub(super) unreadable: Vec<Span>,
    pub(super) written: u64,
    pub(super) sink: Sink,
}

/// What is copied, from where.
pub(super) struct Plan<'a> {
    pub(super) live: &'a Live,
    pub(super) source: &'a Source,
    pub(super) layout: &'a Layout,
    pub(super) max_pause: Duration,
}

impl Plan<'_> {
    /// Reads and writes all memory. The process goes on as soon as the last byte is read, and at once where that takes too long, is
    /// cancelled or fails.
    pub(super) fn copy(
        &self,
        held: Held<'_>,
        way: Way,
        job: &Job,
        say: &(dyn Fn(&str) + Sync),
        problems: &mut Vec<Problem>,
    ) -> Result<Copied, Error> {
        let Way { belt, blot, mut sink } = way;
        let (reading, writing) = belt.ends();
        let head = self.layout.head.clone();
        // A thread of its own, for which nobody waits when the dump fails: it may hang in the kernel.
        let writer = thread::spawn(move || {
            let written = writing.run(&head, blot.as_ref(), &mut sink);
            (sink, written)
        });
        let is_stopped = held.is_stopped();
        let (read, pause) = self.read(reading, held, job, say, problems);
        let read = if is_stopped && self.live.has_ended() { read.map_err(|_| self.live.ended()) } else { read };
        let unreadable = read?;
        let (sink, written) = writer.join().map_err(|_| bug())?;
        let written = written.map_err(|why| write_error(&why))?;
        Ok(Copied { pause, unreadable, written, sink })
    }

    /// Reads all memory while it is held. What could not be read, and how long the process was stopped.
    fn read(
        &self,
        reading: Reading,
        held: Held<'_>,
        job: &Job,
        say: &(dyn Fn(&str) + Sync),
        problems: &mut Vec<Problem>,
    ) -> (Result<Vec<Span>, Error>, Duration) {
        let stop = AtomicBool::new(false);
        let (done, is_done) = bounded::<()>(1);
        let deadline = held.stopped_for().map(|stopped| Instant::now() + self.max_pause.saturating_sub(stopped));
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                // Dropped when the reader ends, even by a panic.
                let _done = done;
                reading.run(self.source, self.layout, &stop, job)
            });
            let mut why = None;
            while why.is_none() && is_done.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                why = self.reason_to_stop(held.is_stopped(), deadline, job);
            }
            stop.store(why.is_some(), Ordering::Relaxed);
            let (pause, whole) = held.release();
            say(&format!("the process was stopped for {:.1} ms", pause.as_secs_f64() * 1000.0));
            if !whole {
                let message = "the copy of the process that was read could not be reaped; a zombie stays behind until the process ends";
                problems.push(Problem::new("zombie", Subject::Capture, message));
            }
            let read = reader.join().unwrap_or_else(|_| Err(bug()));
            (why.map_or(read, Err), pause)
        })
    }

    fn reason_to_stop(&self, is_stopped: bool, deadline: Option<Instant>, job: &Job) -> Option<Error> {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Some(Error::Failed(format!(
                "{} was stopped for {:.1} s, the limit; it goes on and nothing was kept (--max-pause, --mode fork, a smaller --type)",
                self.live,
                self.max_pause.as_secs_f64()
            )));
        }
        if is_stopped && self.live.has_ended() {
            return Some(self.live.ended());
        }
        job.is_cancelled().then_some(Error::Cancelled)
    }
}

pub(super) fn bug() -> Error {
    Error::Failed("a bug in dumpscope; the process goes on".to_owned())
}

pub(super) fn write_error(why: &io::Error) -> Error {
    let remedy = match why.raw_os_error() {
        Some(libc::ENOSPC) => "; the disk is full: name another place with -o, or dump less (--type heap, --type mini)",
        Some(libc::EFBIG) => "; files may not be larger (ulimit -f)",
        Some(libc::EDQUOT) => "; the quota of this user is used up",
        _ => "",
    };
    Error::Failed(format!("the dump cannot be written: {why}{remedy}; nothing was kept"))
}
