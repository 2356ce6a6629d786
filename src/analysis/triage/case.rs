//! All that is known about a process, and the words for it that rules share.

use std::sync::Arc;

use crate::analysis::deadlock::{Cycle, Holder};
use crate::model::frame::path;
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{Addr, Exception, FatalSignal, FrameKind, Lock, NamedFrame, Problem, Subject, Thread, Tid};

use super::finding::{Fact, Part, Sentence};

/// What the rules see.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Id of the process, in the numbering of the signal's sender; `None` when the dump does not tell.
    pub pid: Option<u32>,
    /// Threads in the one order.
    pub threads: &'a [Thread],
    /// Their named stacks, parallel to `threads`; innermost frame first.
    pub stacks: &'a [&'a [NamedFrame]],
    /// Locks that someone holds or waits for.
    pub locks: &'a [Lock],
    /// Deadlocks among them.
    pub cycles: &'a [Cycle],
    /// Threads at the end of chains of waiting.
    pub holders: &'a [Holder],
    /// Exceptions, the fatal one first.
    pub exceptions: &'a [Exception],
    /// The signal that ended the process; `None` when the dump was taken from one that went on.
    pub signal: Option<&'a FatalSignal>,
    /// What is damaged or missing in the dump and its modules' files.
    pub problems: &'a [Problem],
}

/// Callers shown behind a thread's innermost function.
const SHOWN_CALLERS: usize = 3;

impl<'a> Case<'a> {
    /// A thread by its id.
    pub fn thread(&self, tid: Tid) -> Option<&'a Thread> {
        self.threads.iter().find(|thread| thread.tid == tid)
    }

    /// A thread's named stack; empty when there is none.
    pub fn frames(&self, tid: Tid) -> &'a [NamedFrame] {
        let index = self.threads.iter().position(|thread| thread.tid == tid);
        index.and_then(|index| self.stacks.get(index)).copied().unwrap_or_default()
    }

    /// The exception (or signal) that ended the process.
    pub fn fatal(&self) -> Option<&'a Exception> {
        self.exceptions.iter().find(|exception| exception.fatal)
    }

    /// Whether the signal came from another process, and not from a fault or from this one.
    pub fn was_killed(&self) -> bool {
        self.signal.is_some_and(|signal| {
            signal.was_sent() && signal.sender_pid.is_some_and(|sender| self.pid.is_none_or(|own| own != sender))
        })
    }

    /// Whether the process stopped of itself: a fault, an abort, an exception.
    pub fn crashed(&self) -> bool {
        self.signal.is_some() && !self.was_killed()
    }

    /// A thread, called by its name, else by its id and start routine.
    pub fn call(&self, tid: Tid) -> Part {
        let label = match self.thread(tid) {
            Some(Thread { name: Some(name), .. }) => name.as_str().into(),
            Some(thread) => thread.label().into(),
            None => Arc::from(format!("thread {tid}")),
        };
        Part::Thread(tid, label)
    }

    /// A lock, called by its name, else by its kind and address.
    pub fn lock(&self, address: Addr) -> Part {
        let lock = self.locks.iter().find(|lock| lock.address == address);
        let label = match lock {
            Some(Lock { name: Ok(Some(name)), .. }) => name.as_str().into(),
            Some(lock) => Arc::from(format!("{} {address}", lock.kind.words())),
            None => Arc::from(address.to_string()),
        };
        Part::Lock(address, label)
    }

    /// The thread's innermost frame of the program's own code, else its innermost named one.
    pub fn own_frame(&self, tid: Tid) -> Option<usize> {
        let frames = self.frames(tid);
        let top = self.thread(tid).and_then(|thread| thread.top.as_deref());
        let own = top.and_then(|top| frames.iter().position(|frame| frame.function.as_deref() == Some(top)));
        own.or_else(|| frames.iter().position(|frame| frame.function.is_some()))
    }

    /// `, in f`: where a thread was in the program's own code; nothing when no frame has a name.
    pub fn behind(&self, words: &'static str, tid: Tid) -> Sentence {
        let mut frames = self.frames(tid).iter().skip(self.own_frame(tid).unwrap_or(0));
        let function = frames.find_map(|frame| frame.function.as_ref());
        Sentence::default()
            .with(function, |sentence, function| sentence.text(words).part(Part::Function(Arc::clone(function))))
    }

    /// ` in f, called from g`, from a frame on; nothing when no frame there has a name.
    pub fn place(&self, frames: &[NamedFrame], from: usize) -> Sentence {
        let mut named = frames.iter().skip(from).filter_map(|frame| frame.function.as_ref());
        let Some(function) = named.next() else { return self.module_of(frames, from) };
        let caller = named.find(|caller| path(caller) != path(function)).filter(|caller| !is_start(path(caller)));
        Sentence::of(" in ")
            .part(Part::Function(Arc::clone(function)))
            .with(caller, |sentence, caller| sentence.text(", called from ").part(Part::Function(Arc::clone(caller))))
    }

    fn module_of(&self, frames: &[NamedFrame], from: usize) -> Sentence {
        match frames.get(from).and_then(|frame| frame.module.clone()) {
            Some(module) => Sentence::of(" in ").text(module).text(", of which no symbols are at hand"),
            None => Sentence::default(),
        }
    }

    /// A thread's innermost own function with its line, and its callers: `reserve stock.cpp:88 ◂ dispatch ◂ main`.
    pub fn chain(&self, tid: Tid) -> Fact {
        let frames = self.frames(tid);
        let from = self.own_frame(tid).unwrap_or(0);
        let mut sentence = Sentence::default().part(self.call(tid)).text(": ");
        let mut shown = 0;
        let mut last = None;
        for frame in frames.iter().skip(from).filter(|frame| frame.kind != FrameKind::Signal) {
            let Some(function) = &frame.function else { continue };
            if shown > SHOWN_CALLERS || is_start(path(function)) {
                break;
            }
            // Recursion is one step.
            if last.replace(function) == Some(function) {
                continue;
            }
            sentence =
                if shown == 0 { sentence } else { sentence.text(" ◂ ") }.part(Part::Function(Arc::clone(function)));
            if let (0, Some(file)) = (shown, &frame.file) {
                sentence = sentence.text(" ").part(Part::Source(file_name(file), frame.line));
            }
            shown += 1;
        }
        if shown == 0 {
            sentence = sentence.text("no function of its stack has a name");
        }
        sentence.about(Subject::Frame(tid, from))
    }

    /// What a thread is busy with: `reads fd 7`, `waits for g_a`, `runs f`.
    pub fn doing(&self, tid: Tid) -> Sentence {
        let thread = self.thread(tid);
        if let Some(waiting) = thread.and_then(|thread| thread.waiting_on.as_ref()) {
            return match (waiting.kind, waiting.address) {
                (WaitKind::Lock(_), Some(address)) => Sentence::of("waits for ").part(self.lock(address)),
                (WaitKind::Lock(kind), None) => Sentence::of("waits for a ").text(kind.words()),
                (WaitKind::Call(kind), _) => Sentence::of(call_words(kind))
                    .with(waiting.name.as_deref(), |sentence, name| sentence.text(" ").text(name)),
            };
        }
        match self.own_frame(tid).and_then(|index| self.frames(tid).get(index)?.function.clone()) {
            Some(function) => Sentence::of("is in ").part(Part::Function(function)),
            None => Sentence::of("does what cannot be told"),
        }
    }
}

