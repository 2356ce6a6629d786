//! Rules over hand-made cases: what they say, how sure they are, in which order.

mod crashes;
mod cycles;
mod limits;
mod owners;
mod pending;
mod waits;

use std::sync::Arc;

use super::*;
use crate::analysis::deadlock::{cycles, holders};
use crate::model::thread::{CallKind, Held, HeldState, Nature, WaitKind};
use crate::model::{
    Absence, Absent, AccessKind, Addr, Detail, Evidence, Exception, ExceptionFamily, ExceptionKind, FatalSignal, Fault,
    FrameKind, FreeList, Freed, Gap, Lock, LockFamily, LockKind, NamedFrame, Operand, Owner, PendingWork, Phase, Place,
    Problem, RecognisedRuntime, RuntimeKind, Subject, Term, Termination, Thread, ThreadState, Tid, TimeLimit, Trust,
    WaitingOn,
};

/// Kinds of locks and exceptions as a runtime may define them.
mod kinds {
    use super::{ExceptionFamily, ExceptionKind, LockFamily, LockKind, Nature};

    const fn kind(word: &'static str, family: LockFamily, nature: Nature) -> LockKind {
        LockKind { word, words: word, family, nature }
    }

    pub(super) const MUTEX: LockKind = kind("mutex", LockFamily::Mutex, Nature::Lock);
    pub(super) const RWLOCK: LockKind = kind("rwlock", LockFamily::Rwlock, Nature::Lock);
    pub(super) const CONDVAR: LockKind = kind("condvar", LockFamily::Condvar, Nature::Idle);
    pub(super) const SEMAPHORE: LockKind = kind("semaphore", LockFamily::Semaphore, Nature::Unknown);
    pub(super) const JOIN: LockKind = kind("join", LockFamily::Join, Nature::End);
    pub(super) const SIGNAL: ExceptionKind = ExceptionKind::new("signal", ExceptionFamily::Signal, "signal");
    pub(super) const CXX: ExceptionKind = ExceptionKind::new("cxx", ExceptionFamily::Exception, "uncaught");
    pub(super) const ABORT: ExceptionKind = ExceptionKind::new("abort", ExceptionFamily::Abort, "abort");
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
    pending: PendingWork,
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
        approximate: false,
        own: true,
        walked: index,
        part: Some(0),
    };
    functions.iter().enumerate().map(frame).collect()
}

fn on(kind: CallKind, name: Option<&str>) -> Option<WaitingOn> {
    let name = name.map(str::to_owned);
    let (kind, nature) = (WaitKind::Call(kind), kind.nature());
    Some(WaitingOn { kind, address: None, name, detail: None, nature, inferred: false, within: false })
}

fn for_lock(kind: LockKind, address: u64) -> Option<WaitingOn> {
    let (kind, nature) = (WaitKind::Lock(kind), kind.nature);
    Some(WaitingOn {
        kind,
        address: Some(Addr(address)),
        name: None,
        detail: None,
        nature,
        inferred: false,
        within: true,
    })
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
            inferred_waiters: Vec::new(),
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
            others: Vec::new(),
            code: Ok(None),
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
        Process { signal: Some(segv), ..self }.fatal(kinds::SIGNAL, None, detail)
    }

    fn runtime(mut self, kind: RuntimeKind, version: &str, idle: Option<&str>) -> Process {
        self.runtimes.push(RecognisedRuntime {
            kind,
            version: Some(version.to_owned()),
            evidence: "maps /usr/lib/libjvm.so".to_owned(),
            idle: idle.map(str::to_owned),
            is_read: true,
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
            pending: &self.pending,
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

fn told(process: &Process) -> Vec<(&'static str, Severity, String)> {
    let question = |certain| if certain { "" } else { "?" };
    let of =
        |finding: &Finding| (finding.rule, finding.severity, format!("{}{}", finding.title, question(finding.certain)));
    process.verdict().iter().map(of).collect()
}
