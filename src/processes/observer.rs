//! Who is looking: what the kernel lets this process do to others.

use std::path::Path;

use procfs::process::Process as ProcDir;

use super::read;
use crate::model::{Problem, Subject};
use crate::ptrace;

/// Bit of CAP_SYS_PTRACE in a capability mask.
// Source: Linux uapi/linux/capability.h.
const CAP_SYS_PTRACE: u64 = 1 << 19;

/// The initial PID namespace's inode, fixed in the kernel.
// Source: Linux include/linux/proc_ns.h, PROC_PID_INIT_INO.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The initial user namespace's, PROC_USER_INIT_INO there.
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// No process has this id: above PID_MAX_LIMIT, 4,194,304.
const NOBODY: i32 = i32::MAX;

/// What the reader may do, as far as it decides over dumping others. `None`: cannot be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Observer {
    /// Its own id.
    pub(super) pid: u32,
    /// Its real user id.
    pub(super) uid: u32,
    /// Its real group id.
    pub(super) gid: u32,
    /// Whether CAP_SYS_PTRACE is effective.
    pub(super) may_trace_all: bool,
    /// Its permitted capabilities.
    pub(super) capabilities: u64,
    /// `kernel.yama.ptrace_scope`; `None` where the kernel has no Yama.
    pub(super) yama_scope: Option<u8>,
    /// Inode of its user namespace.
    pub(super) user_namespace: Option<u64>,
    /// Whether that is a namespace of its own, whose capabilities do not count outside.
    pub(super) is_confined: bool,
    /// Whether its PID namespace is the machine's first: all processes are seen.
    pub(super) sees_all: Option<bool>,
    /// Whether ptrace(2) itself is refused to it, whatever the target: a seccomp filter.
    pub(super) ptrace_filtered: bool,
    /// Security modules besides Yama that may refuse: `apparmor`, `selinux` …
    pub(super) modules: Vec<String>,
    /// Whether /proc hides other users' processes (`hidepid`).
    pub(super) hides_others: bool,
}

impl Observer {
    /// This process.
    pub(super) fn current() -> Observer {
        let dir = ProcDir::myself().ok();
        let status = dir.as_ref().and_then(|dir| read::status(dir).ok());
        let status = status.as_ref();
        let user_namespace = dir.as_ref().and_then(|dir| read::namespace(dir, "user"));
        Observer {
            pid: std::process::id(),
            uid: status.map_or(u32::MAX, |status| status.ruid),
            gid: status.map_or(u32::MAX, |status| status.rgid),
            may_trace_all: status.is_some_and(|status| status.capeff & CAP_SYS_PTRACE != 0),
            capabilities: status.map_or(0, |status| status.capprm),
            yama_scope: small_file("/proc/sys/kernel/yama/ptrace_scope").and_then(|text| text.trim().parse().ok()),
            user_namespace,
            is_confined: user_namespace.is_some_and(|id| id != INITIAL_USER_NAMESPACE),
            sees_all: dir.as_ref().and_then(|dir| read::namespace(dir, "pid")).map(|id| id == INITIAL_PID_NAMESPACE),
            ptrace_filtered: ptrace_is_filtered(),
            modules: small_file("/sys/kernel/security/lsm").map(|text| modules(&text)).unwrap_or_default(),
            hides_others: small_file("/proc/self/mountinfo").is_some_and(|text| hides_others(&text)),
        }
    }

    /// What the list cannot show from where the reader stands.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.sees_all == Some(false) {
            problems.push(
                Problem::new(
                    "pid-namespace",
                    Subject::Capture,
                    "only the processes of this PID namespace are seen, not those of the host or of other containers",
                )
                .with_remedy(
                    "run on the host, in Docker with --pid=container:NAME or --pid=host, in Kubernetes with \
                     shareProcessNamespace: true or from kubectl debug --target=CONTAINER",
                ),
            );
        }
        if self.hides_others {
            problems.push(
                Problem::new(
                    "hidepid",
                    Subject::Capture,
                    "/proc is mounted with hidepid: processes that may not be traced are not listed at all",
                )
                .with_remedy("run as root, or in the group that the mount option gid= names"),
            );
        }
        if self.ptrace_filtered {
            problems.push(
                Problem::new(
                    "seccomp",
                    Subject::Capture,
                    "a seccomp filter refuses ptrace(2) to this process: nothing can be dumped from here",
                )
                .with_remedy(
                    "in Docker: --cap-add=SYS_PTRACE (its profile then lets ptrace pass) or --security-opt \
                     seccomp=PROFILE; in Kubernetes: securityContext.seccompProfile",
                ),
            );
        }
        problems
    }
}

/// Detaching from a process that cannot exist is answered "no such process", unless the call itself is filtered.
fn ptrace_is_filtered() -> bool {
    ptrace::detach(NOBODY, 0).is_err_and(|error| error.raw_os_error() != Some(libc::ESRCH))
}

fn small_file(path: &str) -> Option<String> {
    let file = std::fs::File::open(Path::new(path)).ok()?;
    read::bounded(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The modules that decide over access by labels or profiles.
fn modules(list: &str) -> Vec<String> {
    let known = ["apparmor", "selinux", "smack", "tomoyo"];
    list.trim().split(',').filter(|name| known.contains(name)).map(str::to_owned).collect()
}

/// Whether the proc file system on /proc has an option that hides: `hidepid=` other than 0 or `off`.
// Source: proc(5); /proc/PID/mountinfo: … mount point (5th field) … " - " type, source, super options.
fn hides_others(mounts: &str) -> bool {
    let on_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    let Some(line) = mounts.lines().rfind(on_proc) else { return false };
    let options = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').nth(2)).unwrap_or_default();
    options.split(',').filter_map(|option| option.strip_prefix("hidepid=")).any(|mode| !matches!(mode, "0" | "off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidepid_is_read_from_the_last_mount_on_proc() {
        let open = "22 27 0:20 / /proc rw,nosuid - proc proc rw\n";
        let hidden = "99 22 0:50 / /proc rw,nosuid - proc proc rw,gid=5,hidepid=invisible\n";
        assert!(!hides_others(open));
        assert!(hides_others(&format!("{open}{hidden}")));
        assert!(!hides_others(&format!("{hidden}{open}")));
        assert!(!hides_others("22 27 0:20 / /proc rw - proc proc rw,hidepid=0\n"));
    }

    #[test]
    fn modules_that_check_labels_are_named() {
        assert_eq!(modules("lockdown,capability,landlock,yama,apparmor,bpf\n"), ["apparmor"]);
    }
}
