//! Looks at a live process through /proc: what [`super::state`] decides on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use procfs::FromBufRead;
use procfs::process::{Process as ProcDir, Status};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};

use super::condition::{Condition, Threads};
use super::state::{Progress, Sample};
use super::watched::{Held, Watched, timespec};
use crate::error::Error;
use crate::processes::read;

/// Most threads looked at.
const MAX_THREADS: usize = 1 << 17;

/// One process, held by a descriptor of its own: a later holder of its pid is never taken for it.
pub(super) struct Sampler {
    dir: ProcDir,
    pub(super) pid: u32,
    /// Start time, clock ticks since boot.
    pub(super) start_ticks: u64,
    pidfd: OwnedFd,
    began: Instant,
    wanted: Wanted,
}

/// Which threads the conditions ask for.
#[derive(Default)]
struct Wanted {
    first: bool,
    all: bool,
    names: Vec<String>,
}

fn wanted(conditions: &[Condition]) -> Wanted {
    let mut wanted = Wanted::default();
    for condition in conditions {
        match condition {
            Condition::Hang { threads: Threads::Main, .. } => wanted.first = true,
            Condition::Hang { threads: Threads::All, .. } => wanted.all = true,
            Condition::Hang { threads: Threads::Named(name), .. } => wanted.names.push(name.clone()),
            Condition::Rss(_) | Condition::Cpu { .. } | Condition::Signal(_) => {}
        }
    }
    wanted
}

impl Sampler {
    pub(super) fn open(pid: u32, conditions: &[Condition]) -> Result<Sampler, Error> {
        let gone = |why: &dyn std::fmt::Display| Error::Failed(format!("process {pid} cannot be watched: {why}"));
        let number = i32::try_from(pid).map_err(|error| gone(&error))?;
        let raw = Pid::from_raw(number).ok_or_else(|| gone(&"0 is no process"))?;
        let pidfd = rustix::process::pidfd_open(raw, PidfdFlags::empty()).map_err(|error| gone(&error))?;
        let dir = ProcDir::new(number).map_err(|error| gone(&error))?;
        let stat = read::stat(&dir).map_err(|error| gone(&error))?;
        let sampler =
            Sampler { dir, pid, start_ticks: stat.starttime, pidfd, began: Instant::now(), wanted: wanted(conditions) };
        // Alive still: then the folder, opened in between, is of the same process and of no later holder of the pid.
        if sampler.has_ended(Duration::ZERO)? {
            return Err(gone(&"it has ended"));
        }
        Ok(sampler)
    }

    /// Waits at most this long for its end; whether it came.
    pub(super) fn has_ended(&self, patience: Duration) -> Result<bool, Error> {
        let mut ends = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut ends, Some(&timespec(patience))) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(Error::Failed(format!("waiting for process {} failed: {error}", self.pid))),
        }
    }

    /// As it is told to who takes a dump.
    pub(super) fn watched<'a>(&'a self, held: Option<&'a Held>) -> Watched<'a> {
        Watched { pid: self.pid, start_ticks: self.start_ticks, pidfd: self.pidfd.as_fd(), held }
    }

    /// Time since it was opened.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What is seen now; `None` once the process is gone.
    pub(super) fn sample(&self) -> Option<Sample> {
        let at = self.elapsed();
        let stat = match read::stat(&self.dir) {
            Ok(stat) => Some(stat),
            Err(error) if read::is_gone(&error) => return None,
            Err(_) => None,
        };
        let ticks = stat.as_ref().and_then(|stat| stat.utime.checked_add(stat.stime));
        let rss_bytes = stat.as_ref().and_then(|stat| stat.rss.checked_mul(procfs::page_size()));
        Some(Sample { at, rss_bytes, cpu: ticks.and_then(duration), threads: self.threads() })
    }

    /// The threads there are, by id.
    pub(super) fn tids(&self) -> io::Result<Vec<i32>> {
        let folder = rustix::fs::Dir::read_from(read::open(&self.dir, "task")?)?;
        let tid = |entry: rustix::fs::DirEntry| entry.file_name().to_str().ok()?.parse::<i32>().ok();
        let mut tids: Vec<i32> = folder.filter_map(|entry| tid(entry.ok()?)).take(MAX_THREADS).collect();
        tids.sort_unstable();
        Ok(tids)
    }

    /// Whether a thread of that id is the process's.
    pub(super) fn has_thread(&self, tid: i32) -> bool {
        read::open(&self.dir, &format!("task/{tid}/stat")).is_ok()
    }

    /// The thread that traces a thread, 0 for none.
    pub(super) fn tracer_of(&self, tid: i32) -> Option<i32> {
        let text = read::file(&self.dir, &format!("task/{tid}/status")).ok()?;
        let text = String::from_utf8_lossy(&text);
        text.lines().find_map(|line| line.strip_prefix("TracerPid:"))?.trim().parse().ok()
    }

    /// Whether a thread has left and only its remains are there.
    pub(super) fn has_exited(&self, tid: i32) -> bool {
        let stat = read::file(&self.dir, &format!("task/{tid}/stat")).ok();
        // The state stands behind the name, which may hold anything but ends with the last parenthesis.
        let state = stat.and_then(|stat| stat.get(memchr::memrchr(b')', &stat)?.checked_add(2)?).copied());
        state.is_none_or(|state| matches!(state, b'Z' | b'X' | b'x'))
    }

    fn threads(&self) -> Vec<Progress> {
        let Wanted { first, all, names } = &self.wanted;
        if !first && !all && names.is_empty() {
            return Vec::new();
        }
        let tids = self.tids().unwrap_or_default();
        tids.into_iter().filter_map(|tid| self.progress(tid)).collect()
    }

    /// `None` for a thread that has left, or that no condition asks for.
    fn progress(&self, tid: i32) -> Option<Progress> {
        let id = u32::try_from(tid).ok()?;
        let is_first = id == self.pid;
        let name = read::comm(&self.dir, &format!("task/{tid}/comm")).ok()?;
        if !(self.wanted.all || self.wanted.first && is_first || self.wanted.names.contains(&name)) {
            return None;
        }
        let file = |leaf: &str| read::file(&self.dir, &format!("task/{tid}/{leaf}")).ok();
        let text = |leaf: &str| file(leaf).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        let stat = file("stat")
            .and_then(|bytes| <procfs::process::Stat as procfs::FromRead>::from_read(bytes.as_slice()).ok());
        let status = text("status").and_then(|text| Status::from_buf_read(text.as_bytes()).ok());
        let switches =
            status.and_then(|status| status.voluntary_ctxt_switches?.checked_add(status.nonvoluntary_ctxt_switches?));
        Some(Progress {
            tid: id,
            name,
            is_first,
            ticks: stat.and_then(|stat| stat.utime.checked_add(stat.stime)),
            switches,
            syscall: text("syscall"),
            wait_channel: text("wchan"),
        })
    }
}

fn duration(ticks: u64) -> Option<Duration> {
    let millis = ticks.checked_mul(1000)?.checked_div(procfs::ticks_per_second())?;
    Some(Duration::from_millis(millis))
}
