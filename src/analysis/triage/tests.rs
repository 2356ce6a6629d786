//! Rules over hand-made cases: what they say, how sure they are, in which order.

use std::sync::Arc;

use super::*;
use crate::analysis::deadlock::{cycles, holders};
use crate::model::thread::{CallKind, Held, HeldState, Nature, WaitKind};
use crate::model::{
    Absence, Absent, AccessKind, Addr, Detail, Evidence, Exception, ExceptionKind, FatalSignal, Fault, FrameKind,
    FreeList, Freed, Gap, Lock, LockFamily, LockKind, NamedFrame, Operand, Owner, Phase, Place, Problem,
    RecognisedRuntime, RuntimeKind, Subject, Term, Termination, Thread, ThreadState, Tid, TimeLimit, Trust, WaitingOn,
};

/// Kinds of locks as a runtime may define them.
mod kinds {
    use super::{LockFamily, LockKind, Nature};

    const fn kind(word: &'static str, family: LockFamily, nature: Nature) -> LockKind {
        LockKind { word, words: word, family, nature }
    }

    pub(super) const MUTEX: LockKind = kind("mutex", LockFamily::Mutex, Nature::Lock);
    pub(super) const RWLOCK: LockKind = kind("rwlock", LockFamily::Rwlock, Nature::Lock);
    pub(super) const CONDVAR: LockKind = kind("condvar", LockFamily::Condvar, Nature::Idle);
    pub(super) const SEMAPHORE: LockKind = kind("semaphore", LockFamily::Semaphore, Nature::Unknown);
    pub(super) const JOIN: LockKind = kind("join", LockFamily::Join, Nature::End);
}

/// A process made of literals.
#[derive(Default)]
struct Process {
    threads: Vec<Thread>,
    stacks: Vec<Vec<NamedFrame>>,
    locks: Vec<Lock>,
    taken: Vec<Addr>,
    exceptions: Vec<Exception>,
    signal: Option<FatalSignal>,
    problems: Vec<Problem>,
    doubtful: Vec<Arc<str>>,
    stop_signal: Option<i32>,
    runtimes: Vec<RecognisedRuntime>,
}

const PID: u32 = 1;

fn frames(functions: &[&str]) -> Vec<NamedFrame> {
    let frame = |(index, function): (usize, &&str)| NamedFrame {
        index,
        pc: Addr(0x1000 + index as u64),
        sp: Addr(0x7000),
        kind: FrameKind::Native,
        trust: Trust::Cfi,
        module: Some("app".into()).filter(|_| !function.is_empty()),
        function: Some(*function).filter(|name| !name.is_empty()).map(Into::into),
        offset: None,
        file: None,
        line: None,
        own: true,
    };
    functions.iter().enumerate().map(frame).collect()
}

fn on(kind: CallKind, name: Option<&str>) -> Option<WaitingOn> {
    let name = name.map(str::to_owned);
    let (kind, nature) = (WaitKind::Call(kind), kind.nature());
    Some(WaitingOn { kind, address: None, name, detail: None, nature, within: false })
}

fn for_lock(kind: LockKind, address: u64) -> Option<WaitingOn> {
    let (kind, nature) = (WaitKind::Lock(kind), kind.nature);
    Some(WaitingOn { kind, address: Some(Addr(address)), name: None, detail: None, nature, within: true })
}

fn signal(number: i32, code: i32, sender: Option<u32>) -> FatalSignal {
    let sender_uid = Some(1000);
    FatalSignal { tid: Tid(1), number, code: Some(code), address: None, sender_pid: sender, sender_uid, syscall: None }
}

impl Process {
    fn thread(mut self, tid: u32, name: &str, waiting_on: Option<WaitingOn>, functions: &[&str]) -> Process {
        self.threads.push(Thread {
            index: self.threads.len(),
            tid: Tid(tid),
            name: Some(name.to_owned()),
            runtime_id: None,
            state: if waiting_on.is_some() { ThreadState::Blocked } else { ThreadState::Running },
            crashed: false,
            waiting_on,
            top: functions.first().map(|name| (*name).to_owned()),
            start: None,
            kernel: None,
        });
        self.stacks.push(frames(functions));
        self
    }

    fn lock(mut self, address: u64, name: &str, owner: Owner, waiters: &[u32]) -> Process {
        self.locks.push(Lock {
            address: Addr(address),
            kind: kinds::MUTEX,
            name: Ok(Some(name.to_owned())),
            owner,
            recursion: None,
            readers: None,
            read_by: Vec::new(),
            waiters: waiters.iter().copied().map(Tid).collect(),
            evidence: Evidence::OWNER_FIELD,
            absent: None,
            limits: Vec::new(),
        });
        self
    }

    /// A thread's end, which others wait for.
    fn end(mut self, address: u64, tid: u32, waiters: &[u32]) -> Process {
        self = self.lock(address, "thread", held(tid), waiters);
        if let Some(lock) = self.locks.last_mut() {
            (lock.kind, lock.evidence) = (kinds::JOIN, Evidence::recorded("joined-thread"));
        }
        self
    }

