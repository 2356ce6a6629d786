//! A copy of the process at the moment of its stop: a child made by clone(2) in the target, which never runs.
//!
//! The child shares all private memory with the target until one of them writes. It has no exit signal, so the target
//! hears nothing of it and does not see it when it waits for its children (wait(2): such a child is seen with __WALL or
//! __WCLONE only). It dies with us (PTRACE_O_EXITKILL). When it has been read it is killed, and a thread of the target
//! is stopped for a moment to reap it; where we are killed before, our guard does so. Memory that the program shares
//! with others stays shared: the dump holds it as it is when it is read.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use procfs::process::Stat;
use rustix::process::{Pid, Signal, kill_process};

use super::copied::Copied;
use super::freeze::Frozen;
use super::inject;
use super::live::{Live, read};
use super::maps::{self, Mapping};
use super::source::Source;
use super::stops::Wait;
use crate::ptrace::{self, Seizing};

/// Bytes of code in which a `syscall` instruction is looked for.
const MAX_SEARCHED: u64 = 4 << 20;
/// `syscall`. Source: Intel SDM volume 2, "SYSCALL".
const SYSCALL: [u8; 2] = [0x0f, 0x05];
// Source: Linux arch/x86/entry/syscalls/syscall_64.tbl.
const CLONE: u64 = 56;
const WAIT4: u64 = 61;
/// The child shares what it does not need a copy of: open files and the working directory. Source: Linux
/// uapi/linux/sched.h.
const CLONE_FILES_AND_FS: u64 = 0x400 | 0x200;
/// Source: Linux uapi/linux/wait.h: WNOHANG, __WALL.
const NO_HANG_ALL: u64 = 1 | 0x4000_0000;
/// Of the process's own memory, this part may be copied while the dump is written (a quarter), or fork is not tried.
const ROOM: u64 = 4;
/// How often threads are asked to reap the child, how many each time, and how long is waited in between: one that
/// computes cannot be asked, and most do not compute for long.
const ROUNDS: usize = 50;
const MAX_ASKED: usize = 16;
const BETWEEN: Duration = Duration::from_millis(10);

/// The child. Killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Child<'a> {
    live: &'a Live,
    copied: Copied,
}

impl<'a> Child<'a> {
    /// Makes the child; the error says why that is not safe, or failed.
    pub(super) fn of(
        live: &'a Live,
        frozen: &Frozen<'_>,
        mappings: &[Mapping],
        source: &Source,
        guard: Option<&UnixStream>,
    ) -> Result<Child<'a>, String> {
        if !cfg!(target_arch = "x86_64") {
            return Err("fork is not built for this processor".to_owned());
        }
        check_room(live, mappings)?;
        let tid = frozen.caller().ok_or("no thread is in a system call that it could interrupt for ours")?;
        check_seccomp(live, tid)?;
        let at = syscall_instruction(mappings, source).ok_or("no syscall instruction was found in the process")?;
        let returned = inject::call(tid, at, CLONE, [CLONE_FILES_AND_FS, 0, 0, 0, 0, 0]);
        let returned = returned.map_err(|why| format!("thread {tid} could not be made to call clone: {why}"))?;
        let inner = u64::try_from(returned.result).map_err(|_| {
            let errno = i32::try_from(returned.result.unsigned_abs()).unwrap_or(0);
            format!("clone failed in the process: {}", io::Error::from_raw_os_error(errno))
        })?;
        let pid = returned.child.ok_or("the child was not seen")?;
        let child = Child { live, copied: Copied { parent: live.pid, pid, inner, at } };
        // A guard that is gone is missed only where we are killed, too.
        let _ = guard.map(|guard| child.copied.tell(guard));
        match inject::wait(pid) {
            Ok(Wait::Stopped | Wait::Signal(_)) => {}
            other => return Err(format!("the child did not stop: {other:?}")),
        }
        ptrace::set_options(pid, ptrace::KILL_ON_EXIT).map_err(|why| format!("the child cannot be held: {why}"))?;
        Ok(child)
    }

    /// Its id in our PID namespace.
    pub(super) fn pid(&self) -> i32 {
        self.copied.pid
    }

    /// Kills the child and has it reaped. False where it stays behind as a zombie until the target ends.
    pub(super) fn end(self) -> bool {
        let reaped = end(self.live, self.copied);
        // Done already.
        std::mem::forget(self);
        reaped
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        end(self.live, self.copied);
    }
}

/// Whether a process is a child of the target.
pub(super) fn is_child(live: &Live, pid: i32) -> bool {
    let stat = u32::try_from(pid).ok().and_then(|pid| read::<Stat>(pid, "stat").ok());
    stat.is_some_and(|stat| u32::try_from(stat.ppid) == Ok(live.pid))
}

