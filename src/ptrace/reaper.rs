//! Seizing the threads of a process that may run another program (exec) at any moment.
//!
//! Such a thread waits until all others of its process are gone, and those that are traced are not before their tracer
//! has reaped them. The tracer for its part waits in PTRACE_SEIZE until the exec is over: both would wait for ever.
//! Here a second thread reaps meanwhile.
// Source: Linux fs/exec.c, de_thread, and kernel/ptrace.c, ptrace_attach, which both want `cred_guard_mutex`;
// ptrace(2), "BUGS".

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often threads that have ended are looked for.
const LOOK: Duration = Duration::from_millis(10);

/// The threads that were seized so far.
#[derive(Debug, Default)]
pub(crate) struct Seizing {
    seized: Mutex<Vec<i32>>,
    /// Whether a thread is being seized now, which may wait for one to be reaped.
    waits: AtomicBool,
    over: AtomicBool,
}

impl Seizing {
    /// Becomes the tracer of a thread, without stopping it.
    pub(crate) fn seize(&self, tid: i32, options: u64) -> io::Result<()> {
        self.waits.store(true, Ordering::Release);
        let seized = super::seize(tid, options);
        self.waits.store(false, Ordering::Release);
        seized?;
        self.seized.lock().unwrap_or_else(PoisonError::into_inner).push(tid);
        Ok(())
    }

    /// Threads that this thread may have seized before and that could not be let go, since they were about to end: they
    /// are reaped, too.
    pub(crate) fn add_earlier(&self, tids: &[i32]) {
        self.seized.lock().unwrap_or_else(PoisonError::into_inner).extend(tids);
    }

    /// Reaps threads that have ended, until nothing more is seized. Those that were.
    fn reap(&self, first: i32) -> Vec<i32> {
        let mut reaped = Vec::new();
        loop {
            thread::park_timeout(LOOK);
            if self.over.load(Ordering::Acquire) {
                return reaped;
            }
            // While nobody waits for it, it would only be in the way of those who wait for a thousand threads to stop.
            if !self.waits.load(Ordering::Acquire) {
                continue;
            }
            let mut seized = self.seized.lock().unwrap_or_else(PoisonError::into_inner);
            // The first thread's end is its parent's to take note of, and no exec waits for that.
            let gone = seized.extract_if(.., |tid| *tid != first && super::reap(*tid));
            reaped.extend(gone);
        }
    }
}

/// Runs `work`, which seizes threads of one process, whose first thread is `first`. What it returns, and the threads
/// that have ended meanwhile: no wait tells of them any more.
pub(crate) fn seizing<T>(first: i32, work: impl FnOnce(&Seizing) -> T) -> (T, Vec<i32>) {
    let seizing = Seizing::default();
    thread::scope(|scope| {
        let reaper = scope.spawn(|| seizing.reap(first));
        let over = Over(&seizing, reaper.thread());
        let done = work(&seizing);
        drop(over);
        (done, reaper.join().unwrap_or_default())
    })
}

/// Ends the reaper when dropped, also by a panic.
struct Over<'a>(&'a Seizing, &'a thread::Thread);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
        self.1.unpark();
    }
}