    fn read(mut self, address: u64, name: &str, readers: &[u32], waiters: &[u32]) -> Process {
        let unknown = Owner::Unknown(Gap::NotRecorded("readers".to_owned()));
        self = self.lock(address, name, unknown, waiters);
        if let Some(lock) = self.locks.last_mut() {
            lock.read_by = readers.iter().copied().map(Tid).collect();
            lock.evidence = Evidence::ALL_READERS;
        }
        self
    }

    fn fatal(mut self, kind: ExceptionKind, message: Option<&str>, detail: Detail) -> Process {
        let stack = self.stacks.first().cloned().unwrap_or_default();
        self.exceptions.push(Exception {
            tid: Some(Tid(1)),
            kind,
            type_name: Ok("std::runtime_error".to_owned()),
            message: Ok(message.map(str::to_owned)),
            address: None,
            fatal: true,
            frames: stack,
            inner: None,
            detail,
        });
        self.signal.get_or_insert(signal(6, -6, Some(PID)));
        self
    }

    fn fault(self, access: AccessKind, address: u64, place: Place, base: u64, freed: Option<Freed>) -> Process {
        let operand = Operand {
            terms: vec![Term { register: "rdi", value: Some(base), scale: 1 }],
            displacement: address.wrapping_sub(base).cast_signed(),
        };
        let fault = Fault {
            access: Ok(access),
            bytes: Some(8),
            address: Ok(Addr(address)),
            place: Ok(place),
            operand: Some(operand),
            freed,
        };
        let segv = FatalSignal { address: Some(Addr(address)), ..signal(11, 1, None) };
        let detail = Detail::Signal { signal: segv.clone(), handler: None, fault: Some(Box::new(fault)) };
        Process { signal: Some(segv), ..self }.fatal(ExceptionKind::Signal, None, detail)
    }

    fn runtime(mut self, kind: RuntimeKind, version: &str, idle: Option<&str>) -> Process {
        self.runtimes.push(RecognisedRuntime {
            kind,
            version: Some(version.to_owned()),
            evidence: "maps /usr/lib/libjvm.so".to_owned(),
            idle: idle.map(str::to_owned),
        });
        self
    }

    fn verdict(&self) -> Vec<Finding> {
        let stacks: Vec<&[NamedFrame]> = self.stacks.iter().map(Vec::as_slice).collect();
        verdict(&Case {
            pid: Some(PID),
            threads: &self.threads,
            stacks: &stacks,
            locks: &self.locks,
            cycles: &cycles(&self.locks),
            holders: &holders(&self.locks),
            taken: &self.taken,
            exceptions: &self.exceptions,
            signal: self.signal.as_ref(),
            problems: &self.problems,
            doubtful: &self.doubtful,
            stop_signal: self.stop_signal,
            runtimes: &self.runtimes,
        })
    }

    /// Titles in order, a likely one with a question mark.
    fn titles(&self) -> Vec<String> {
        let mark = |certain| if certain { "" } else { "?" };
        self.verdict().iter().map(|finding| format!("{}{}", finding.title, mark(finding.certain))).collect()
    }
}

fn crashed(functions: &[&str]) -> Process {
    Process::default().thread(1, "main", None, functions)
}

fn held(tid: u32) -> Owner {
    Owner::Thread(Tid(tid))
}

#[test]
fn a_deadlock_is_told_with_threads_and_locks_by_name() {
    let process = Process::default()
        .thread(3, "worker-3", for_lock(kinds::MUTEX, 0xb), &["reserve(Order&)", "dispatch()"])
        .thread(7, "worker-7", for_lock(kinds::MUTEX, 0xa), &["commit()", "dispatch()"])
        .thread(9, "worker-9", for_lock(kinds::MUTEX, 0xa), &["commit()"])
        .lock(0xa, "g_orders", held(3), &[7, 9])
        .lock(0xb, "g_stock", held(7), &[3]);
    let [found] = process.verdict().try_into().unwrap();
    assert_eq!(
        found.title.to_string(),
        "deadlock: worker-3 waits for g_stock (held by worker-7), worker-7 waits for g_orders (held by worker-3)"
    );
    assert_eq!((found.severity, found.certain), (Severity::Critical, true));
    let evidence: Vec<String> = found.evidence.iter().map(|fact| fact.text.to_string()).collect();
    assert_eq!(
        evidence,
        ["worker-3: reserve ◂ dispatch", "worker-7: commit ◂ dispatch", "1 more thread waits behind it: worker-9"]
    );
}

#[test]
fn an_inferred_owner_makes_a_deadlock_likely_and_says_so() {
    let process = Process::default()
        .thread(3, "a", for_lock(kinds::MUTEX, 0xb), &["f"])
        .thread(7, "b", for_lock(kinds::MUTEX, 0xa), &["g"])
        .lock(0xa, "x", Owner::Inferred(Tid(3)), &[7])
        .lock(0xb, "y", held(7), &[3]);
    let found = process.verdict();
    assert!(!found[0].certain);
    assert!(found[0].evidence.iter().any(|fact| fact.text.to_string().contains("that a holds x is inferred")));
}

