//! Seeing a signal before it is delivered: every thread traced by one thread of ours, which resumes each stop at once,
//! with its signal.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::sampler::Sampler;
use super::state::{State, Trigger};
use super::watched::{Dump, Ended, Held, INTERVAL, PATIENCE, timespec};
use crate::error::Error;
use crate::job::Job;
use crate::ptrace::{self, Change, EVENT_EXEC, EVENT_STOP, Seizing};

/// Longest wait for all threads to stop before a dump; one in an uninterruptible sleep may not.
const STOP_LIMIT: Duration = Duration::from_secs(1);
/// After this long, threads that do not stop are asked whether they have exited: the first one's end is told only with
/// the last one's.
const STOP_PATIENCE: Duration = Duration::from_millis(20);
/// Rounds of seizing until no thread is new. Threads started meanwhile by a seized one are seized by the kernel.
const MAX_ROUNDS: usize = 64;
/// Most stops handled before other conditions are looked at.
const MAX_STOPS: usize = 4096;

/// How a traced thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Running,
    /// Stopped before this signal; 0 for none.
    Stopped(i32),
    /// Stopped with its whole process, by a stop signal, and can be read.
    Group,
    /// The same, left to itself until SIGCONT.
    Listening,
}

/// Watches with tracing. The tracing thread is one of its own: when it ends, the kernel lets all tracees go.
pub(super) fn watch(sampler: Sampler, state: State, job: &Job, dump: &mut Dump<'_>) -> Result<Ended, Error> {
    // A write for each SIGCHLD wakes the poll below: a traced thread stopped or ended.
    let (stops, wake) = UnixStream::pair().map_err(|source| Error::Io { path: "a socket pair".into(), source })?;
    let failed = |source| Error::Io { path: "SIGCHLD".into(), source };
    stops.set_nonblocking(true).map_err(failed)?;
    let handler = signal_hook::low_level::pipe::register(libc::SIGCHLD, wake).map_err(failed)?;
    let ended = std::thread::scope(|scope| {
        let tracer = scope.spawn(move || Tracer { sampler, state, threads: BTreeMap::new(), stops }.run(job, dump));
        tracer.join().unwrap_or_else(|_| Err(Error::Failed("the tracing thread panicked".to_owned())))
    });
    signal_hook::low_level::unregister(handler);
    ended
}

struct Tracer {
    sampler: Sampler,
    state: State,
    threads: BTreeMap<i32, Stand>,
    stops: UnixStream,
}

impl Tracer {
    fn run(mut self, job: &Job, dump: &mut Dump<'_>) -> Result<Ended, Error> {
        let first = i32::try_from(self.sampler.pid).unwrap_or(0);
        let (seized, gone) = ptrace::seizing(first, |seizing| self.seize_all(seizing));
        seized?;
        self.threads.retain(|tid, _| !gone.contains(tid));
        let mut next = Duration::ZERO;
        loop {
            job.check()?;
            let is_alive = self.handle_stops(dump)?;
            // A signal that was dumped may have ended it: all that was asked for is there all the same.
            if self.state.is_done() {
                return Ok(Ended::Done);
            }
            if !is_alive {
                return Ok(Ended::Exited);
            }
            if self.sampler.elapsed() >= next {
                let Some(sample) = self.sampler.sample() else { return Ok(Ended::Exited) };
                next = sample.at.saturating_add(INTERVAL);
                if let Some(trigger) = self.state.step(&sample) {
                    self.dump(&trigger, dump)?;
                }
            }
            if self.state.is_done() {
                return Ok(Ended::Done);
            }
            self.wait(next.saturating_sub(self.sampler.elapsed()).min(PATIENCE));
        }
    }

    /// Seizes every thread. One that was started by a seized thread is traced already.
    fn seize_all(&mut self, seizing: &Seizing) -> Result<(), Error> {
        let failed = |error: io::Error, pid: u32| Error::Failed(format!("process {pid} cannot be traced: {error}"));
        for _ in 0..MAX_ROUNDS {
            let tids = self.sampler.tids().map_err(|error| failed(error, self.sampler.pid))?;
            let new: Vec<i32> = tids.into_iter().filter(|tid| !self.threads.contains_key(tid)).collect();
            if new.is_empty() {
                return Ok(());
            }
            for tid in new {
                match seizing.seize(tid, ptrace::TRACE_THREADS | ptrace::TRACE_EXEC) {
                    Ok(()) => {
                        self.threads.insert(tid, Stand::Running);
                    }
                    // It has left meanwhile.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    // The kernel traced it for us when a traced thread started it.
                    Err(_) if self.sampler.tracer_of(tid) == Some(rustix::thread::gettid().as_raw_nonzero().get()) => {
                        self.threads.insert(tid, Stand::Running);
                    }
                    Err(error) => return Err(failed(error, self.sampler.pid)),
                }
            }
        }
        Ok(())
    }

