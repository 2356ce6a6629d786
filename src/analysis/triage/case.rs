//! All that is known about a process, and the words for it that rules share.

use std::sync::Arc;

use crate::analysis::deadlock::{Cycle, Holder};
use crate::marks::code::{self, is_glue, is_main};
use crate::model::frame::path;
use crate::model::thread::{CallKind, WaitKind};
use crate::model::{
    Addr, Exception, FatalSignal, FrameKind, Lock, NamedFrame, PendingWork, Problem, RecognisedRuntime, Subject,
    Thread, ThreadState, Tid,
};

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
    /// Locks that a function on the stack of a thread in an event loop has taken, other than the thread's first, as far as code tells.
    pub taken: &'a [Addr],
    /// Exceptions, the fatal one first.
    pub exceptions: &'a [Exception],
    /// The signal that ended the process; `None` when the dump was taken from one that went on.
    pub signal: Option<&'a FatalSignal>,
    /// What is damaged or missing in the dump and its modules' files.
    pub problems: &'a [Problem],
    /// File names of modules whose files are used and may be other builds'.
    pub doubtful: &'a [Arc<str>],
    /// The signal that had stopped the process before it was dumped.
    pub stop_signal: Option<i32>,
    /// The runtimes in the process, understood or not.
    pub runtimes: &'a [RecognisedRuntime],
    /// Work that waits for work, and threads that block on it.
    pub pending: &'a PendingWork,
}

