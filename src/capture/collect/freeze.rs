//! Stopping every thread of a process, and letting all of them go again, whatever happens.
//!
//! Threads are seized (PTRACE_SEIZE) and asked to stop (PTRACE_INTERRUPT), which sends no signal: a system call that is
//! interrupted restarts, a process that was stopped stays stopped. When the tracing thread ends, for whatever reason,
//! SIGKILL among them, the kernel lets its tracees go. Signals that arrive meanwhile wait, and one that a thread was
//! just about to take is handed on when it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use procfs::process::{Stat, Syscall};

use super::inject;
use super::live::{Live, read};
use super::stops::{Wait, poll};
use crate::error::Error;
use crate::job::Job;
use crate::ptrace::{self, Seizing};

/// How long threads may take to stop. One that sleeps where the kernel lets nothing interrupt it (a dead network disk,
/// a vfork whose child lives) does not stop before it wakes.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long threads are waited for that wait in vfork(2) for a child, as posix_spawn(3) does for a millisecond.
const PATIENCE_FOR_CHILD: Duration = Duration::from_millis(300);
/// Source: Linux arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h: vfork (on x86-64 alone),
/// clone, clone3.
const VFORK: Option<i64> = if cfg!(target_arch = "x86_64") { Some(58) } else { None };
const CLONE: i64 = if cfg!(target_arch = "x86_64") { 56 } else { 220 };
const CLONE3: i64 = 435;
/// How long to sleep between looks at threads that have not stopped yet.
const PAUSE: Duration = Duration::from_micros(50);
/// Most times that the list of threads is read: each time, all threads known before have stopped.
const MAX_ROUNDS: usize = 10_000;

/// A process whose threads are stopped. Dropping it lets them go.
#[derive(Debug)]
pub(super) struct Frozen<'a> {
    live: &'a Live,
    threads: BTreeMap<i32, Thread>,
    /// Whether the threads are let go by whoever stopped them.
    is_borrowed: bool,
    since: Instant,
    /// The signal that had stopped the whole process before.
    stop_signal: Option<i32>,
    // Tracees belong to this thread: it must not be sent to another.
    not_send: PhantomData<*const ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    /// Seized, not stopped.
    Running,
    /// Stopped, about to take this signal (0: none).
    Stopped(i32),
}

