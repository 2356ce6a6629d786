//! The processes of this machine: which one may dump, what runs in each, and why the others may not be dumped.
//!
//! Reads /proc alone; attaches to nothing. Each process is read through a descriptor of its own folder, so that a pid that is reused
//! meanwhile cannot mix two processes. What vanishes while it is read is left out: it is no longer there.

mod command_line;
mod container;
mod find;
mod observer;
mod process;
mod read;
mod recognise;
mod refusal;
pub mod watch;

use std::io;

use procfs::FromRead;
use procfs::process::Process as ProcDir;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Partial, Problem, RuntimeKind, Subject};
pub use find::find;
use observer::Observer;
pub use process::{Container, Engine, Process, Runtime};
use recognise::Memo;
use refusal::{Case, refusals};
pub use refusal::{Reason, Refusal};

/// Most processes listed. Linux allows 4,194,304 ids.
// Source: Linux include/linux/threads.h, PID_MAX_LIMIT.
const MAX_PROCESSES: usize = 4 << 20;
/// Set in `stat`'s flags for threads of the kernel.
// Source: Linux include/linux/sched.h, PF_KTHREAD.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// Largest /etc/passwd that is read.
const MAX_PASSWD: u64 = 16 << 20;

/// Every process that is seen from here, by pid. Fails only where /proc cannot be listed, or when cancelled.
pub fn list(job: &Job) -> Result<Partial<Vec<Process>>, Error> {
    let pids = pids()?;
    job.phase("reading processes", u64::try_from(pids.len()).unwrap_or(u64::MAX));
    let reader = Reader::new();
    let rows: Result<Vec<Option<Process>>, Error> = pids
        .par_iter()
        .map_init(
            || job.meter(),
            |meter, pid| {
                meter.add(1)?;
                Ok(reader.process(*pid))
            },
        )
        .collect();
    let mut value: Vec<Process> = rows?.into_iter().flatten().collect();
    value.sort_by_key(|process| process.pid);
    let mut problems = reader.observer.problems();
    if reader.uptime.is_none() {
        let message = "/proc/uptime cannot be read: ages are unknown";
        problems.push(Problem::new("uptime", Subject::Capture, message));
    }
    Ok(Partial { value, problems })
}

fn pids() -> Result<Vec<i32>, Error> {
    let failed = |source| Error::Io { path: "/proc".into(), source };
    let entries = std::fs::read_dir("/proc").map_err(failed)?;
    let pid = |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<i32>().ok();
    let pids: Vec<i32> = entries.filter_map(pid).take(MAX_PROCESSES).collect();
    if pids.is_empty() {
        return Err(failed(io::Error::other("it lists no processes; is the proc file system mounted there?")));
    }
    Ok(pids)
}

/// What is the same for all processes.
struct Reader {
    observer: Observer,
    users: FxHashMap<u32, String>,
    /// Seconds since boot.
    uptime: Option<f64>,
    memo: Memo,
}

impl Reader {
    fn new() -> Reader {
        let uptime = std::fs::File::open("/proc/uptime").ok().and_then(|file| procfs::Uptime::from_read(file).ok());
        Reader {
            observer: Observer::current(),
            users: users(),
            uptime: uptime.map(|up| up.uptime),
            memo: Memo::default(),
        }
    }