#[test]
fn a_deadlock_through_a_reader_is_likely_and_says_that_it_reads() {
    let process = Process::default()
        .thread(3, "clerk", for_lock(kinds::MUTEX, 0xb), &["f"])
        .thread(5, "visitor", on(CallKind::Read, Some("fd 3")), &["h"])
        .thread(7, "editor", for_lock(kinds::RWLOCK, 0xa), &["g"])
        .read(0xa, "catalogue", &[3, 5], &[7])
        .lock(0xb, "till", held(7), &[3]);
    let [found] = process.verdict().try_into().expect("the other reader is no finding of its own");
    assert_eq!(
        found.title.to_string(),
        "deadlock: clerk waits for till (held by editor), editor waits for catalogue (held by clerk)"
    );
    assert!(!found.certain);
    let says = "that clerk holds catalogue for reading is inferred: the lock counts its readers and names none";
    assert!(found.evidence.iter().any(|fact| fact.text.to_string() == says), "{:?}", found.evidence);
}

#[test]
fn a_thread_that_waits_for_its_own_lock_is_a_self_deadlock() {
    let process =
        Process::default().thread(3, "a", for_lock(kinds::MUTEX, 0xa), &["f"]).lock(0xa, "g_m", held(3), &[3]);
    assert_eq!(process.titles(), ["self-deadlock: a waits for g_m, which it holds itself"]);
}

#[test]
fn many_who_wait_for_one_are_told_with_what_that_one_does() {
    let process = Process::default()
        .thread(1, "main", on(CallKind::Read, Some("fd 7")), &["fetch", "main"])
        .thread(2, "a", for_lock(kinds::MUTEX, 0xa), &["f"])
        .thread(3, "b", for_lock(kinds::MUTEX, 0xa), &["f"])
        .lock(0xa, "g_pool_mu", held(1), &[2, 3]);
    assert_eq!(process.titles(), ["2 threads wait for g_pool_mu, held by main, which reads fd 7"]);
}

#[test]
fn readers_that_hold_one_lock_are_one_finding() {
    let process = Process::default()
        .thread(1, "main", on(CallKind::Read, Some("fd 7")), &["fetch", "main"])
        .thread(2, "a", for_lock(kinds::RWLOCK, 0xa), &["f"])
        .thread(3, "b", for_lock(kinds::RWLOCK, 0xa), &["f"])
        .thread(4, "c", on(CallKind::Read, Some("fd 7")), &["fetch"])
        .read(0xa, "g_prices", &[1, 4], &[2, 3]);
    assert_eq!(
        process.titles(),
        ["2 threads wait for g_prices, held by main, which reads fd 7, and by 1 more reader?"]
    );
}

#[test]
fn a_null_member_is_told_with_the_function_and_its_caller() {
    let process = crashed(&["parse_header(Header*)", "main", "__libc_start_call_main"]);
    let process = process.fault(AccessKind::Read, 0x10, Place::NullPage { offset: 0x10 }, 0, None);
    assert_eq!(
        process.titles(),
        ["SIGSEGV reading 0x10 in parse_header, called from main: a member of a null pointer"]
    );
}

#[test]
fn an_address_near_zero_without_a_null_register_is_likely_only() {
    let process = crashed(&["f"]).fault(AccessKind::Read, 0x10, Place::NullPage { offset: 0x10 }, 8, None);
    assert_eq!(process.titles(), ["SIGSEGV reading 0x10 in f: near zero, where nothing is mapped?"]);
}

#[test]
fn a_stack_overflow_names_the_recursion_and_its_depth() {
    let mut functions = ["ping(int)", "pong(int)"].repeat(50);
    functions.push("main");
    let guard = Place::StackGuard { stack: Addr(0x8000), size: 8 << 20 };
    let process = crashed(&functions).fault(AccessKind::Write, 0x7ff8, guard, 0x7ff8, None);
    assert_eq!(process.titles(), ["stack overflow: pong calls ping calls pong, 50 calls deep"]);
}

#[test]
fn a_pointer_from_freed_memory_is_likely_and_beats_the_bare_signal() {
    let freed = Freed { object: Some(Addr(0x5000)), bytes: Some(32), list: FreeList::Tcache, register: "rbx" };
    let process = crashed(&["f"]).fault(AccessKind::Read, 0x55_5555, Place::Unmapped, 0x55_5545, Some(freed));
    assert_eq!(process.titles(), ["SIGSEGV reading 0x555555 in f: a pointer from freed memory?"]);
}

#[test]
fn jumps_into_data_and_to_nowhere_are_told_apart() {
    let jump = |place| {
        let process = crashed(&["", "call_handler"]).fault(AccessKind::Execute, 0xdead_beef, place, 0, None);
        process.titles().remove(0)
    };
    assert_eq!(jump(Place::NotExecutable), "execution of data at 0xdeadbeef in call_handler");
    assert_eq!(jump(Place::Unmapped), "jump to nowhere: 0xdeadbeef is no code in call_handler");
}