/// Kills the child and has it reaped. False where it stays behind as a zombie until the target ends.
pub(super) fn end(live: &Live, copied: Copied) -> bool {
    if let Some(pid) = Pid::from_raw(copied.pid) {
        // One that was killed already is as good.
        let _ = kill_process(pid, Signal::KILL);
    }
    // Its tracer is told first.
    while inject::wait(copied.pid).is_ok() {}
    let first = i32::try_from(live.pid).unwrap_or(0);
    // The process may be about to run another program, for which threads of ours that have ended must be reaped.
    let (reaped, _) = ptrace::seizing(first, |seizing| {
        seizing.add_earlier(&live.threads().unwrap_or_default());
        (0..ROUNDS).any(|round| {
            if round > 0 {
                std::thread::sleep(BETWEEN);
            }
            let tids = live.threads().unwrap_or_default();
            // A process that has ended takes its zombies along.
            tids.is_empty() || tids.into_iter().take(MAX_ASKED).any(|tid| reap_in(live, seizing, copied, tid))
        })
    });
    reaped
}

/// Stops one thread and makes it reap the child.
fn reap_in(live: &Live, seizing: &Seizing, copied: Copied, tid: i32) -> bool {
    if seizing.seize(tid, 0).is_err() {
        return false;
    }
    let stopped = ptrace::interrupt(tid).is_ok().then(|| inject::wait(tid));
    let mut signal = 0;
    let mut reaped = false;
    match stopped {
        Some(Ok(Wait::Signal(pending))) => signal = pending,
        Some(Ok(_)) if inject::can_call(tid) => {
            if let Some(at) = instruction(live, copied.at, tid) {
                let returned = inject::call(tid, at, WAIT4, [copied.inner, 0, NO_HANG_ALL, 0, 0, 0]);
                reaped = returned.is_ok_and(|returned| u64::try_from(returned.result) == Ok(copied.inner));
            }
        }
        _ => {}
    }
    // One that is gone needs no release.
    let _ = ptrace::detach(tid, signal);
    reaped
}

/// Where a stopped thread's process has a `syscall` instruction now: it may run another program since (exec).
fn instruction(live: &Live, before: u64, tid: i32) -> Option<u64> {
    let source = Source::of(u32::try_from(tid).ok()?);
    let mut bytes = [0; SYSCALL.len()];
    if source.read(before, &mut bytes).ok()? == bytes.len() && bytes == SYSCALL {
        return Some(before);
    }
    syscall_instruction(&maps::mappings(live, tid, &[]).ok()?, &source)
}

/// Fails where a copy of what is written meanwhile may not fit: then the kernel would kill something.
fn check_room(live: &Live, mappings: &[Mapping]) -> Result<(), String> {
    let overcommit = fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    if overcommit.trim() == "2" {
        return Err("vm.overcommit_memory is 2: the kernel counts the child's memory in full".to_owned());
    }
    // Where the kernel does not tell how much of a mapping is the process's own, it may be all of it.
    let own = mappings.iter().filter(|mapping| !mapping.shared);
    let own = own.filter_map(|mapping| Some(mapping.usage?.anonymous.unwrap_or(mapping.span.len())));
    let own = own.fold(0, u64::saturating_add);
    let room = available().unwrap_or(u64::MAX).min(room_in_group(live).unwrap_or(u64::MAX));
    if room < own / ROOM {
        return Err(format!("{} MiB of memory are left, {} MiB may be needed", room >> 20, (own / ROOM) >> 20));
    }
    Ok(())
}

/// Bytes that the machine can give. Source: proc_meminfo(5).
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Bytes that the target's control group can take more. Source: Linux Documentation/admin-guide/cgroup-v2.rst.
fn room_in_group(live: &Live) -> Option<u64> {
    let groups = fs::read_to_string(live.proc("cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = std::path::Path::new("/sys/fs/cgroup").join(path);
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    number("memory.max")?.checked_sub(number("memory.current")?)
}

/// A filter may answer a call that it does not know by killing the process.
fn check_seccomp(live: &Live, tid: i32) -> Result<(), String> {
    let status: Result<procfs::process::Status, io::Error> = read(live.pid, &format!("task/{tid}/status"));
    match status.map(|status| status.seccomp) {
        Ok(Some(0) | None) => Ok(()),
        Ok(Some(_)) => {
            Err("its system calls are filtered (seccomp), and the filter may kill it for another".to_owned())
        }
        Err(why) => Err(why.to_string()),
    }
}

/// The address of a `syscall` instruction: the vDSO has one, and so has every C library.
fn syscall_instruction(mappings: &[Mapping], source: &Source) -> Option<u64> {
    let mut code: Vec<&Mapping> = mappings
        .iter()
        .filter(|mapping| mapping.access.execute && mapping.access.read && mapping.path != b"[vsyscall]")
        .collect();
    code.sort_by_key(|mapping| !mapping.is_vdso());
    code.into_iter().find_map(|mapping| {
        let len = usize::try_from(mapping.span.len().min(MAX_SEARCHED)).ok()?;
        let mut bytes = vec![0; len];
        let read = source.read(mapping.span.start.0, &mut bytes).ok()?;
        bytes.truncate(read);
        let found = bytes.windows(SYSCALL.len()).position(|window| window == SYSCALL)?;
        mapping.span.start.0.checked_add(found as u64)
    })
}
