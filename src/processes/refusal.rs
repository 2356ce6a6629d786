//! Why the kernel does not let a process be dumped, and what would change that.
//!
//! Whether it lets is the kernel's own answer (process_vm_readv(2) and opening `/proc/PID/mem` make the same check as
//! attaching). This explains a "no" with the rules of `__ptrace_may_access` and `ptrace_attach` (Linux
//! kernel/ptrace.c), `cap_ptrace_access_check` (security/commoncap.c) and `yama_ptrace_access_check`
//! (security/yama/yama_lsm.c), and adds what attaching refuses beyond it. Pure; tested with literals.

use schemars::JsonSchema;
use serde::Serialize;

use super::observer::Observer;

/// One reason against dumping a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// A fixed word.
    pub reason: Reason,
    /// What is in the way, in this process's case.
    pub message: String,
    /// Whether the reason was read from the system (`true`) or is what remains when nothing else explains the refusal.
    pub certain: bool,
    /// What to change; `null` where nothing can be.
    pub remedy: Option<&'static str>,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It runs as another user.
    OtherUser,
    /// It lives in another user namespace.
    UserNamespace,
    /// It made itself undumpable, or its executable did.
    NotDumpable,
    /// It has capabilities that the reader lacks.
    Capabilities,
    /// `kernel.yama.ptrace_scope` is 1, 2 or 3.
    Yama,
    /// A seccomp filter refuses ptrace to the reader.
    Seccomp,
    /// Something traces it already.
    Traced,
    /// A security module, as far as can be told.
    SecurityModule,
    /// The kernel refuses; why could not be found out.
    Other,
    /// It has exited.
    Zombie,
    /// It is the reader itself.
    Itself,
    /// It is a part of the kernel.
    KernelThread,
}

impl Reason {
    /// The word of JSON.
    pub fn word(self) -> &'static str {
        match self {
            Reason::OtherUser => "other-user",
            Reason::UserNamespace => "user-namespace",
            Reason::NotDumpable => "not-dumpable",
            Reason::Capabilities => "capabilities",
            Reason::Yama => "yama",
            Reason::Seccomp => "seccomp",
            Reason::Traced => "traced",
            Reason::SecurityModule => "security-module",
            Reason::Other => "other",
            Reason::Zombie => "zombie",
            Reason::Itself => "itself",
            Reason::KernelThread => "kernel-thread",
        }
    }

    /// What it means, for a legend.
    pub fn meaning(self) -> &'static str {
        match self {
            Reason::OtherUser => "runs as another user",
            Reason::UserNamespace => "lives in another user namespace",
            Reason::NotDumpable => "made itself undumpable (prctl), or runs a setuid or unreadable executable",
            Reason::Capabilities => "has capabilities that you lack",
            Reason::Yama => "kernel.yama.ptrace_scope keeps you from it",
            Reason::Seccomp => "a seccomp filter refuses ptrace to you",
            Reason::Traced => "a debugger or tracer is attached",
            Reason::SecurityModule => "a security module seems to refuse",
            Reason::Other => "the kernel refuses and does not say why",
            Reason::Zombie => "has exited; its memory is gone",
            Reason::Itself => "this very process",
            Reason::KernelThread => "part of the kernel, no memory of its own",
        }
    }

    /// What to change; `None` where nothing can be.
    pub fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Reason::OtherUser | Reason::Capabilities => {
                "run as that user or as root with CAP_SYS_PTRACE: sudo; docker run|exec --cap-add=SYS_PTRACE (exec: --privileged); \
                 Kubernetes: securityContext.capabilities.add: [SYS_PTRACE] with shareProcessNamespace: true, or kubectl debug \
                 --profile=general --target=CONTAINER"
            }
            Reason::UserNamespace => "run in the user namespace that owns it, usually as root on the host",
            Reason::NotDumpable => {
                "run with CAP_SYS_PTRACE (sudo; docker --cap-add=SYS_PTRACE; Kubernetes securityContext.capabilities.add: [SYS_PTRACE])"
            }
            Reason::Yama => {
                "run with CAP_SYS_PTRACE (sudo; docker --cap-add=SYS_PTRACE; Kubernetes securityContext.capabilities.add: \
                 [SYS_PTRACE]), or on the host: sysctl kernel.yama.ptrace_scope=0 (3 lasts until reboot)"
            }
            Reason::Seccomp => {
                "docker --cap-add=SYS_PTRACE or --security-opt seccomp=PROFILE; Kubernetes: securityContext.seccompProfile"
            }
            Reason::Traced => "detach the tracer, or dump with it",
            Reason::SecurityModule => {
                "look for the refusal in the audit log; docker --security-opt apparmor=PROFILE; Kubernetes: \
                 securityContext.appArmorProfile or seLinuxOptions"
            }
            Reason::Other | Reason::Zombie | Reason::Itself | Reason::KernelThread => return None,
        })
    }
}

