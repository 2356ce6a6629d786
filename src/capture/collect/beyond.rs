//! What threads wait for beyond their own process: children, the owners of file locks, who has the other end of a pipe.
//!
//! Read before the stop, and only where a thread sleeps in a call that asks for it: a process without such a thread
//! pays nothing. Everything is optional and bounded. Specification: proc(5), proc_locks(5).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use procfs::process::{Stat, Syscall as Called};
use rustc_hash::FxHashMap;

use super::file_facts;
use super::gather::{Gathered, called, text};
use super::live::{Live, read};
use crate::capture::facts::{Child, FileLock, OtherEnd};
use crate::model::{Arch, syscall_name};

/// Most children, owners of a pipe's other ends, lines of /proc/locks that are told of or read.
const MAX_CHILDREN: usize = 256;
const MAX_OTHERS: usize = 8;
const MAX_LOCKS: usize = 100_000;
/// Most processes and descriptors of each that are searched for the other end of a pipe, and for how long.
const MAX_PROCESSES: usize = 20_000;
const MAX_DESCRIPTORS: usize = 4096;
const SEARCH: Duration = Duration::from_millis(300);

/// The machine's own architecture, whose numbers /proc tells.
pub(super) const ARCH: Arch = if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 };

/// System calls that wait for a child, for a file lock, on what their first argument has open.
const FOR_CHILD: [&str; 5] = ["wait4", "waitid", "vfork", "clone", "clone3"];
const FOR_LOCK: [&str; 2] = ["flock", "fcntl"];
const ON_DESCRIPTOR: [&str; 16] = [
    "read", "write", "readv", "writev", "pread64", "pwrite64", "recvfrom", "sendto", "recvmsg", "sendmsg", "accept",
    "accept4", "connect", "flock", "fcntl", "splice",
];

/// The name of a system call of this machine.
fn name(number: i64) -> Option<&'static str> {
    syscall_name(ARCH, u64::try_from(number).ok()?)
}

/// The descriptor that a call waits on.
fn waited_descriptor(number: i64, args: &[u64]) -> Option<u32> {
    name(number).filter(|name| ON_DESCRIPTOR.contains(name))?;
    u32::try_from(*args.first()?).ok()
}

impl Gathered {
    /// Adds what its threads wait for beyond the process.
    pub(super) fn look_beyond(&mut self, live: &Live) {
        let calls: Vec<(i64, Vec<u64>)> = (self.threads.values())
            .filter_map(|thread| thread.syscall.as_ref().map(|call| (call.number, call.args.clone())))
            .collect();
        let has =
            |names: &[&str]| calls.iter().any(|(number, _)| name(*number).is_some_and(|name| names.contains(&name)));
        if has(&FOR_CHILD) {
            let tids: Vec<i32> = self.threads.keys().copied().collect();
            self.children = children(live, &tids);
        }
        let waited = |names: &[&str]| -> Vec<u32> {
            let of = calls.iter().filter(|(number, _)| name(*number).is_some_and(|name| names.contains(&name)));
            let mut fds: Vec<u32> = of.filter_map(|(number, args)| waited_descriptor(*number, args)).collect();
            fds.sort_unstable();
            fds.dedup();
            fds
        };
        let locked = waited(&FOR_LOCK);
        if !locked.is_empty() {
            self.file_locks = file_locks(live, &locked);
        }
        let on = waited(&ON_DESCRIPTOR);
        let pipes: Vec<String> = (self.descriptors.iter())
            .filter(|open| on.contains(&open.fd) && is_pipe(&open.target))
            .map(|open| open.target.clone())
            .collect();
        if !pipes.is_empty() {
            let others = other_ends(live.pid, &pipes);
            for open in self.descriptors.iter_mut().filter(|open| on.contains(&open.fd)) {
                open.others = others.get(&open.target).cloned().unwrap_or_default();
            }
        }
    }
}

/// Whether a descriptor is a pipe without a name, or a FIFO's, which cannot be told from a file by its path.
fn is_pipe(target: &str) -> bool {
    target.starts_with("pipe:[")
}

/// The children that these threads of the process made.
// Source: proc(5), /proc/pid/task/tid/children; kernels without CONFIG_PROC_CHILDREN have none.
fn children(live: &Live, tids: &[i32]) -> Vec<Child> {
    let of = |tid: &i32| fs::read(live.proc(&format!("task/{tid}/children"))).unwrap_or_default();
    let mut pids: Vec<u32> = Vec::new();
    for tid in tids {
        pids.extend(text(&of(tid)).split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        if pids.len() >= MAX_CHILDREN {
            break;
        }
    }
    pids.truncate(MAX_CHILDREN);
    pids.into_iter().filter_map(child).collect()
}

fn child(pid: u32) -> Option<Child> {
    let stat: Stat = read(pid, "stat").ok()?;
    let channel = text(&fs::read(format!("/proc/{pid}/wchan")).unwrap_or_default());
    let syscall = read::<Called>(pid, "syscall").ok().and_then(called);
    let target = syscall.as_ref().and_then(|call| {
        let fd = waited_descriptor(call.number, &call.args)?;
        Some(text(fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?.as_os_str().as_encoded_bytes()))
    });
    let wait_channel = Some(channel).filter(|channel| !channel.is_empty() && channel != "0");
    Some(Child { pid, name: stat.comm, state: Some(stat.state), wait_channel, syscall, target })
}

/// A line of /proc/locks.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    /// Lines of one lock and of those that wait for it have the same number.
    number: &'a str,
    waits: bool,
    kind: &'static str,
    /// `None` for a lock of an open file description.
    pid: Option<u32>,
    /// Device and inode.
    file: (u64, u64),
}