#[test]
fn an_uncaught_exception_is_told_with_its_type_and_message() {
    let detail = Detail::Cxx { phase: Phase::Uncaught, ended: Some(Termination::Uncaught) };
    let process = crashed(&["read_request()"]).fatal(ExceptionKind::Cxx, Some("bad request"), detail);
    assert_eq!(process.titles(), ["uncaught std::runtime_error: bad request, thrown in read_request"]);
}

#[test]
fn an_abort_is_told_with_its_text_and_what_it_means() {
    let process = crashed(&["f"]).fatal(ExceptionKind::Abort, Some("malloc(): corrupted top size"), Detail::Nothing);
    assert_eq!(process.titles(), ["abort: malloc(): corrupted top size, in f"]);
    assert!(process.verdict()[0].evidence[0].text.to_string().contains("the heap was smashed earlier"));
}

#[test]
fn a_signal_from_another_process_is_told_with_its_sender() {
    let mut process = Process::default().thread(1, "main", on(CallKind::Sleep, None), &["main"]);
    process.signal = Some(signal(3, 0, Some(77)));
    assert_eq!(
        process.titles(),
        [
            "killed from outside with SIGQUIT by process 77 (user 1000)",
            "its only thread waits for work, input or time: nothing looks wrong here?"
        ]
    );
}

#[test]
fn a_signal_that_the_process_sent_itself_is_not_from_outside() {
    let mut process = crashed(&["main"]);
    process.signal = Some(signal(11, -6, Some(PID)));
    let detail = Detail::Signal { signal: signal(11, -6, Some(PID)), handler: None, fault: None };
    let process = process.fatal(ExceptionKind::Signal, Some("sent by tkill"), detail);
    assert_eq!(process.titles(), ["SIGSEGV raised by the process itself in main"]);
}

#[test]
fn a_thread_that_runs_while_others_wait_for_it_may_spin() {
    let process = Process::default()
        .thread(1, "main", None, &["recalculate", "main"])
        .thread(2, "a", for_lock(kinds::MUTEX, 0xa), &["f"])
        .lock(0xa, "g_m", held(1), &[2]);
    assert_eq!(process.titles(), ["main runs in recalculate while another thread waits for what it holds?"]);
}

#[test]
fn a_process_whose_threads_all_wait_for_work_has_nothing_wrong() {
    let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]).thread(
        2,
        "a",
        for_lock(kinds::CONDVAR, 0xc),
        &["take"],
    );
    assert_eq!(process.titles(), ["all 2 threads wait for work, input or time: nothing looks wrong here?"]);
}

#[test]
fn who_waits_for_something_not_understood_is_never_calm() {
    let process = |waiting| {
        let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]);
        process.thread(2, "a", waiting, &["take"]).titles()
    };
    assert_eq!(
        process(for_lock(kinds::SEMAPHORE, 0xc)),
        ["1 thread waits for something whose owner is not known: 0xc"]
    );
    assert_eq!(
        process(on(CallKind::Other, Some("ioctl"))),
        ["1 thread waits for something whose owner is not known: the system call ioctl"]
    );
    assert_eq!(process(on(CallKind::Write, Some("fd 1"))), ["a writes fd 1: it takes no more for now"]);
    assert_eq!(process(on(CallKind::FileLock, Some("fd 3"))), ["a waits for a file lock on fd 3"]);
    assert_eq!(process(on(CallKind::Child, Some("7 (cc1)"))), ["a waits for a child process, 7 (cc1)"]);
    let mut unread = Process::default().thread(1, "main", on(CallKind::Epoll, None), &["run"]);
    unread = unread.thread(2, "a", None, &[]);
    unread.threads[1].state = ThreadState::Unknown;
    assert!(unread.titles()[0].starts_with("1 thread waits for something whose owner is not known"));
}

#[test]
fn waits_of_a_process_that_is_busy_are_not_told_as_unknown() {
    let process =
        Process::default().thread(1, "main", None, &["run"]).thread(2, "a", for_lock(kinds::SEMAPHORE, 0xc), &["take"]);
    assert!(!process.titles().iter().any(|title| title.contains("not known")), "{:?}", process.titles());
}

#[test]
fn who_joins_a_thread_is_as_calm_as_that_thread() {
    let process = |joined| {
        let process = Process::default().thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"]);
        process.thread(2, "worker", joined, &["work"]).end(0xe, 2, &[1]).titles().remove(0)
    };
    assert_eq!(
        process(on(CallKind::Read, Some("fd 7"))),
        "all 2 threads wait for work, input or time: nothing looks wrong here?"
    );
    assert_eq!(process(on(CallKind::Write, Some("fd 7"))), "worker writes fd 7: it takes no more for now");
    assert!(process(on(CallKind::Other, None)).starts_with("1 thread waits for something whose owner"));
}

fn held_by_the_kernel(process: &mut Process, state: HeldState) {
    for thread in &mut process.threads {
        let lost = (state == HeldState::Uninterruptible).then(|| "it did not stop".to_owned());
        let wait_channel = lost.as_ref().map(|_| "nfs_wait".to_owned());
        thread.kernel = Some(Held { state, wait_channel, functions: Vec::new(), lost });
    }
}