    /// Waits until something stops or `time` has passed.
    fn wait(&mut self, time: Duration) {
        use std::io::Read;
        let mut waited = [PollFd::new(&self.stops, PollFlags::IN)];
        // An error is EINTR; the loop looks at everything again anyhow.
        let _ = rustix::event::poll(&mut waited, Some(&timespec(time)));
        let mut bytes = [0; 256];
        while self.stops.read(&mut bytes).is_ok_and(|count| count > 0) {}
    }

    /// Handles all changes there are: resumes each stop with its signal, once a dump was taken where one is asked for.
    /// False once no thread is left.
    fn handle_stops(&mut self, dump: &mut Dump<'_>) -> Result<bool, Error> {
        for _ in 0..MAX_STOPS {
            let Ok(Some(change)) = ptrace::look(0) else { break };
            self.note(change);
            if self.threads.is_empty() {
                break;
            }
            if let Some(Stand::Stopped(signal)) = self.threads.get(&change.tid)
                && *signal != 0
            {
                let about = u32::try_from(change.tid).unwrap_or_default();
                if let Some(trigger) = self.state.signal(self.sampler.elapsed(), about, *signal) {
                    self.dump(&trigger, dump)?;
                }
            }
            self.resume();
        }
        Ok(!self.threads.is_empty())
    }

    /// Takes note of a change. The stop before a signal stays untaken until the thread goes on: should we be killed
    /// meanwhile, the kernel delivers it.
    fn note(&mut self, Change { tid, stop }: Change) {
        match stop {
            // The first thread's end is told last, and is its parent's to take note of, which may be this very program.
            None if u32::try_from(tid) == Ok(self.sampler.pid) => self.threads.clear(),
            None => {
                ptrace::taken(tid);
                self.threads.remove(&tid);
            }
            Some((signal, 0)) => {
                self.threads.insert(tid, Stand::Stopped(signal));
            }
            Some((signal, event)) => {
                ptrace::taken(tid);
                match event {
                    // A child made by clone(2) with a signal of its own is traced like a thread, and is none.
                    EVENT_STOP if !self.threads.contains_key(&tid) && !self.sampler.has_thread(tid) => {
                        let _ = ptrace::detach(tid, 0);
                    }
                    EVENT_STOP if is_stop_signal(signal) => {
                        self.threads.insert(tid, Stand::Group);
                    }
                    event => {
                        if event == EVENT_EXEC {
                            // The other threads are gone, and the one that goes on has the process's id.
                            self.threads.clear();
                        }
                        self.threads.insert(tid, Stand::Stopped(0));
                    }
                }
            }
        }
    }

    /// Lets every stopped thread go on with its signal.
    fn resume(&mut self) {
        for (tid, stand) in &mut self.threads {
            // ESRCH: it was killed meanwhile, which the next wait tells.
            *stand = match *stand {
                Stand::Stopped(signal) => {
                    let _ = ptrace::resume(*tid, signal);
                    Stand::Running
                }
                Stand::Group => {
                    let _ = ptrace::listen(*tid);
                    Stand::Listening
                }
                other => other,
            };
        }
    }

    /// Stops the others too, takes the dump, lets all go.
    fn dump(&mut self, trigger: &Trigger, dump: &mut Dump<'_>) -> Result<(), Error> {
        let held = self.hold();
        let done = dump(trigger, &self.sampler.watched(Some(&held)));
        self.resume();
        done
    }

    fn hold(&mut self) -> Held {
        let began = Instant::now();
        let mut asked = std::collections::BTreeSet::new();
        loop {
            for tid in self.sampler.tids().unwrap_or_default() {
                if !matches!(self.threads.get(&tid), Some(Stand::Stopped(_) | Stand::Group)) {
                    // One that was started meanwhile is traced, and stops before its first instruction.
                    self.threads.entry(tid).or_insert(Stand::Running);
                    ptrace::look(tid).into_iter().flatten().for_each(|change| self.note(change));
                }
            }
            let is_late = began.elapsed() >= STOP_PATIENCE;
            let running: Vec<i32> = self
                .threads
                .iter()
                .filter(|(tid, stand)| {
                    matches!(stand, Stand::Running | Stand::Listening) && !(is_late && self.sampler.has_exited(**tid))
                })
                .map(|(tid, _)| *tid)
                .collect();
            if running.is_empty() || began.elapsed() >= STOP_LIMIT {
                let id = |tid: &i32| u32::try_from(*tid).unwrap_or_default();
                let stopped = self.threads.iter().filter_map(|(tid, stand)| match stand {
                    Stand::Running | Stand::Listening => None,
                    Stand::Stopped(signal) => Some((id(tid), *signal)),
                    Stand::Group => Some((id(tid), 0)),
                });
                let stopped = stopped.collect();
                return Held { pid: self.sampler.pid, stopped, unstopped: running.iter().map(id).collect() };
            }
            for tid in running.into_iter().filter(|tid| asked.insert(*tid)) {
                // ESRCH: it has left, which the wait tells.
                let _ = ptrace::interrupt(tid);
            }
            self.wait(Duration::from_millis(1));
        }
    }
}

/// Signals that stop a whole process.
fn is_stop_signal(signal: i32) -> bool {
    matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU)
}
