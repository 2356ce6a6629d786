//! A live process that is to be dumped: that it is the one that was meant, now and later, and why it cannot be dumped.
//!
//! A process id may be given to another process at any time. A process is the same as long as its start time is
//! (proc(5), `stat` field 22); it runs the same program as long as `exe` leads to the same file.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use procfs::FromRead;
use procfs::process::{Stat, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::Error;

/// Bit of `flags` in proc(5) `stat`. Source: Linux include/linux/sched.h, PF_KTHREAD.
const PF_KTHREAD: u32 = 0x0020_0000;

/// A process that may be stopped and read.
#[derive(Debug)]
pub(super) struct Live {
    /// Its id, in our PID namespace.
    pub(super) pid: u32,
    /// The short name that the kernel keeps.
    pub(super) name: String,
    /// Becomes readable when the process ends. `None` on kernels before 5.3.
    pidfd: Option<OwnedFd>,
    start_time: u64,
    /// Device and inode of the program; unknown where we may not look.
    program: Option<(u64, u64)>,
}

impl Live {
    /// Finds the process and checks that it can be dumped at all. Nothing is stopped.
    pub(super) fn open(pid: u32) -> Result<Live, Error> {
        let handle = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let handle = handle.ok_or_else(|| Error::Usage(format!("{pid} is no process id")))?;
        // Kernels before 5.3 have no pidfd; start times tell then.
        let pidfd = pidfd_open(handle, PidfdFlags::empty()).ok();
        let stat: Stat = read(pid, "stat").map_err(|_| gone(pid))?;
        let status: Status = read(pid, "status").map_err(|_| gone(pid))?;
        let name = stat.comm.clone();
        if u32::try_from(status.tgid) != Ok(pid) {
            let message = format!("{pid} is a thread of process {}; dump that with -p {}", status.tgid, status.tgid);
            return Err(Error::Failed(message));
        }
        if pid == std::process::id() {
            return Err(Error::Failed(format!("{pid} is dumpscope itself, which cannot stop itself")));
        }
        if stat.flags & PF_KTHREAD != 0 {
            let message = format!("{pid} ({name}) is a thread of the kernel; it has no memory of its own");
            return Err(Error::Failed(message));
        }
        let live = Live { pid, name, pidfd, start_time: stat.starttime, program: program(pid) };
        // A caller of `collect_stopped` traces it already, on this very thread.
        if status.tracerpid != 0 && status.tracerpid != rustix::thread::gettid().as_raw_nonzero().get() {
            return Err(live.traced_by(status.tracerpid));
        }
        if stat.state == 'Z' && live.threads().is_ok_and(|tids| tids.len() < 2) {
            return Err(Error::Failed(format!(
                "{live} is a zombie: it has ended and its parent ({}) has not asked how; nothing of its memory is left",
                stat.ppid
            )));
        }
        Ok(live)
    }

    /// The ids of its threads, in the kernel's order.
    pub(super) fn threads(&self) -> io::Result<Vec<i32>> {
        let entries = fs::read_dir(self.proc("task"))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Its root directory as we see it, without a slash at the end; `None` where that is ours too, or cannot be told.
    pub(super) fn root(&self) -> Option<Vec<u8>> {
        let root = fs::read_link(self.proc("root")).ok()?.into_os_string().into_vec();
        (root.len() > 1 && root.starts_with(b"/")).then_some(root)
    }

    /// A file of its folder in `/proc`.
    pub(super) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    /// Whether the process has ended, or another one has its id.
    pub(super) fn has_ended(&self) -> bool {
        if let Some(pidfd) = &self.pidfd {
            let mut polled = [PollFd::new(pidfd, PollFlags::IN)];
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            return poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0);
        }
        !self.is_same()
    }

    fn is_same(&self) -> bool {
        read::<Stat>(self.pid, "stat").is_ok_and(|stat| stat.starttime == self.start_time && stat.state != 'Z')
    }

    /// Fails where the process has ended, its id is another's, or it runs another program now.
    pub(super) fn verify(&self) -> Result<(), Error> {
        let stat: Stat = read(self.pid, "stat").map_err(|_| self.ended())?;
        if stat.starttime != self.start_time {
            let message = format!(
                "{self} has ended and its id was given to another process ({}); nothing of it was dumped",
                stat.comm
            );
            return Err(Error::Failed(message));
        }
        if self.has_ended() {
            return Err(self.ended());
        }
        let program = program(self.pid);
        if program.is_some() && self.program.is_some() && program != self.program {
            let message =
                format!("{self} replaced its program by another (exec) while it was being stopped; try again");
            return Err(Error::Failed(message));
        }
        Ok(())
    }

    /// The error for a process that is no more.
    pub(super) fn ended(&self) -> Error {
        Error::Failed(format!("{self} ended while it was being dumped; what was written is removed"))
    }

    /// The error for a process under a debugger.
    pub(super) fn traced_by(&self, tracer: i32) -> Error {
        // The tracer is a thread; people know its process.
        let status: Option<Status> = u32::try_from(tracer).ok().and_then(|tracer| read(tracer, "status").ok());
        let tracer = status.as_ref().map_or(tracer, |status| status.tgid);
        let name = status.map_or_else(|| "?".to_owned(), |status| status.name);
        let message = format!(
            "{self} is traced by process {tracer} ({name}), a debugger or the like, and can have one tracer only; end or detach that first"
        );
        Error::Failed(message)
    }

    /// The error for a process that may not be traced: why, and what to change.
    pub(super) fn forbidden(&self) -> Error {
        let own = rustix::process::geteuid().as_raw();
        let status: Option<Status> = read(self.pid, "status").ok();
        if let Some(tracer) = status.as_ref().map(|status| status.tracerpid).filter(|tracer| *tracer != 0) {
            return self.traced_by(tracer);
        }
        let owner = status.map(|status| status.euid);
        if own != 0 && owner.is_some_and(|owner| owner != own) {
            let owner = owner.unwrap_or_default();
            let message = format!(
                "{self} belongs to user {owner}, and this is user {own}: run dumpscope as that user or as root"
            );
            return Error::Failed(message);
        }
        let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let scope = scope.as_deref().map(str::trim).filter(|scope| *scope != "0");
        let why = match scope {
            Some("3") => "kernel.yama.ptrace_scope is 3: nobody may trace a process until the next boot".to_owned(),
            Some(scope) if own != 0 => {
                format!("kernel.yama.ptrace_scope is {scope}: run as root, or as root `sysctl kernel.yama.ptrace_scope=0`")
            }
            _ if own != 0 => "the process changed its user or may not be dumped (prctl PR_SET_DUMPABLE): run as root".to_owned(),
            _ => "root here lacks CAP_SYS_PTRACE: `docker run --cap-add=SYS_PTRACE`; in Kubernetes securityContext.capabilities.add [SYS_PTRACE], with shareProcessNamespace or an ephemeral container (`kubectl debug --target`)".to_owned(),
        };
        Error::Failed(format!("{self} may not be traced: {why}"))
    }
}

impl std::fmt::Display for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

fn gone(pid: u32) -> Error {
    Error::Failed(format!("there is no process {pid}"))
}

/// A file of a process's folder, parsed.
pub(super) fn read<T: FromRead>(pid: u32, file: &str) -> Result<T, io::Error> {
    let bytes = fs::read(format!("/proc/{pid}/{file}"))?;
    T::from_read(bytes.as_slice()).map_err(|why| io::Error::other(why.to_string()))
}

fn program(pid: u32) -> Option<(u64, u64)> {
    let file = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}
