//! Rules over hand-made cases: what they say, how sure they are, in which order.

use super::*;
use crate::analysis::deadlock::{cycles, holders};
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{
    AccessKind, Addr, Detail, Evidence, Exception, ExceptionKind, FatalSignal, Fault, FrameKind, FreeList, Freed, Gap,
    Lock, LockKind, NamedFrame, Operand, Owner, Phase, Place, Problem, RecognisedRuntime, RuntimeKind, Subject, Term,
    Termination, Thread, ThreadState, Tid, Trust, WaitingOn,
};

/// A process made of literals.
#[derive(Default)]
struct Process {
    threads: Vec<Thread>,
    stacks: Vec<Vec<NamedFrame>>,
    locks: Vec<Lock>,
    exceptions: Vec<Exception>,
    signal: Option<FatalSignal>,
    problems: Vec<Problem>,
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
    Some(WaitingOn { kind: WaitKind::Call(kind), address: None, name: name.map(str::to_owned), within: false })
}

fn for_lock(kind: LockKind, address: u64) -> Option<WaitingOn> {
    Some(WaitingOn { kind: WaitKind::Lock(kind), address: Some(Addr(address)), name: None, within: true })
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
        });
        self.stacks.push(frames(functions));
        self
    }

    fn lock(mut self, address: u64, name: &str, owner: Owner, waiters: &[u32]) -> Process {
        self.locks.push(Lock {
            address: Addr(address),
            kind: LockKind::Mutex,
            name: Ok(Some(name.to_owned())),
            owner,
            recursion: None,
            readers: None,
            read_by: Vec::new(),
            waiters: waiters.iter().copied().map(Tid).collect(),
            evidence: Evidence::OwnerField,
        });
        self
    }

    /// A thread's end, which others wait for.
    fn end(mut self, address: u64, tid: u32, waiters: &[u32]) -> Process {
        self = self.lock(address, "thread", held(tid), waiters);
        if let Some(lock) = self.locks.last_mut() {
            (lock.kind, lock.evidence) = (LockKind::Join, Evidence::JoinedThread);
        }
        self
    }

    fn read(mut self, address: u64, name: &str, readers: &[u32], waiters: &[u32]) -> Process {
        let unknown = Owner::Unknown(Gap::NotRecorded("readers".to_owned()));
        self = self.lock(address, name, unknown, waiters);
        if let Some(lock) = self.locks.last_mut() {
            lock.read_by = readers.iter().copied().map(Tid).collect();
            lock.evidence = Evidence::AllReaders;
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
            exceptions: &self.exceptions,
            signal: self.signal.as_ref(),
            problems: &self.problems,
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
        .thread(3, "worker-3", for_lock(LockKind::Mutex, 0xb), &["reserve(Order&)", "dispatch()"])
        .thread(7, "worker-7", for_lock(LockKind::Mutex, 0xa), &["commit()", "dispatch()"])
        .thread(9, "worker-9", for_lock(LockKind::Mutex, 0xa), &["commit()"])
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
        .thread(3, "a", for_lock(LockKind::Mutex, 0xb), &["f"])
        .thread(7, "b", for_lock(LockKind::Mutex, 0xa), &["g"])
        .lock(0xa, "x", Owner::Inferred(Tid(3)), &[7])
        .lock(0xb, "y", held(7), &[3]);
    let found = process.verdict();
    assert!(!found[0].certain);
    assert!(found[0].evidence.iter().any(|fact| fact.text.to_string().contains("that a holds x is inferred")));
}

#[test]
fn a_deadlock_through_a_reader_is_likely_and_says_that_it_reads() {
    let process = Process::default()
        .thread(3, "clerk", for_lock(LockKind::Mutex, 0xb), &["f"])
        .thread(5, "visitor", on(CallKind::Read, Some("fd 3")), &["h"])
        .thread(7, "editor", for_lock(LockKind::Rwlock, 0xa), &["g"])
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
        Process::default().thread(3, "a", for_lock(LockKind::Mutex, 0xa), &["f"]).lock(0xa, "g_m", held(3), &[3]);
    assert_eq!(process.titles(), ["self-deadlock: a waits for g_m, which it holds itself"]);
}

#[test]
fn many_who_wait_for_one_are_told_with_what_that_one_does() {
    let process = Process::default()
        .thread(1, "main", on(CallKind::Read, Some("fd 7")), &["fetch", "main"])
        .thread(2, "a", for_lock(LockKind::Mutex, 0xa), &["f"])
        .thread(3, "b", for_lock(LockKind::Mutex, 0xa), &["f"])
        .lock(0xa, "g_pool_mu", held(1), &[2, 3]);
    assert_eq!(process.titles(), ["2 threads wait for g_pool_mu, held by main, which reads fd 7"]);
}

#[test]
fn readers_that_hold_one_lock_are_one_finding() {
    let process = Process::default()
        .thread(1, "main", on(CallKind::Read, Some("fd 7")), &["fetch", "main"])
        .thread(2, "a", for_lock(LockKind::Rwlock, 0xa), &["f"])
        .thread(3, "b", for_lock(LockKind::Rwlock, 0xa), &["f"])
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
        .thread(2, "a", for_lock(LockKind::Mutex, 0xa), &["f"])
        .lock(0xa, "g_m", held(1), &[2]);
    assert_eq!(process.titles(), ["main runs in recalculate while another thread waits for what it holds?"]);
}

#[test]
fn a_process_whose_threads_all_wait_for_work_has_nothing_wrong() {
    let process = Process::default().thread(1, "main", on(CallKind::Epoll, Some("fd 4")), &["run"]).thread(
        2,
        "a",
        for_lock(LockKind::Condvar, 0xc),
        &["take"],
    );
    assert_eq!(process.titles(), ["all 2 threads wait for work, input or time: nothing looks wrong here?"]);
}

#[test]
fn who_joins_a_thread_waits_for_its_end_and_not_for_what_it_holds() {
    let ring = Process::default()
        .thread(1, "main", for_lock(LockKind::Join, 0xe), &["stop", "main"])
        .thread(2, "worker", for_lock(LockKind::Mutex, 0xa), &["work"])
        .lock(0xa, "g_m", held(1), &[2])
        .end(0xe, 2, &[1]);
    assert_eq!(ring.titles(), ["deadlock: main waits for the end of worker, worker waits for g_m (held by main)"]);
    let chain = Process::default()
        .thread(1, "main", for_lock(LockKind::Join, 0xe), &["stop", "main"])
        .thread(2, "other", for_lock(LockKind::Join, 0xe), &["stop"])
        .thread(3, "worker", on(CallKind::Read, Some("fd 7")), &["work"])
        .end(0xe, 3, &[1, 2]);
    assert_eq!(chain.titles(), ["2 threads wait for the end of worker, which reads fd 7"]);
    let spins = Process::default()
        .thread(1, "main", for_lock(LockKind::Join, 0xe), &["stop", "main"])
        .thread(3, "worker", None, &["work"])
        .end(0xe, 3, &[1]);
    assert_eq!(spins.titles(), ["worker runs in work while another thread waits for its end?"]);
}

#[test]
fn a_lock_whose_holder_has_ended_is_never_given_back() {
    let mut process = Process::default()
        .thread(1, "main", for_lock(LockKind::Mutex, 0xa), &["pay", "main"])
        .thread(2, "a", for_lock(LockKind::Mutex, 0xa), &["pay"])
        .lock(0xa, "g_till", Owner::Unknown(Gap::NotRecorded("the lock names thread 9".to_owned())), &[1, 2]);
    process.locks[0].evidence = Evidence::OwnerGone;
    assert_eq!(
        process.titles(),
        ["2 threads wait for g_till, whose holder is gone?"],
        "and who holds it is not asked once more"
    );
    let says_it = |process: &Process| process.titles().iter().any(|title| title.contains("holder is gone"));
    process.problems.push(Problem::new("notes-damaged", Subject::Capture, "the notes end early"));
    assert!(!says_it(&process), "the holder may be among the threads that are missing");
    process.problems.clear();
    for thread in &mut process.threads {
        thread.waiting_on = thread.waiting_on.take().map(|waiting| WaitingOn { within: false, ..waiting });
    }
    assert!(!says_it(&process), "another process may share the lock, or the wait ends by itself");
}

#[test]
fn where_every_thread_waits_for_another_none_is_left_to_wake_one() {
    let condvar = |tid: u32| (tid, for_lock(LockKind::Condvar, 0xc));
    let process = |last: (u32, Option<WaitingOn>)| {
        let first = Process::default().thread(1, "main", for_lock(LockKind::Join, 0xe), &["stop", "main"]);
        let process = [condvar(2), condvar(3), last]
            .into_iter()
            .fold(first, |process, (tid, waiting)| process.thread(tid, "worker", waiting, &["take"]));
        let mut process = process.lock(0xc, "g_work", Owner::None, &[2, 3, 4]).end(0xe, 2, &[1]);
        process.locks[0].kind = LockKind::Condvar;
        process
    };
    let words =
        "3 threads wait for condvar g_work, and no thread is left that could wake them: the other one waits, too?";
    assert_eq!(process(condvar(4)).titles(), [words]);
    // One that waits for the world outside, or for a time, may wake the others.
    assert_eq!(process((4, on(CallKind::Epoll, Some("fd 4")))).titles(), Vec::<String>::new());
    let timed = condvar(4).1.map(|waiting| WaitingOn { within: false, ..waiting });
    assert_eq!(process((4, timed)).titles(), Vec::<String>::new());
    let mut damaged = process(condvar(4));
    damaged.problems.push(Problem::new("notes-damaged", Subject::Capture, "the notes end early"));
    assert!(!damaged.titles().iter().any(|title| title.contains("no thread is left")), "one may be missing");
}

#[test]
fn a_thread_that_waits_for_a_mutex_alone_is_not_idle() {
    let process = Process::default().thread(1, "main", for_lock(LockKind::Mutex, 0xc), &["run"]);
    assert_eq!(process.titles(), ["its only thread waits for 0xc, and there is no other that could wake it?"]);
}

/// Two threads of which each waits for work as far as its native stack tells.
fn waiting() -> Process {
    let condvar = for_lock(LockKind::Condvar, 0xc);
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