/// Functions that throw, rethrow or unwind. Sources: Itanium C++ ABI "Exception Handling" 2.4 and 2.5; libstdc++ 12
/// libsupc++.
const THROWING: [&str; 7] = [
    "__cxa_throw",
    "__cxa_rethrow",
    "std::rethrow_exception",
    "std::terminate",
    "_Unwind_RaiseException",
    "_Unwind_Resume",
    "_Unwind_Resume_or_Rethrow",
];
/// Innermost frames among which they are looked for.
const THROW_FRAMES: usize = 48;
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
            Some(lock) => Arc::from(format!("{} {address}", lock.kind.words)),
            None => Arc::from(address.to_string()),
        };
        Part::Lock(address, label)
    }

    /// The threads that have not ended.
    pub fn living(&self) -> Vec<&'a Thread> {
        self.threads.iter().filter(|thread| thread.state != ThreadState::Exited).collect()
    }

    /// Whether every thread waits for another.
    pub fn all_wait_within(&self) -> bool {
        let threads = self.living();
        !threads.is_empty() && threads.iter().all(|thread| thread.waits_within())
    }

    /// Whether the kernel has stopped a thread.
    pub fn stops(&self, tid: Tid) -> bool {
        self.thread(tid).is_some_and(Thread::is_stopped)
    }

    /// Whether no thread is missing for all that is known.
    pub fn has_all_threads(&self) -> bool {
        const MISSING: [&str; 3] = ["notes-damaged", "no-threads", "thread-lost"];
        !self.problems.iter().any(|problem| MISSING.contains(&problem.code))
    }

    /// Whether what is waited for at an address is a thread's end.
    pub fn is_join(&self, address: Addr) -> bool {
        self.locks.iter().any(|lock| lock.address == address && lock.kind.is_join())
    }

    /// The thread's innermost frame of the program's own code: by name, else by module.
    pub fn own_frame(&self, tid: Tid) -> Option<usize> {
        let frames = self.frames(tid);
        let top = self.thread(tid).and_then(|thread| thread.top.as_deref());
        let own = top.and_then(|top| frames.iter().position(|frame| frame.function.as_deref() == Some(top)));
        own.or_else(|| frames.iter().position(|frame| frame.own && frame.function.is_some()))
            .or_else(|| frames.iter().position(is_own_module))
            .or_else(|| frames.iter().position(|frame| frame.function.is_some()))
    }

    /// The frame that threw a C++ exception: the program's own below the runtime's throwing functions.
    pub fn thrower(&self, tid: Tid) -> Option<usize> {
        let frames = self.frames(tid);
        let throws = |frame: &NamedFrame| frame.function.as_deref().is_some_and(|name| THROWING.contains(&path(name)));
        let Some(throwing) = frames.iter().take(THROW_FRAMES).rposition(throws) else { return self.own_frame(tid) };
        let is_own = |frame: &NamedFrame| {
            let reserved = |name: &str| name.starts_with("std::") || name.starts_with("__");
            is_own_module(frame) && !frame.function.as_deref().map(path).is_some_and(reserved)
        };
        let after = throwing.saturating_add(1);
        frames.iter().skip(after).position(is_own).and_then(|index| after.checked_add(index)).or(Some(after))
    }

    /// Whether what the thread throws was caught before, and thrown again.
    pub fn rethrows(&self, tid: Tid) -> bool {
        let functions = self.frames(tid).iter().take(THROW_FRAMES).filter_map(|frame| frame.function.as_deref());
        let throws = functions.map(path).rfind(|name| THROWING.contains(name));
        throws.is_some_and(|name| matches!(name, "__cxa_rethrow" | "std::rethrow_exception"))
    }

    /// `, in f`: a frame's function, or its module where it has no name; nothing outside all modules.
    pub fn behind(&self, words: &'static str, tid: Tid, from: Option<usize>) -> Sentence {
        let frame = from.and_then(|from| self.frames(tid).get(from));
        Sentence::default().with(frame.and_then(named), |sentence, name| sentence.text(words).then(name))
    }

    /// ` in f, called from g`, from a frame on; nothing when no frame there has a name.
    pub fn place(&self, frames: &[NamedFrame], from: usize) -> Sentence {
        self.place_after(" in ", frames, from)
    }

    /// The same behind other words.
    pub fn place_after(&self, words: &'static str, frames: &[NamedFrame], from: usize) -> Sentence {
        let Some((first, callers)) = frames.get(from..).and_then(<[NamedFrame]>::split_first) else {
            return Sentence::default();
        };
        let Some(name) = named(first) else { return Sentence::default() };
        let is_other = |frame: &&NamedFrame| frame.function.as_deref().map(path) != first.function.as_deref().map(path);
        // What a signal interrupted did not call its handler.
        let mut callers = callers.iter().take_while(|frame| frame.kind != FrameKind::Signal);
        let is_glue = |frame: &&NamedFrame| frame.function.as_deref().map(path).is_some_and(is_glue);
        let caller =
            callers.find(|frame| is_other(frame) && !is_glue(frame)).filter(|caller| !is_start(caller)).and_then(named);
        Sentence::of(words).then(name).with(caller.filter(|_| first.function.is_some()), |sentence, caller| {
            sentence.text(", called from ").then(caller)
        })
    }

    /// A thread's innermost own function with its line, and its callers: `reserve stock.cpp:88 ◂ dispatch ◂ main`.
    pub fn chain(&self, tid: Tid) -> Fact {
        self.chain_from(tid, self.own_frame(tid))
    }

    /// The same from a given frame on.
    pub fn chain_from(&self, tid: Tid, from: Option<usize>) -> Fact {
        let from = from.unwrap_or(0);
        let index = self.frames(tid).get(from).map_or(from, |frame| frame.index);
        let frames = self.frames(tid).iter().skip(from).filter(|frame| frame.kind != FrameKind::Signal);
        let mut sentence = Sentence::default().part(self.call(tid)).text(": ");
        let mut shown = 0;
        let mut last = None;
        let mut ended = false;
        for frame in frames.take_while(|frame| !is_start(frame)) {
            let Some(name) = named(frame).filter(|_| frame.function.is_some() || is_own_module(frame)) else {
                continue;
            };
            let is_between = |name: &str| is_glue(name) || (shown > 0 && name.starts_with("runtime."));
            if frame.function.as_deref().map(path).is_some_and(is_between) {
                continue;
            }
            if shown > SHOWN_CALLERS || ended {
                break;
            }
            // What calls main, a language's start-up, tells nothing.
            ended = frame.function.as_deref().map(path).is_some_and(is_main);
            // Recursion, and neighbours without names, are one step.
            if last.as_ref() == Some(&name) {
                continue;
            }
            sentence = if shown == 0 { sentence } else { sentence.text(" ◂ ") }.then(name.clone());
            if let (0, Some(file)) = (shown, &frame.file) {
                sentence =
                    sentence.text(" ").part(Part::Source(file_name(file), frame.line.filter(|_| !frame.approximate)));
            }
            last = Some(name);
            shown += 1;
        }
        if shown == 0 {
            sentence = sentence.text("no function of its stack has a name");
        }
        sentence.about(Subject::Frame(tid, index))
    }

    /// What a thread is busy with: `reads fd 7`, `waits for g_a`, `runs f`.
    pub fn doing(&self, tid: Tid) -> Sentence {
        let thread = self.thread(tid);
        if let Some(waiting) = thread.and_then(|thread| thread.waiting_on.as_ref()) {
            let words = match (waiting.kind, waiting.address) {
                (WaitKind::Lock(_), Some(address)) => Sentence::of("waits for ").part(self.lock(address)),
                (WaitKind::Lock(kind), None) => Sentence::of("waits for a ").text(kind.words),
                (WaitKind::Call(kind), _) => match waiting.name.as_deref() {
                    Some(name) if kind == CallKind::Other => Sentence::of("is in the system call ").text(name),
                    Some(name) if kind == CallKind::Child => Sentence::of(kind.does()).text(", ").text(name),
                    Some(name) => Sentence::of(kind.does()).text(" ").text(name),
                    None => Sentence::of(kind.does()),
                },
            };
            return words.with(waiting.detail.as_deref(), |words, detail| words.text(", ").text(detail));
        }
        if self.stops(tid) {
            return Sentence::of("is stopped");
        }
        match self.own_frame(tid).and_then(|index| named(self.frames(tid).get(index)?)) {
            Some(name) => Sentence::of("is in ").then(name),
            None => Sentence::of("does what cannot be told"),
        }
    }
}

/// A frame's function; the module of one without a name.
fn named(frame: &NamedFrame) -> Option<Sentence> {
    match (&frame.function, &frame.module) {
        (Some(function), _) => Some(Sentence::default().part(Part::Function(Arc::clone(function)))),
        (None, Some(module)) => Some(Sentence::of(Arc::clone(module)).text(" (no symbols)")),
        (None, None) => None,
    }
}

/// Whether the frame's code is in a module that the program brought with it, and not in the C or C++ library.
fn is_own_module(frame: &NamedFrame) -> bool {
    let library = |module: &str| code::is_runtime_library(module) || module.starts_with('[');
    frame.kind != FrameKind::Signal && frame.module.as_deref().is_some_and(|module| !library(module))
}

/// Whether a frame only starts the program or a thread: what calls `main`.
fn is_start(frame: &NamedFrame) -> bool {
    frame.function.as_deref().is_some_and(code::is_start)
}

/// A message of several lines as one: `left: 41; right: 42`.
pub(super) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Last component of a source path.
pub(super) fn file_name(file: &Arc<str>) -> Arc<str> {
    file.rsplit('/').next().map_or_else(|| Arc::clone(file), Arc::from)
}