/// What decides over one process. `None`: cannot be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) pid: u32,
    /// Real, effective and saved user and group id.
    pub(super) uids: [u32; 3],
    pub(super) gids: [u32; 3],
    pub(super) is_kernel_thread: bool,
    pub(super) has_exited: bool,
    pub(super) parent: u32,
    /// The tracer's id, 0 for none.
    pub(super) tracer: u32,
    /// Its permitted capabilities.
    pub(super) capabilities: u64,
    /// Inode of its user namespace.
    pub(super) user_namespace: Option<u64>,
    /// Whether its files in /proc belong to root although it runs as someone else: the kernel's mark of an undumpable
    /// process.
    pub(super) looks_undumpable: bool,
    /// What the kernel said when its memory was opened: the error's name, `EACCES`.
    pub(super) refused: Option<String>,
}

/// The user id that stands for ids which have no name in this user namespace.
// Source: Linux uapi/linux/highuid.h, DEFAULT_OVERFLOWUID.
const UNMAPPED: u32 = 65534;

/// Why `case` may not be dumped by `observer`; empty where it may.
pub(super) fn refusals(case: &Case, observer: &Observer) -> Vec<Refusal> {
    let mut found = Vec::new();
    if case.is_kernel_thread {
        return vec![refusal(Reason::KernelThread, "a thread of the kernel".to_owned())];
    }
    if case.pid == observer.pid {
        return vec![refusal(Reason::Itself, "a process cannot trace itself".to_owned())];
    }
    if case.has_exited {
        let message = format!("it has exited and waits for its parent {} to take note", case.parent);
        return vec![refusal(Reason::Zombie, message)];
    }
    if case.tracer != 0 {
        found.push(refusal(Reason::Traced, format!("process {} traces it", case.tracer)));
    }
    if let Some(said) = &case.refused {
        found.extend(explain(case, observer, said));
    }
    if observer.ptrace_filtered {
        found.push(refusal(Reason::Seccomp, "ptrace(2) is refused, whatever the target".to_owned()));
    }
    found
}

fn explain(case: &Case, observer: &Observer, said: &str) -> Vec<Refusal> {
    let mut found = Vec::new();
    let elsewhere = case.user_namespace.zip(observer.user_namespace).is_some_and(|(its, ours)| its != ours);
    let unmapped = case.uids.contains(&UNMAPPED) && observer.may_trace_all && observer.uid != UNMAPPED;
    if elsewhere || unmapped {
        let message = if elsewhere {
            "it lives in another user namespace, where your capabilities do not count".to_owned()
        } else {
            format!("its user has no id in your user namespace (shown as {UNMAPPED})")
        };
        found.push(refusal(Reason::UserNamespace, message));
    }
    // With the capability, the user, the mark and Yama's scopes 1 and 2 do not matter.
    if !observer.may_trace_all {
        let same = case.uids.iter().all(|uid| *uid == observer.uid) && case.gids.iter().all(|gid| *gid == observer.gid);
        if !same {
            found.push(refusal(
                Reason::OtherUser,
                format!("it runs as user {}, you as {}, without CAP_SYS_PTRACE", ids(&case.uids), observer.uid),
            ));
        } else if case.looks_undumpable {
            found.push(refusal(
                Reason::NotDumpable,
                "its files in /proc belong to root: it is marked undumpable".to_owned(),
            ));
        }
        let more = case.capabilities & !observer.capabilities;
        if same && more != 0 {
            found.push(refusal(Reason::Capabilities, format!("it has capabilities that you lack (mask {more:#x})")));
        }
        match observer.yama_scope {
            Some(1) if same => {
                let message = "kernel.yama.ptrace_scope is 1: only descendants may be traced, and it is none of yours";
                found.push(refusal(Reason::Yama, message.to_owned()));
            }
            Some(2) => {
                found.push(refusal(Reason::Yama, "kernel.yama.ptrace_scope is 2: CAP_SYS_PTRACE is needed".to_owned()));
            }
            _ => {}
        }
    }
    if observer.yama_scope == Some(3) {
        found.push(refusal(
            Reason::Yama,
            "kernel.yama.ptrace_scope is 3: nothing may be traced until reboot".to_owned(),
        ));
    }
    if found.is_empty() && observer.is_confined && observer.may_trace_all && case.user_namespace.is_none() {
        let message = "your capabilities are those of a user namespace, and it seems to live outside of that";
        found.push(Refusal { certain: false, ..refusal(Reason::UserNamespace, message.to_owned()) });
    }
    if found.is_empty() {
        found.push(guess(observer, said));
    }
    found
}

/// `1000`, or `1000/0/0` where real, effective and saved id differ.
fn ids(ids: &[u32; 3]) -> String {
    let [real, effective, saved] = ids;
    if real == effective && effective == saved { real.to_string() } else { format!("{real}/{effective}/{saved}") }
}