impl<'a> Frozen<'a> {
    /// Stops every thread. Fails where that is forbidden, and where the process ends or runs another program meanwhile.
    pub(super) fn stop(live: &'a Live, job: &Job) -> Result<Frozen<'a>, Error> {
        let mut frozen = Frozen {
            live,
            threads: BTreeMap::new(),
            is_borrowed: false,
            since: Instant::now(),
            stop_signal: None,
            not_send: PhantomData,
        };
        let first = i32::try_from(live.pid).unwrap_or(0);
        // Threads that end meanwhile are noticed when they are polled.
        ptrace::seizing(first, |seizing| frozen.seize_all(seizing, job)).0?;
        if frozen.stopped().next().is_none() {
            live.verify()?;
            if let Some(child) = frozen.awaited_child() {
                return Err(Error::Failed(format!(
                    "{live} waits in vfork() until its child {child} runs another program or ends, and cannot be stopped; the child uses the same memory: dump that with -p {child}"
                )));
            }
            return Err(Error::Failed(format!(
                "{live}: no thread stopped within {} s; all sleep where nothing interrupts them",
                PATIENCE.as_secs()
            )));
        }
        live.verify()?;
        Ok(frozen)
    }

    /// Threads that this thread has stopped before, each with the signal that it is about to take. They stay stopped.
    pub(super) fn of(live: &'a Live, stopped: &[(u32, i32)]) -> Frozen<'a> {
        let threads =
            stopped.iter().filter_map(|(tid, signal)| Some((i32::try_from(*tid).ok()?, Thread::Stopped(*signal))));
        let threads = threads.collect();
        Frozen { live, threads, is_borrowed: true, since: Instant::now(), stop_signal: None, not_send: PhantomData }
    }

    /// Seizes every thread and waits until they have stopped.
    fn seize_all(&mut self, seizing: &Seizing, job: &Job) -> Result<(), Error> {
        // Seizing stops nothing: a thousand threads are seized before the first one waits for the others.
        let mut fresh = self.seize_new(seizing)?;
        self.since = Instant::now();
        for _ in 0..MAX_ROUNDS {
            for tid in &fresh {
                // One that is gone is noticed below.
                let _ = ptrace::interrupt(*tid);
            }
            self.await_stops(job)?;
            fresh = self.seize_new(seizing)?;
            if fresh.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Seizes threads that are not seized yet.
    fn seize_new(&mut self, seizing: &Seizing) -> Result<BTreeSet<i32>, Error> {
        let tids = self.live.threads().map_err(|_| self.live.ended())?;
        let mut fresh = BTreeSet::new();
        for tid in tids {
            if self.threads.contains_key(&tid) {
                continue;
            }
            match seizing.seize(tid, 0) {
                Ok(()) => {}
                Err(why) if why.raw_os_error() == Some(libc::ESRCH) => continue,
                Err(_) if self.is_dead(tid) => continue,
                // A thread that ran another program has the id of the first thread now, and is still ours.
                Err(_) if self.is_ours(tid) => {}
                Err(_) => return Err(self.live.forbidden()),
            }
            self.threads.insert(tid, Thread::Running);
            fresh.insert(tid);
        }
        Ok(fresh)
    }

    fn stat(&self, tid: i32, file: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.live.proc(&format!("task/{tid}/{file}")))
    }

    fn is_dead(&self, tid: i32) -> bool {
        let file = format!("task/{tid}/stat");
        read::<Stat>(self.live.pid, &file).map_or(true, |stat| matches!(stat.state, 'Z' | 'X' | 'x'))
    }

    fn is_ours(&self, tid: i32) -> bool {
        let wanted = format!("TracerPid:\t{}\n", rustix::thread::gettid().as_raw_nonzero());
        self.stat(tid, "status").is_ok_and(|text| String::from_utf8_lossy(&text).contains(&wanted))
    }

    /// Waits until every seized thread has stopped or is gone, or patience ends.
    fn await_stops(&mut self, job: &Job) -> Result<(), Error> {
        let deadline = self.since + PATIENCE;
        let first_look = self.since + PATIENCE_FOR_CHILD;
        loop {
            let mut waiting = false;
            let stop_signal = &mut self.stop_signal;
            self.threads.retain(|tid, thread| {
                if *thread == Thread::Running {
                    match poll(*tid) {
                        Wait::Nothing => waiting = true,
                        Wait::Gone => return false,
                        Wait::Signal(signal) => *thread = Thread::Stopped(signal),
                        Wait::WithAll(signal) => {
                            *stop_signal = Some(signal);
                            *thread = Thread::Stopped(0);
                        }
                        Wait::Stopped | Wait::Syscall | Wait::Child => *thread = Thread::Stopped(0),
                    }
                }
                true
            });
            if !waiting {
                return Ok(());
            }
            if job.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let now = Instant::now();
            if now >= deadline || (now >= first_look && self.unstopped().all(|tid| self.awaits_child(tid))) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether a thread sleeps in a call that makes a child and waits until that runs another program or ends.
    fn awaits_child(&self, tid: i32) -> bool {
        let made = |number: i64| Some(number) == VFORK || number == CLONE || number == CLONE3;
        let called = read::<Syscall>(self.live.pid, &format!("task/{tid}/syscall"));
        matches!(called, Ok(Syscall::Blocked { syscall_number, .. }) if made(syscall_number))
    }

    /// The child that every thread waits for; `None` where one waits for something else.
    fn awaited_child(&self) -> Option<i32> {
        let waits = self.unstopped().all(|tid| self.awaits_child(tid));
        let children = |tid: i32| self.stat(tid, "children").ok();
        let last = |text: Vec<u8>| String::from_utf8_lossy(&text).split_whitespace().next_back()?.parse().ok();
        self.unstopped().filter(|_| waits).filter_map(children).find_map(last)
    }

    /// Ids of the threads that are stopped, ascending.
    pub(super) fn stopped(&self) -> impl Iterator<Item = i32> {
        self.threads.iter().filter(|(_, thread)| **thread != Thread::Running).map(|(tid, _)| *tid)
    }

    /// Ids of the threads that did not stop in time; their registers cannot be read.
    pub(super) fn unstopped(&self) -> impl Iterator<Item = i32> {
        self.threads.iter().filter(|(_, thread)| **thread == Thread::Running).map(|(tid, _)| *tid)
    }

    /// The signal that a stopped thread is about to take.
    pub(super) fn pending(&self, tid: i32) -> Option<i32> {
        match self.threads.get(&tid)? {
            Thread::Stopped(signal) if *signal != 0 => Some(*signal),
            _ => None,
        }
    }

    /// A stopped thread that can make a system call for us, the first thread rather than others.
    pub(super) fn caller(&self) -> Option<i32> {
        let first = i32::try_from(self.live.pid).ok();
        let mut tids: Vec<i32> = self.stopped().filter(|tid| self.pending(*tid).is_none()).collect();
        tids.sort_by_key(|tid| Some(*tid) != first);
        tids.into_iter().find(|tid| inject::can_call(*tid))
    }

    /// The signal that had stopped the process before it was seized.
    pub(super) fn stop_signal(&self) -> Option<i32> {
        self.stop_signal
    }

    /// How long the process has been stopped.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Lets every thread go. How long the process was stopped.
    pub(super) fn thaw(mut self) -> Duration {
        self.release();
        self.since.elapsed()
    }

    fn release(&mut self) {
        if self.is_borrowed {
            return self.threads.clear();
        }
        for (tid, thread) in std::mem::take(&mut self.threads) {
            let signal = match thread {
                Thread::Stopped(signal) => signal,
                // It may have stopped meanwhile. If not, the kernel lets it go when this thread ends.
                Thread::Running => match poll(tid) {
                    Wait::Signal(signal) => signal,
                    _ => 0,
                },
            };
            // One that was killed is gone, and an exec in its process waits until that is taken note of.
            if ptrace::detach(tid, signal).is_err() {
                let _ = poll(tid);
            }
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.release();
    }
}
