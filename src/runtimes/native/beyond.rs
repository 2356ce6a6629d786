//! What the note of `collect` knows of a blocking call: what is open at its descriptor, who has the other end or the lock, which child
//! is waited for and what that child does.
//!
//! Input: a call as its arguments tell it, the note. Output: the same with a fuller name, what is known of who ends it, and what has to
//! happen for that. Without a note everything stays as the arguments told it.

use crate::capture::Facts;
use crate::capture::Memory;
use crate::capture::facts::{Child, Descriptor};
use crate::model::thread::{CallKind, Nature};
use crate::model::{Arch, OsThread, SavedSyscall};

use super::syscalls::{self, Blocking, On};

/// Names that are told of several.
const NAMED: usize = 2;

/// A call with what is known of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: Option<String>,
    pub(super) detail: Option<String>,
    pub(super) nature: Nature,
}

/// Whether a thread slept in the very call when the note was made that it was in when it was stopped. Where the note tells of no thread's
/// call (it may not be asked), nothing speaks against it.
pub(super) fn agrees(facts: &Facts, thread: &OsThread) -> bool {
    let told = facts.thread(thread.tid.0).and_then(|told| told.syscall.as_ref());
    match (told, &thread.syscall) {
        (Some(told), Some(call)) => {
            let same = |(told, own): (&u64, &Option<u64>)| own.is_none_or(|own| own == *told);
            u64::try_from(told.number) == Ok(call.number) && told.args.iter().zip(&call.args).all(same)
        }
        (None, _) => facts.threads.iter().all(|thread| thread.syscall.is_none()),
        (Some(_), None) => false,
    }
}

/// What the note tells of a call. `alone`: the process has one thread.
pub(super) fn known(arch: Arch, facts: Option<&Facts>, call: &Blocking, alone: bool) -> Known {
    let plain = Known { name: call.name.clone(), detail: None, nature: call.nature };
    let Some(facts) = facts else { return plain };
    match call.on {
        On::Fd(fd) => on_descriptor(facts, call, fd, alone, plain),
        On::Child(pid) => on_child(arch, facts, pid, plain),
        // vfork and its like return when the child runs another program or ends.
        On::Nothing if call.kind == CallKind::Other && makes_child(call) => {
            let child = facts.children.last();
            Known { detail: child.map(|child| format!("whose child {}", does(arch, facts, child))), ..plain }
        }
        On::Nothing => plain,
    }
}

fn makes_child(call: &Blocking) -> bool {
    matches!(call.name.as_deref(), Some("vfork" | "clone" | "clone3"))
}

fn on_descriptor(facts: &Facts, call: &Blocking, fd: u32, alone: bool, plain: Known) -> Known {
    let open = facts.descriptors.iter().find(|open| open.fd == fd);
    let name = plain.name.map(|name| described(&name, fd, open));
    let plain = Known { name, ..plain };
    if call.kind == CallKind::FileLock {
        return Known { detail: lock_owner(facts, fd), ..plain };
    }
    let Some(open) = open else { return plain };
    let is_pipe = open.target.starts_with("pipe:[");
    let wanted = match (call.kind, call.nature) {
        (CallKind::Write, _) | (CallKind::Poll, Nature::Room) => 'r',
        (CallKind::Read | CallKind::Poll, _) => 'w',
        _ => return plain,
    };
    if !is_pipe {
        let detail = other_end(facts, open).map(|other| format!("whose other end is fd {other} of this process"));
        // A connection that has not been answered is written to when it is.
        let unanswered = open.socket.as_deref().is_some_and(|socket| socket.ends_with(" SYN_SENT"));
        let nature = if unanswered && plain.nature == Nature::Room { Nature::Answer } else { plain.nature };
        return Known { detail, nature, ..plain };
    }
    let others: Vec<String> = (open.others.iter())
        .filter(|other| other.access.contains(wanted))
        .map(|other| process(other.pid, &other.name))
        .collect();
    let own = own_end(facts, &open.target, wanted);
    let purpose = if wanted == 'r' { "reading" } else { "writing" };
    let detail = match (listed(&others), own) {
        (Some(others), _) => Some(format!("which {others} has open for {purpose}")),
        (None, Some(own)) => Some(format!("whose other end is fd {own} of this process")),
        (None, None) => None,
    };
    // Nobody else can do what the only thread waits for.
    let mutual = alone && others.is_empty() && own.is_some() && call.kind != CallKind::Poll;
    Known { detail, nature: if mutual { Nature::Mutual } else { plain.nature }, ..plain }
}