/// `1: -> POSIX  ADVISORY  WRITE 4711 fd:01:1234 0 EOF`. Source: proc_locks(5), Linux fs/locks.c lock_get_status.
fn line(text: &str) -> Option<Line<'_>> {
    let mut fields = text.split_ascii_whitespace();
    let number = fields.next()?;
    let mut kind = fields.next()?;
    let waits = kind == "->";
    if waits {
        kind = fields.next()?;
    }
    let kind = match kind {
        "POSIX" => "posix",
        "OFDLCK" => "ofd",
        "FLOCK" => "flock",
        _ => return None,
    };
    let [_advisory, _mode, pid, file] = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    let mut file = file.split(':');
    let hex = |part: Option<&str>| u32::from_str_radix(part?, 16).ok();
    let device = libc::makedev(hex(file.next())?, hex(file.next())?);
    let inode = file.next()?.parse().ok()?;
    Some(Line { number, waits, kind, pid: pid.parse().ok().filter(|pid| *pid > 0), file: (device, inode) })
}

/// Who holds what the process waits for on these descriptors.
fn file_locks(live: &Live, fds: &[u32]) -> Vec<FileLock> {
    let table = fs::read("/proc/locks").unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let lines: Vec<Line<'_>> = table.lines().take(MAX_LOCKS).filter_map(line).collect();
    fds.iter()
        .filter_map(|fd| {
            let file = fs::metadata(live.proc(&format!("fd/{fd}"))).ok()?;
            let file = (file.dev(), file.ino());
            // A lock of an open file description waits without a process's id.
            let ours = |line: &&Line<'_>| line.waits && line.file == file && line.pid.is_none_or(|pid| pid == live.pid);
            let wanted = lines.iter().find(ours)?;
            let owner = lines.iter().find(|line| !line.waits && line.number == wanted.number)?;
            let owner_name = owner.pid.map(short_name).unwrap_or_default();
            Some(FileLock { fd: *fd, kind: owner.kind.to_owned(), owner_pid: owner.pid, owner_name })
        })
        .collect()
}

fn short_name(pid: u32) -> String {
    text(fs::read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_ascii_end())
}

/// Other processes that have these pipes open, by pipe.
fn other_ends(own: u32, pipes: &[String]) -> FxHashMap<String, Vec<OtherEnd>> {
    let deadline = Instant::now() + SEARCH;
    let mut found: FxHashMap<String, Vec<OtherEnd>> = FxHashMap::default();
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.filter(|pid| *pid != own).take(MAX_PROCESSES) {
        if Instant::now() >= deadline {
            break;
        }
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for entry in descriptors.flatten().take(MAX_DESCRIPTORS) {
            let path = entry.path();
            let Ok(target) = fs::read_link(&path) else { continue };
            let Some(pipe) = pipes.iter().find(|pipe| target.as_os_str() == pipe.as_str()) else { continue };
            let others = found.entry(pipe.clone()).or_default();
            let Some(access) = file_facts::access(&path) else { continue };
            let same = |other: &OtherEnd| other.pid == pid && other.access == access;
            if others.len() < MAX_OTHERS && !others.iter().any(same) {
                others.push(OtherEnd { pid, name: short_name(pid), access });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_locks_are_told_from_those_of_waiters() {
        let held = line("1: POSIX  ADVISORY  WRITE 4711 fd:01:1234 0 EOF").expect("a lock");
        let file = (libc::makedev(0xfd, 1), 1234);
        assert_eq!(held, Line { number: "1:", waits: false, kind: "posix", pid: Some(4711), file });
        let waits = line("1: -> POSIX  ADVISORY  READ 4712 fd:01:1234 0 99").expect("a waiter");
        assert_eq!(waits, Line { waits: true, pid: Some(4712), ..held });
        let ofd = line("2: OFDLCK ADVISORY  WRITE -1 fd:01:1234 0 EOF").expect("of an open file description");
        assert_eq!((ofd.kind, ofd.pid), ("ofd", None));
        assert_eq!(line("3: LEASE  ACTIVE    READ 4711 fd:01:1234 0 EOF"), None);
    }

    #[test]
    fn every_cut_of_a_line_is_read_or_refused() {
        let whole = "1: -> POSIX  ADVISORY  WRITE 4711 fd:01:1234 0 EOF";
        for len in 0..whole.len() {
            let _ = line(&whole[..len]);
        }
    }
}