#[test]
fn a_stopped_process_is_told_first_and_is_not_calm() {
    let mut process = Process::default().thread(1, "main", on(CallKind::Sleep, None), &["main"]);
    process.stop_signal = Some(20);
    held_by_the_kernel(&mut process, HeldState::Stopped);
    let stopped = "the process is stopped by SIGTSTP: nothing of it runs until SIGCONT wakes it";
    assert_eq!(process.titles(), [stopped]);
    process = process.thread(2, "a", on(CallKind::Write, Some("fd 1")), &["put"]);
    assert_eq!(process.titles()[0], "1 of 2 threads is stopped by SIGTSTP: nothing of it runs until SIGCONT wakes it");
    held_by_the_kernel(&mut process, HeldState::Frozen);
    let frozen = "the process is frozen, with its control group: nothing of it runs until the group is thawed";
    assert_eq!(process.titles()[0], frozen);
}

#[test]
fn a_thread_that_no_signal_wakes_is_told_and_not_once_more_as_unknown() {
    let mut process = Process::default().thread(1, "main", on(CallKind::Other, Some("fsync")), &["main"]);
    held_by_the_kernel(&mut process, HeldState::Uninterruptible);
    assert_eq!(
        process.titles(),
        [
            "its only thread sleeps where no signal wakes it (state D), in the kernel's nfs_wait: it is in the system call fsync"
        ]
    );
}

fn for_turn(address: u64) -> Option<WaitingOn> {
    let detail = Some("the GIL of Python; py-spy dump tells who runs".to_owned());
    for_lock(kinds::CONDVAR, address).map(|waiting| WaitingOn { detail, nature: Nature::Turn, ..waiting })
}

#[test]
fn the_only_thread_inside_of_the_interpreter_has_the_turn_that_others_wait_for() {
    let callback = ["take_gil", "PyGILState_Ensure", "refill"];
    let process = Process::default()
        .thread(1, "main", for_lock(kinds::MUTEX, 0xa), &["cache_get", "_PyEval_EvalFrameDefault", "main"])
        .thread(2, "refill", for_turn(0xb), &callback)
        .thread(3, "poller", on(CallKind::Poll, Some("fd 3")), &["poll"])
        .lock(0xa, "g_cache_mu", held(2), &[1]);
    let found = process.verdict();
    assert_eq!(
        found[0].title.to_string(),
        "deadlock: refill waits for the GIL of Python, which main has: it waits for g_cache_mu, held by refill"
    );
    assert_eq!((found[0].severity, found[0].certain), (Severity::Critical, false));
    let busy = Process::default().thread(1, "main", None, &["sum", "_PyEval_EvalFrameDefault", "main"]).thread(
        2,
        "refill",
        for_turn(0xb),
        &callback,
    );
    let found = busy.verdict();
    let turn = found.iter().find(|finding| finding.rule == "waits-outside").expect("the wait is told");
    assert_eq!(turn.title.to_string(), "refill waits for the GIL of Python, which main has: it is in sum");
    assert_eq!(turn.severity, Severity::Note, "turns are taken while one runs");
}

#[test]
fn who_joins_a_thread_waits_for_its_end_and_not_for_what_it_holds() {
    let cycle = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(2, "worker", for_lock(kinds::MUTEX, 0xa), &["work"])
        .lock(0xa, "g_m", held(1), &[2])
        .end(0xe, 2, &[1]);
    assert_eq!(cycle.titles(), ["deadlock: main waits for the end of worker, worker waits for g_m (held by main)"]);
    let chain = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(2, "other", for_lock(kinds::JOIN, 0xe), &["stop"])
        .thread(3, "worker", on(CallKind::Read, Some("fd 7")), &["work"])
        .end(0xe, 3, &[1, 2]);
    assert_eq!(chain.titles(), ["2 threads wait for the end of worker, which reads fd 7"]);
    let spins = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(3, "worker", None, &["work"])
        .end(0xe, 3, &[1]);
    assert_eq!(spins.titles(), ["worker runs in work while another thread waits for its end?"]);
}

#[test]
fn a_lock_whose_holder_has_ended_is_never_given_back() {
    let mut process = Process::default()
        .thread(1, "main", for_lock(kinds::MUTEX, 0xa), &["pay", "main"])
        .thread(2, "a", for_lock(kinds::MUTEX, 0xa), &["pay"])
        .lock(0xa, "g_till", Owner::Unknown(Gap::NotRecorded("the lock names thread 9".to_owned())), &[1, 2]);
    process.locks[0].evidence = Evidence::OWNER_GONE;
    process.locks[0].absent = Some(absent(9, Absence::Ended, false, Some(false)));
    assert_eq!(
        process.titles(),
        ["2 threads wait for g_till, whose holder ended without giving it back?"],
        "and who holds it is not asked once more"
    );
    let says_it = |process: &Process| process.titles().iter().any(|title| title.contains("holder ended"));
    process.problems.push(Problem::new("notes-damaged", Subject::Capture, "the notes end early"));
    assert!(!says_it(&process), "the holder may be among the threads that are missing");
    process.problems.clear();
    for thread in &mut process.threads {
        thread.waiting_on = thread.waiting_on.take().map(|waiting| WaitingOn { within: false, ..waiting });
    }
    assert!(!says_it(&process), "another process may share the lock, or the wait ends by itself");
}