fn refusal(reason: Reason, message: String) -> Refusal {
    Refusal { reason, message, certain: true, remedy: reason.remedy() }
}

fn guess(observer: &Observer, said: &str) -> Refusal {
    let (reason, message) = if observer.modules.is_empty() {
        (Reason::Other, format!("the kernel answers {said}; neither user, capabilities, marks nor Yama explain it"))
    } else {
        let modules = observer.modules.join(", ");
        (Reason::SecurityModule, format!("the kernel answers {said}, and {modules} is active"))
    };
    Refusal { certain: false, ..refusal(reason, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(case: &Case, observer: &Observer) -> Vec<Reason> {
        refusals(case, observer).iter().map(|refusal| refusal.reason).collect()
    }

    fn user() -> Observer {
        Observer { pid: 10, uid: 1000, gid: 1000, ..Observer::default() }
    }

    fn root() -> Observer {
        Observer { pid: 10, may_trace_all: true, capabilities: u64::MAX, ..Observer::default() }
    }

    fn refused(uid: u32) -> Case {
        Case { pid: 20, uids: [uid; 3], gids: [uid; 3], refused: Some("EACCES".to_owned()), ..Case::default() }
    }

    #[test]
    fn what_the_kernel_allows_has_no_reason_against_it() {
        assert_eq!(reasons(&Case { refused: None, ..refused(0) }, &user()), []);
    }

    #[test]
    fn another_users_process_needs_the_capability() {
        assert_eq!(reasons(&refused(0), &user()), [Reason::OtherUser]);
        let setuid = Case { uids: [1000, 0, 0], ..refused(1000) };
        assert_eq!(
            refusals(&setuid, &user())[0].message,
            "it runs as user 1000/0/0, you as 1000, without CAP_SYS_PTRACE"
        );
    }

    #[test]
    fn each_scope_of_yama_is_explained() {
        let with = |scope, observer: Observer| Observer { yama_scope: Some(scope), ..observer };
        assert_eq!(reasons(&refused(1000), &with(1, user())), [Reason::Yama]);
        assert_eq!(reasons(&refused(1000), &with(2, user())), [Reason::Yama]);
        assert_eq!(reasons(&refused(1000), &with(3, root())), [Reason::Yama]);
        assert_eq!(reasons(&refused(1000), &with(0, user())), [Reason::Other]);
        assert_eq!(reasons(&refused(0), &with(2, user())), [Reason::OtherUser, Reason::Yama]);
    }

    #[test]
    fn an_undumpable_process_of_ones_own_is_told_from_a_foreign_one() {
        let marked = Case { looks_undumpable: true, ..refused(1000) };
        assert_eq!(reasons(&marked, &user()), [Reason::NotDumpable]);
        let able = Case { capabilities: 1 << 10, ..refused(1000) };
        assert_eq!(reasons(&able, &user()), [Reason::Capabilities]);
    }

    #[test]
    fn roots_of_a_container_are_told_of_the_other_user_namespace() {
        let observer = Observer { user_namespace: Some(7), ..root() };
        assert_eq!(reasons(&Case { user_namespace: Some(1), ..refused(0) }, &observer), [Reason::UserNamespace]);
        assert_eq!(reasons(&refused(65534), &observer), [Reason::UserNamespace]);
        let confined = Observer { is_confined: true, ..observer };
        let found = refusals(&refused(0), &confined);
        assert_eq!((found[0].reason, found[0].certain), (Reason::UserNamespace, false));
    }

    #[test]
    fn what_can_never_be_dumped_has_that_one_reason() {
        let observer = Observer { ptrace_filtered: true, ..user() };
        assert_eq!(reasons(&Case { is_kernel_thread: true, ..refused(0) }, &observer), [Reason::KernelThread]);
        assert_eq!(reasons(&Case { has_exited: true, ..refused(0) }, &observer), [Reason::Zombie]);
        assert_eq!(reasons(&Case { pid: 10, ..refused(0) }, &observer), [Reason::Itself]);
    }

    #[test]
    fn a_tracer_and_a_filter_are_reasons_though_memory_can_be_opened() {
        let traced = Case { tracer: 77, refused: None, ..refused(1000) };
        assert_eq!(refusals(&traced, &user())[0].message, "process 77 traces it");
        let filtered = Observer { ptrace_filtered: true, ..user() };
        assert_eq!(reasons(&Case { refused: None, ..refused(1000) }, &filtered), [Reason::Seccomp]);
    }

    #[test]
    fn a_refusal_without_a_reason_is_marked_as_a_guess() {
        let observer = Observer { modules: vec!["apparmor".to_owned()], ..root() };
        let found = refusals(&refused(0), &observer);
        assert_eq!((found[0].reason, found[0].certain), (Reason::SecurityModule, false));
        assert_eq!(found[0].message, "the kernel answers EACCES, and apparmor is active");
    }
}