/// `fd 7 (tcp 10.0.0.1:5432 LISTEN)`: the descriptor's number with what is open there, and the rest of the words.
fn described(name: &str, fd: u32, open: Option<&Descriptor>) -> String {
    let number = format!("fd {fd}");
    let rest = name.strip_prefix(&number);
    let Some((open, rest)) = open.zip(rest) else { return name.to_owned() };
    format!("{number} ({}){rest}", open.socket.as_ref().unwrap_or(&open.target))
}

/// The descriptor of the process's own that has the given end of a pipe.
fn own_end(facts: &Facts, target: &str, wanted: char) -> Option<u32> {
    let has = |open: &&Descriptor| {
        open.target == target && open.access.as_deref().is_some_and(|access| access.contains(wanted))
    };
    facts.descriptors.iter().find(has).map(|open| open.fd)
}

/// The descriptor of the process's own at the other end of a connection: `tcp A -> B …` and `tcp B -> A …`.
fn other_end(facts: &Facts, open: &Descriptor) -> Option<u32> {
    let ends = |words: &str| {
        let (local, rest) = words.strip_prefix("tcp ")?.split_once(" -> ")?;
        Some((local.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    let (local, remote) = ends(open.socket.as_deref()?)?;
    let is_other = |other: &&Descriptor| {
        other.socket.as_deref().and_then(ends).is_some_and(|(their, ours)| their == remote && ours == local)
    };
    facts.descriptors.iter().find(is_other).map(|other| other.fd)
}

fn lock_owner(facts: &Facts, fd: u32) -> Option<String> {
    let lock = facts.file_locks.iter().find(|lock| lock.fd == fd)?;
    Some(match lock.owner_pid {
        Some(pid) => format!("which {} holds", process(pid, &lock.owner_name)),
        None => "which an open file description holds; of which process is not recorded".to_owned(),
    })
}

/// `process 77 (perl)`.
fn process(pid: u32, name: &str) -> String {
    if name.is_empty() { format!("process {pid}") } else { format!("process {pid} ({name})") }
}

/// `process 77 (cat) or 2 more`.
fn listed(names: &[String]) -> Option<String> {
    let first = names.get(..names.len().min(NAMED))?;
    let more = names.len().saturating_sub(NAMED);
    let words = first.join(" or ");
    match more {
        _ if names.is_empty() => None,
        0 => Some(words),
        more => Some(format!("{words} or {more} more")),
    }
}

fn on_child(arch: Arch, facts: &Facts, pid: Option<u32>, plain: Known) -> Known {
    let child = match (pid, facts.children.as_slice()) {
        (Some(pid), children) => children.iter().find(|child| child.pid == pid),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(child) = child else {
        let count = facts.children.len();
        let detail = (pid.is_none() && count > 1).then(|| format!("of which it has {count}"));
        return Known { detail, ..plain };
    };
    let words = does(arch, facts, child);
    // What is in front says who it is.
    let detail = words.strip_prefix(&format!("{} ({}) ", child.pid, child.name)).map(|does| format!("which {does}"));
    let nature = if waits_for_us(arch, facts, child) { Nature::Mutual } else { plain.nature };
    Known { name: Some(format!("{} ({})", child.pid, child.name)), detail, nature }
}

/// The call that a child sleeps in.
fn call_of(arch: Arch, child: &Child) -> Option<Blocking> {
    let call = child.syscall.as_ref()?;
    let mut args = [None; 6];
    for (place, value) in args.iter_mut().zip(&call.args) {
        *place = Some(*value);
    }
    let saved = SavedSyscall { number: u64::try_from(call.number).ok()?, args, result: 0 };
    // Memory of the child is not at hand: what its arguments point to stays unknown.
    Some(syscalls::blocking(arch, &saved, &Memory::default()))
}

/// `4711 (cc1) writes fd 1 (pipe:[99]), whose other end is fd 3 of this process`: a child, and what it does.
fn does(arch: Arch, facts: &Facts, child: &Child) -> String {
    let who = format!("{} ({})", child.pid, child.name);
    let what = match child.state {
        Some('T') => "is stopped by a signal".to_owned(),
        Some('t') => "is stopped by a debugger".to_owned(),
        Some('Z' | 'X') => "has ended".to_owned(),
        Some('R') => "runs".to_owned(),
        _ => match call_of(arch, child) {
            None => "sleeps".to_owned(),
            Some(call) if call.kind == CallKind::Other => {
                call.name.map_or_else(|| "sleeps".to_owned(), |name| format!("sleeps in {name}"))
            }
            Some(call) => {
                let name = match (&call.name, &child.target) {
                    (Some(name), Some(target)) => format!(" {name} ({target})"),
                    (Some(name), None) => format!(" {name}"),
                    (None, _) => String::new(),
                };
                format!("{}{name}", call.kind.does())
            }
        },
    };
    let own = wanted_of_us(arch, facts, child);
    let own = own.map_or_else(String::new, |fd| format!(", whose other end is fd {fd} of this process"));
    format!("{who} {what}{own}")
}

/// The descriptor of ours that is the other end of the pipe that a child waits on.
fn wanted_of_us(arch: Arch, facts: &Facts, child: &Child) -> Option<u32> {
    let target = child.target.as_deref().filter(|target| target.starts_with("pipe:["))?;
    match call_of(arch, child)?.kind {
        CallKind::Write => own_end(facts, target, 'r'),
        CallKind::Read => own_end(facts, target, 'w'),
        _ => None,
    }
}

/// Whether a child waits for what only the process that waits for the child can do.
fn waits_for_us(arch: Arch, facts: &Facts, child: &Child) -> bool {
    wanted_of_us(arch, facts, child).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::facts::{FileLock, OtherEnd, Syscall, ThreadFacts};
    use crate::model::{Gap, Tid};

    fn open(fd: u32, target: &str, access: &str) -> Descriptor {
        Descriptor { fd, target: target.into(), access: Some(access.into()), ..Descriptor::default() }
    }

    fn on(kind: CallKind, fd: u32) -> Blocking {
        Blocking { on: On::Fd(fd), ..Blocking::of(kind, Some(format!("fd {fd}"))) }
    }

    fn told(facts: &Facts, call: &Blocking) -> (String, Nature) {
        let Known { name, detail, nature } = known(Arch::X86_64, Some(facts), call, true);
        let words = [name, detail].into_iter().flatten().collect::<Vec<_>>();
        (words.join(", "), nature)
    }

    #[test]
    fn a_full_pipe_is_told_with_who_should_empty_it() {
        let sleep = OtherEnd { pid: 77, name: "sleep".into(), access: "r".into() };
        let pipe = Descriptor { others: vec![sleep], ..open(1, "pipe:[9]", "w") };
        let facts =
            Facts { descriptors: vec![pipe, open(4, "pipe:[8]", "w"), open(3, "pipe:[8]", "r")], ..Facts::default() };
        let other = "fd 1 (pipe:[9]), which process 77 (sleep) has open for reading";
        assert_eq!(told(&facts, &on(CallKind::Write, 1)), (other.to_owned(), Nature::Room));
        let own = "fd 4 (pipe:[8]), whose other end is fd 3 of this process";
        assert_eq!(told(&facts, &on(CallKind::Write, 4)), (own.to_owned(), Nature::Mutual));
        let several = known(Arch::X86_64, Some(&facts), &on(CallKind::Write, 4), false);
        assert_eq!(several.nature, Nature::Room, "another thread may read");
        let never = "fd 3 (pipe:[8]), whose other end is fd 4 of this process";
        assert_eq!(told(&facts, &on(CallKind::Read, 3)), (never.to_owned(), Nature::Mutual));
    }

    #[test]
    fn a_file_lock_is_told_with_its_owner() {
        let owned = |owner_pid| FileLock { fd: 5, kind: "posix".into(), owner_pid, owner_name: "perl".into() };
        let facts = |owner| Facts {
            descriptors: vec![open(5, "/run/lk", "rw")],
            file_locks: vec![owned(owner)],
            ..Facts::default()
        };
        let words = "fd 5 (/run/lk), which process 77 (perl) holds";
        assert_eq!(told(&facts(Some(77)), &on(CallKind::FileLock, 5)), (words.to_owned(), Nature::Lock));
        assert!(told(&facts(None), &on(CallKind::FileLock, 5)).0.contains("an open file description holds"));
    }

    #[test]
    fn a_child_that_writes_to_a_pipe_of_its_parent_waits_for_its_parent() {
        let write = Syscall { number: 1, args: vec![4, 0, 4096, 0, 0, 0], ..Syscall::default() };
        let child = Child {
            pid: 99,
            name: "cc1".into(),
            state: Some('S'),
            syscall: Some(write),
            target: Some("pipe:[8]".into()),
            ..Child::default()
        };
        let mut facts =
            Facts { descriptors: vec![open(3, "pipe:[8]", "r")], children: vec![child], ..Facts::default() };
        let wait =
            |pid| Blocking { on: On::Child(pid), ..Blocking::of(CallKind::Child, pid.map(|pid| pid.to_string())) };
        let words = "99 (cc1), which writes fd 4 (pipe:[8]), whose other end is fd 3 of this process";
        assert_eq!(told(&facts, &wait(Some(99))), (words.to_owned(), Nature::Mutual));
        assert_eq!(told(&facts, &wait(None)), (words.to_owned(), Nature::Mutual), "the only child is the one");
        assert_eq!(told(&facts, &wait(Some(98))), ("98".to_owned(), Nature::Child), "not known");
        facts.children[0].state = Some('T');
        facts.children[0].target = None;
        assert_eq!(told(&facts, &wait(Some(99))).0, "99 (cc1), which is stopped by a signal");
    }

    #[test]
    fn both_ends_of_a_connection_may_be_ours() {
        let socket = |fd, words: &str| Descriptor { socket: Some(words.into()), ..open(fd, "socket:[1]", "rw") };
        let descriptors = vec![
            socket(3, "tcp 127.0.0.1:80 -> 127.0.0.1:4000 ESTABLISHED"),
            socket(4, "tcp 127.0.0.1:4000 -> 127.0.0.1:80 ESTABLISHED"),
            socket(5, "tcp 127.0.0.1:4001 -> 10.0.0.1:80 SYN_SENT"),
        ];
        let facts = Facts { descriptors, ..Facts::default() };
        assert!(told(&facts, &on(CallKind::Write, 4)).0.ends_with("whose other end is fd 3 of this process"));
        let waits = Blocking { nature: Nature::Room, ..on(CallKind::Poll, 5) };
        assert_eq!(told(&facts, &waits).1, Nature::Answer);
    }

    #[test]
    fn a_note_of_another_moment_is_not_believed() {
        let thread = |number, args: [Option<u64>; 6]| OsThread {
            tid: Tid(7),
            registers: Err(Gap::NotRecorded("registers".into())),
            thread_pointer: Err(Gap::NotRecorded("thread pointer".into())),
            syscall: Some(SavedSyscall { number, args, result: -512 }),
            signal: 0,
            name: None,
            crashed: false,
        };
        let slept = |syscall| Facts {
            threads: vec![ThreadFacts { tid: 7, syscall, ..ThreadFacts::default() }],
            ..Facts::default()
        };
        let read = slept(Some(Syscall { number: 0, args: vec![3, 0, 0, 0, 0, 0], ..Syscall::default() }));
        let args = |fd| [Some(fd), Some(0), Some(0), Some(0), Some(0), Some(0)];
        assert!(agrees(&read, &thread(0, args(3))));
        assert!(agrees(&read, &thread(0, [None; 6])), "aarch64 has lost the first");
        assert!(!agrees(&read, &thread(0, args(4))));
        assert!(!agrees(&read, &thread(7, args(3))));
        assert!(agrees(&slept(None), &thread(0, args(3))), "no thread's call could be asked for");
        let mut other = read.clone();
        other.threads.push(ThreadFacts { tid: 8, ..ThreadFacts::default() });
        let running = OsThread { tid: Tid(8), ..thread(0, args(3)) };
        assert!(!agrees(&other, &running), "it ran when the note was made");
    }

    #[test]
    fn without_a_note_the_arguments_are_all() {
        let call = on(CallKind::Write, 4);
        let plain = Known { name: Some("fd 4".into()), detail: None, nature: Nature::Room };
        assert_eq!(known(Arch::X86_64, None, &call, true), plain);
    }
}