fn absent(tid: u32, why: Absence, certain: bool, shared: Option<bool>) -> Absent {
    Absent { tid, why, certain, alive: None, pid: None, process: None, shared }
}

/// main waits for a lock whose holder is no thread of the process.
fn waits_for_absent(absent: Absent, within: bool) -> Process {
    let waiting = for_lock(kinds::MUTEX, 0xa).map(|waiting| WaitingOn { within, ..waiting });
    let mut process = Process::default()
        .thread(1, "main", waiting, &["pay", "main"])
        .thread(2, "clerk", on(CallKind::Read, Some("fd 4")), &["serve"])
        .lock(0xa, "g_till", Owner::Unknown(Gap::Absent("held by another".to_owned())), &[1]);
    process.locks[0].evidence = Evidence::OWNER_GONE;
    process.locks[0].absent = Some(absent);
    process
}

fn told(process: &Process) -> Vec<(&'static str, Severity, String)> {
    let question = |certain| if certain { "" } else { "?" };
    let of =
        |finding: &Finding| (finding.rule, finding.severity, format!("{}{}", finding.title, question(finding.certain)));
    process.verdict().iter().map(of).collect()
}

#[test]
fn a_lock_that_another_process_holds_is_not_abandoned() {
    let alive = Absent {
        alive: Some(true),
        pid: Some(400),
        process: Some("shop".to_owned()),
        ..absent(402, Absence::OtherProcess, true, Some(true))
    };
    let titles = |absent: Absent| told(&waits_for_absent(absent, false));
    let words = "main waits for g_till, held by process 400 (shop), thread 402".to_owned();
    assert_eq!(titles(alive.clone()), [("held-elsewhere", Severity::Warning, words)]);
    let unseen = absent(402, Absence::OtherProcess, false, Some(true));
    let words = "main waits for g_till, held by thread 402 of another process?".to_owned();
    assert_eq!(titles(unseen), [("held-elsewhere", Severity::Warning, words)]);
    let dead = Absent { alive: Some(false), ..absent(402, Absence::Ended, false, Some(true)) };
    let words =
        "main waits for g_till, whose holder was in another process and has ended without giving it back?".to_owned();
    assert_eq!(titles(dead), [("abandoned-lock", Severity::Critical, words)]);
}

#[test]
fn a_lock_that_fork_copied_while_another_thread_held_it_is_said_to_be_that() {
    let parents = Absent {
        alive: Some(true),
        pid: Some(400),
        process: Some("shop".to_owned()),
        ..absent(402, Absence::BeforeFork, true, Some(false))
    };
    let words = "main waits for g_till, which thread 402 of process 400 (shop) held when fork copied it";
    let process = waits_for_absent(parents.clone(), true);
    assert_eq!(told(&process), [("forked-lock", Severity::Critical, words.to_owned())]);
    let older = absent(402, Absence::BeforeFork, false, Some(false));
    let words = "main waits for g_till, which thread 402 held when fork copied it?".to_owned();
    assert_eq!(told(&waits_for_absent(older, true)), [("forked-lock", Severity::Critical, words)]);
    assert_eq!(told(&waits_for_absent(parents, false)), [], "its wait ends by itself");
}

#[test]
fn what_the_first_thread_held_when_it_ended_is_certain() {
    let first = absent(1, Absence::FirstThread, true, Some(false));
    let words = "main waits for g_till, which the process's first thread held when it ended".to_owned();
    assert_eq!(told(&waits_for_absent(first, true)), [("abandoned-lock", Severity::Critical, words)]);
}

/// a and b each hold what the other wants.
fn crossed(limits: [Option<Option<u64>>; 2]) -> Process {
    let mut process = Process::default()
        .thread(3, "a", for_lock(kinds::MUTEX, 0xb), &["move"])
        .thread(7, "b", for_lock(kinds::MUTEX, 0xa), &["move"])
        .lock(0xa, "g_a", held(3), &[7])
        .lock(0xb, "g_b", held(7), &[3]);
    let limit =
        |tid, left: Option<Option<u64>>| left.map(|left_ms| TimeLimit { tid: Tid(tid), left_ms, whole_ms: None });
    process.locks[0].limits.extend(limit(7, limits[1]));
    process.locks[1].limits.extend(limit(3, limits[0]));
    process
}