    /// `None` where it vanished before its first file could be read.
    fn process(&self, pid: i32) -> Option<Process> {
        let dir = ProcDir::new(pid).ok()?;
        let stat = read::stat(&dir).ok()?;
        // The parser replaces what is no UTF-8, of which the bytes are to be seen.
        let name = if stat.comm.contains(char::REPLACEMENT_CHARACTER) {
            read::comm(&dir, "comm").ok()?
        } else {
            stat.comm.clone()
        };
        let status = read::status(&dir).ok();
        let is_kernel_thread = stat.flags & KERNEL_THREAD != 0;
        let mut case = Case {
            pid: u32::try_from(pid).ok()?,
            is_kernel_thread,
            // A process whose first thread has left is shown as a zombie while others go on.
            has_exited: matches!(stat.state, 'Z' | 'X' | 'x') && stat.num_threads <= 1,
            parent: u32::try_from(stat.ppid).unwrap_or(0),
            ..Case::default()
        };
        if let Some(status) = &status {
            case.uids = [status.ruid, status.euid, status.suid];
            case.gids = [status.rgid, status.egid, status.sgid];
            case.tracer = u32::try_from(status.tracerpid).unwrap_or(0);
            case.capabilities = status.capprm;
        }
        if !is_kernel_thread && !case.has_exited {
            case.refused = refused(&dir, case.pid);
            // Only asked for an explanation: ten thousand processes are mostly one's own.
            if case.refused.is_some() {
                case.user_namespace = read::namespace(&dir, "user");
                case.looks_undumpable = read::owner(&dir) == Some(0) && !case.uids.contains(&0);
            }
        }
        let refusals = refusals(&case, &self.observer);
        let runtimes =
            if is_kernel_thread || case.has_exited { Vec::new() } else { recognise::runtimes(&dir, &self.memo) };
        let command_line = read::command_line(&dir).ok();
        let main = runtimes.first().map_or(RuntimeKind::Unknown, |runtime| runtime.kind);
        let entry = command_line.as_ref().and_then(|arguments| command_line::entry(main, arguments));
        let groups = read::control_groups(&dir).unwrap_or_default();
        let namespace_pid = status.as_ref().and_then(|status| match status.nspid.as_deref() {
            Some([_, .., inner]) => u32::try_from(*inner).ok(),
            _ => None,
        });
        let uid = status.as_ref().map(|status| status.euid);
        Some(Process {
            pid: case.pid,
            parent: Some(case.parent),
            name,
            entry,
            executable: dir.exe().ok().map(|path| executable(&path)),
            runtimes,
            command_line,
            threads: u64::try_from(stat.num_threads).ok(),
            rss_bytes: status.as_ref().and_then(|status| status.vmrss?.checked_mul(1024)),
            age_seconds: self.age(stat.starttime),
            start_ticks: stat.starttime,
            uid,
            user: uid.and_then(|uid| self.users.get(&uid).cloned()),
            container: container::of_paths(groups.iter().map(String::as_str)),
            namespace_pid,
            dumpable: refusals.is_empty(),
            refusals,
        })
    }

    fn age(&self, start_ticks: u64) -> Option<u64> {
        let started = std::time::Duration::from_secs(start_ticks.checked_div(procfs::ticks_per_second())?);
        let up = std::time::Duration::try_from_secs_f64(self.uptime?).ok()?;
        Some(up.saturating_sub(started).as_secs())
    }
}

/// The kernel's own answer to whether its memory may be read and it may be attached to; `None` is yes.
///
/// Asked by either of two ways: a container's filter may forbid the system call, a file's owner the file.
/// Source: Linux mm/process_vm_access.c and fs/proc/base.c, mem_open: mm_access with PTRACE_MODE_ATTACH, the check of ptrace_attach.
fn refused(dir: &ProcDir, pid: u32) -> Option<String> {
    crate::ptrace::may_trace(pid).err()?;
    let error = read::open(dir, "mem").err()?;
    if read::is_gone(&error) {
        return None;
    }
    Some(match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::ACCESS) => "EACCES".to_owned(),
        Some(rustix::io::Errno::PERM) => "EPERM".to_owned(),
        _ if error.kind() == io::ErrorKind::PermissionDenied => "EACCES".to_owned(),
        _ => error.to_string(),
    })
}

/// The path of an executable, that of a deleted one without the kernel's remark.
fn executable(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.as_os_str().as_bytes();
    crate::report::sanitize::lossy(bytes.strip_suffix(b" (deleted)").unwrap_or(bytes))
}

/// Names of users in /etc/passwd, name:password:uid:…; the first of an id counts, as for getpwuid(3).
fn users() -> FxHashMap<u32, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open("/etc/passwd").and_then(|file| file.take(MAX_PASSWD).read_to_end(&mut bytes));
    let mut users = FxHashMap::default();
    if read.is_ok() {
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
                users.entry(uid).or_insert_with(|| name.to_owned());
            }
        }
    }
    users
}