/// Whether a function only starts the program or a thread: what calls `main`.
// Sources: glibc 2.36 csu/libc-start.c, nptl/pthread_create.c; musl 1.2.3 src/env/__libc_start_main.c,
// src/thread/pthread_create.c.
fn is_start(function: &str) -> bool {
    matches!(
        function,
        "_start"
            | "_start_c"
            | "__libc_start_call_main"
            | "__libc_start_main"
            | "__libc_start_main_impl"
            | "libc_start_main_stage2"
            | "start_thread"
            | "start"
            | "start_c11"
            | "clone"
            | "clone3"
            | "__clone"
            | "__clone3"
            | "execute_native_thread_routine"
    )
}

/// Last component of a source path.
pub(super) fn file_name(file: &Arc<str>) -> Arc<str> {
    file.rsplit('/').next().map_or_else(|| Arc::clone(file), Arc::from)
}

fn call_words(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Read => "reads",
        CallKind::Write => "writes",
        CallKind::Poll => "polls",
        CallKind::Epoll => "waits for events of",
        CallKind::Accept => "waits for connections on",
        CallKind::Connect => "connects",
        CallKind::Sleep => "sleeps",
        CallKind::Signal => "waits for a signal",
        CallKind::Child => "waits for a child process",
        CallKind::FileLock => "waits for a file lock on",
        CallKind::Ipc => "waits for a message",
        CallKind::Io => "waits for I/O",
        CallKind::Other => "is in a system call",
    }
}