#[test]
fn a_cycle_of_waits_with_time_limits_is_no_deadlock() {
    let told = |limits| {
        let [(rule, severity, title)] = told(&crossed(limits)).try_into().expect("one finding");
        assert_eq!((rule, severity), ("timed-cycle", Severity::Warning), "{title}");
        title
    };
    let cycle = "a waits for g_b (held by b), b waits for g_a (held by a)";
    assert_eq!(
        told([Some(Some(1900)), Some(Some(1400))]),
        format!("a cycle of waits that ends by itself: {cycle}; each waits at most 1.9 s more")
    );
    assert_eq!(
        told([Some(Some(1900)), Some(Some(60_000))]),
        format!("a cycle of waits that ends by itself: {cycle}; each waits at most 1 min more, the first 1.9 s")
    );
    assert_eq!(
        told([Some(Some(1900)), None]),
        format!("a cycle of waits that ends by itself: {cycle}; a waits at most 1.9 s more")
    );
    assert_eq!(
        told([None, Some(Some(86_400_000))]),
        format!("a cycle of waits that ends only in 1 day: {cycle}; b waits at most 1 day more")
    );
    assert_eq!(
        told([Some(None), Some(None)]),
        format!(
            "a cycle of waits that ends by itself: {cycle}; each waits only until a time that the dump does not tell"
        )
    );
    assert_eq!(crossed([None, None]).verdict()[0].rule, "deadlock");
}

/// main waits for events and holds a lock for each of three workers, which wait in `function`, started with `worker`.
fn gates(function: &str, addresses: [u64; 3]) -> Process {
    let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 5")), &["poll", "main"]);
    let mut process = addresses.into_iter().zip(2u32..).fold(process, |process, (address, tid)| {
        let process = process.thread(tid, &format!("io-{tid}"), for_lock(kinds::MUTEX, address), &[function, "worker"]);
        process.lock(address, "g_gates", held(1), &[tid])
    });
    for thread in process.threads.iter_mut().skip(1) {
        thread.start = Some("worker(int)".to_owned());
    }
    process
}

#[test]
fn a_pool_whose_threads_each_wait_for_a_lock_of_their_own_is_parked() {
    let rules =
        |process: &Process| told(process).iter().map(|(rule, severity, _)| (*rule, *severity)).collect::<Vec<_>>();
    let array = [0x1000, 0x1028, 0x1050];
    assert_eq!(rules(&gates("worker", array)), [("parked", Severity::Note)]);
    let blamed = [("one-holder", Severity::Warning)];
    assert_eq!(rules(&gates("update", array)), blamed, "they wait in the midst of their work");
    assert_eq!(rules(&gates("worker", [0x1000, 0x1028, 0x1060])), blamed, "no array");
    let taken = Process { taken: vec![Addr(0x1028)], ..gates("worker", array) };
    assert_eq!(rules(&taken), blamed, "a function that has not returned took them");
    let mut reading = gates("worker", array);
    reading.threads[0].waiting_on = on(CallKind::Read, Some("fd 5"));
    assert_eq!(rules(&reading), blamed, "the holder waits for an answer and not for work");
}

#[test]
fn who_destroys_a_condition_variable_waits_for_its_waiters() {
    let process = Process::default()
        .thread(1, "main", for_lock(kinds::CONDVAR, 0xc), &["__GI___pthread_cond_destroy", "stop", "main"])
        .thread(2, "reader", for_lock(kinds::CONDVAR, 0xc), &["__pthread_cond_wait", "await_news"]);
    let mut process = process.lock(0xc, "g_news", Owner::None, &[1, 2]);
    process.locks[0].kind = kinds::CONDVAR;
    let words = "main destroys g_news and waits for reader, which still waits on it".to_owned();
    assert_eq!(told(&process), [("destroyed-condvar", Severity::Critical, words)]);
}

#[test]
fn where_only_sleepers_are_left_nothing_is_called_right_and_nothing_wrong() {
    let mut process = Process::default()
        .thread(1, "main", for_lock(kinds::CONDVAR, 0xc), &["wait_ready", "main"])
        .thread(2, "ticker", on(CallKind::Sleep, None), &["tick"])
        .lock(0xc, "g_ready", Owner::None, &[1]);
    process.locks[0].kind = kinds::CONDVAR;
    process.threads[1].state = ThreadState::Sleeping;
    let words =
        "main waits without a limit for condvar g_ready, and no thread is at work that could wake it: ticker sleeps?";
    assert_eq!(told(&process), [("stuck", Severity::Note, words.to_owned())]);
    let mut joins = Process::default()
        .thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"])
        .thread(2, "ticker", on(CallKind::Sleep, None), &["tick"])
        .end(0xe, 2, &[1]);
    joins.threads[1].state = ThreadState::Sleeping;
    assert!(!told(&joins).iter().any(|(rule, ..)| *rule == "stuck"), "the sleeper is who ends the wait");
}

#[test]
fn where_every_thread_waits_for_another_none_is_left_to_wake_one() {
    let condvar = |tid: u32| (tid, for_lock(kinds::CONDVAR, 0xc));
    let process = |last: (u32, Option<WaitingOn>)| {
        let first = Process::default().thread(1, "main", for_lock(kinds::JOIN, 0xe), &["stop", "main"]);
        let process = [condvar(2), condvar(3), last]
            .into_iter()
            .fold(first, |process, (tid, waiting)| process.thread(tid, "worker", waiting, &["take"]));
        let mut process = process.lock(0xc, "g_work", Owner::None, &[2, 3, 4]).end(0xe, 2, &[1]);
        process.locks[0].kind = kinds::CONDVAR;
        process
    };
    let words =
        "3 threads wait for condvar g_work, and no thread is left that could wake them: the other one waits, too?";
    assert_eq!(process(condvar(4)).titles(), [words]);
    // One that waits for the world outside, or for a time, may wake the others.
    let calm = "all 4 threads wait for work, input or time: nothing looks wrong here?";
    assert_eq!(process((4, on(CallKind::Epoll, Some("fd 4")))).titles(), [calm]);
    let timed = condvar(4).1.map(|waiting| WaitingOn { within: false, ..waiting });
    assert_eq!(process((4, timed)).titles(), [calm]);
    let mut damaged = process(condvar(4));
    damaged.problems.push(Problem::new("notes-damaged", Subject::Capture, "the notes end early"));
    assert!(!damaged.titles().iter().any(|title| title.contains("no thread is left")), "one may be missing");
}

#[test]
fn a_thread_that_waits_for_a_mutex_alone_is_not_idle() {
    let process = Process::default().thread(1, "main", for_lock(kinds::MUTEX, 0xc), &["run"]);
    assert_eq!(process.titles(), ["its only thread waits for 0xc, and there is no other that could wake it?"]);
}

/// Two threads of which each waits for work as far as its native stack tells.
fn waiting() -> Process {
    let condvar = for_lock(kinds::CONDVAR, 0xc);
    Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]).thread(2, "a", condvar, &["take"])
}

#[test]
fn a_runtime_whose_waits_are_not_read_leaves_no_calm_verdict() {
    let process = waiting().runtime(RuntimeKind::Jvm, "17.0.15", None);
    let title = "JVM 17.0.15: Java frames and Java monitors are not read; the verdict covers native code only";
    assert_eq!(process.titles(), [title]);
    let found = &process.verdict()[0];
    assert_eq!((found.rule, found.severity), ("unread-runtime", Severity::Warning));
    assert_eq!(found.evidence[0].text.to_string(), "recognised: maps /usr/lib/libjvm.so");
}

#[test]
fn a_runtime_that_never_started_or_hides_no_waits_leaves_the_verdict() {
    let calm = "all 2 threads wait for work, input or time: nothing looks wrong here?";
    let loaded = waiting().runtime(RuntimeKind::Python, "3.11.2", Some("Py_IsInitialized() would be 0"));
    let note = "Python 3.11.2 is loaded, but was never started: Py_IsInitialized() would be 0";
    assert_eq!(loaded.titles(), [calm, note]);
    assert_eq!(
        waiting().runtime(RuntimeKind::Perl, "5.36.0", None).titles(),
        [calm, "Perl 5.36.0: Perl frames are not read"]
    );
}

#[test]
fn what_a_runtime_hides_is_a_note_beside_a_crash() {
    let process = crashed(&["f"]).runtime(RuntimeKind::Jvm, "17.0.15", None).fault(
        AccessKind::Read,
        0x10,
        Place::NullPage { offset: 0x10 },
        0,
        None,
    );
    let found = process.verdict();
    assert_eq!(found.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["null-access", "unread-runtime"]);
    assert_eq!(found[1].severity, Severity::Note);
}

#[test]
fn a_hundred_equal_stacks_are_an_explosion() {
    let mut process = Process::default();
    for tid in 1..=120 {
        process = process.thread(tid, "t", on(CallKind::Read, None), &["serve", "main"]);
    }
    assert_eq!(process.titles()[0], "120 of 120 threads have the same stack: each reads");
}

#[test]
fn what_is_missing_comes_after_what_is_wrong() {
    let mut process = crashed(&["f"]).fault(AccessKind::Read, 0x10, Place::NullPage { offset: 0x10 }, 0, None);
    process
        .problems
        .push(Problem::new("truncated", Subject::Capture, "the file ends early").with_remedy("copy it again"));
    let found = process.verdict();
    assert_eq!(found.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["null-access", "weakened"]);
    assert_eq!(found[1].next, Some(Next::advice("copy it again")));
}

#[test]
fn nothing_is_certain_that_rests_on_a_file_which_may_be_another_build() {
    let process = Process::default()
        .thread(3, "worker-3", for_lock(kinds::MUTEX, 0xb), &["reserve(Order&)", "dispatch()"])
        .lock(0xb, "g_stock", held(3), &[3]);
    let certain = |process: &Process| process.verdict().iter().map(|found| found.certain).collect::<Vec<_>>();
    assert_eq!(certain(&process), [true]);
    // All frames of these cases are in a module called app.
    let process = Process { doubtful: vec!["app".into()], ..process };
    assert_eq!(certain(&process), [false]);
    let why = "app may be another build's file, so that names and frames of it may be wrong";
    let found = process.verdict();
    assert!(found[0].evidence.iter().any(|fact| fact.text.to_string() == why), "{:?}", found[0].evidence);
    let process = Process { doubtful: vec!["libother.so".into()], ..process };
    assert_eq!(certain(&process), [true], "a module in which none of it is");
}
