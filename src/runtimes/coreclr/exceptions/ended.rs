//! What ended a process, where the runtime itself did: an exception that nobody caught, `Environment.FailFast`, a full stack, an error after
//! which it cannot go on.
//!
//! Input: a thread with its stack. Output: the object that the runtime left for debuggers, and why it gave up. That a thread has thrown an
//! exception says nothing: it may have been handled long since. So the stack has to show that the runtime gave up: it has called `abort`,
//! or it waits for the program that writes the dump. A signal that was sent, and native code that aborts, are told by others.

use super::super::methods::Methods;
use super::super::threads::ManagedThread;
use super::fail_fast::{self, Arguments};
use super::kinds::{FAIL_FAST, FATAL_ERROR};
use crate::model::{
    Addr, Detail, Exception, Frame, FrameKind, Gap, Known, NamedFrame, Partial, Problem, Stack, Subject, Tid,
};
use crate::runtimes::Scene;

// What the runtime leaves as the last that was thrown, without a stack, where it gives up. Source: dotnet/runtime
// src/coreclr/vm/eepolicy.cpp, LogFatalError.
const OVERFLOW: &str = "System.StackOverflowException";
const GIVEN_UP: &str = "System.ExecutionEngineException";
/// What code that touches memory which is not there throws, and nobody may catch.
const ACCESS: &str = "System.AccessViolationException";
/// Code of the runtime's that looks for who catches, since .NET 9.
const DISPATCH: &str = "System.Runtime.EH.";

/// Source: Linux include/uapi/asm-generic/signal.h.
const SIGABRT: i32 = 6;

/// Why the runtime ended the process.
pub(super) struct End {
    /// The exception object that tells it.
    pub(super) object: Addr,
    reason: Reason,
    /// The thread's stack.
    frames: Vec<NamedFrame>,
}

enum Reason {
    Uncaught,
    Overflow,
    FailFast(Arguments),
    Fatal,
}

impl End {
    /// `Ok(None)` where the runtime did not end it on this thread. `in_flight`: what the thread looks for handlers of. Fails where the runtime
    /// gave up on it, and what it left cannot be read.
    pub(super) fn of(
        methods: &Methods,
        scene: &Scene<'_>,
        thread: &ManagedThread,
        stack: &Stack,
        in_flight: &[Addr],
    ) -> Known<Option<End>> {
        if !has_given_up(methods, scene, thread, stack) {
            return Ok(None);
        }
        let Some(last) = thread.last_exception.as_ref().map_err(Gap::clone)? else { return Ok(None) };
        let frames = scene.named(&stack.frames);
        let newest = in_flight.first().copied();
        let is_access = |object: &Addr| methods.types().of_object(*object).as_deref() == Ok(ACCESS);
        let (object, reason) = match last.type_name.as_deref() {
            Ok(OVERFLOW) => (last.address, Reason::Overflow),
            Ok(GIVEN_UP) => match fail_fast::arguments(methods, thread, stack, &frames) {
                Some(arguments) => (last.address, Reason::FailFast(arguments)),
                None => match newest.filter(is_access) {
                    Some(access) => (access, Reason::Uncaught),
                    None => (last.address, Reason::Fatal),
                },
            },
            // It is still looked for who catches it.
            _ if newest == Some(last.address) || is_dispatching(&frames) => (last.address, Reason::Uncaught),
            Ok(_) => return Ok(None),
            Err(gap) => return Err(gap.clone()),
        };
        Ok(Some(End { object, reason, frames }))
    }
}

/// What ended the process, with what its thread tells of it.
pub(super) fn ended(end: &End, tid: Tid, told: Partial<Exception>) -> Partial<Exception> {
    let Partial { value: mut told, mut problems } = told;
    let unread = |message: String| Problem::new("exception-unread", Subject::Thread(tid), message);
    told.fatal = true;
    match &end.reason {
        Reason::Uncaught => {}
        Reason::Overflow => told.detail = Detail::Overflow,
        Reason::FailFast(arguments) => {
            told.kind = FAIL_FAST;
            // Where it was given no cause the runtime takes for one what the thread has thrown before.
            match (&arguments.exception, told.inner.as_ref().and_then(|inner| inner.address)) {
                (Ok(given), inner) if *given != inner => told.inner = None,
                (Err(gap), Some(inner)) => problems.push(unread(format!(
                    "the exception at {inner} is the cause of the fail fast, or was thrown before it on thread {tid}: {gap}"
                ))),
                _ => {}
            }
            told.message = arguments.message.clone();
            if let Ok(Some(_)) = told.message {
                told.detail = Detail::Found { place: "on the stack of Environment.FailFast".to_owned() };
            }
        }
        Reason::Fatal => {
            told.kind = FATAL_ERROR;
            told.message = Err(Gap::NotRecorded("the runtime prints why, and keeps it nowhere".to_owned()));
            told.detail = Detail::Panic { place: Err(Gap::NotRecorded("where it happened".to_owned())) };
        }
    }
    if told.frames.is_empty() {
        let managed = end.frames.iter().position(|frame| frame.kind == FrameKind::Managed);
        match (&end.reason, managed) {
            // Of a full stack the runtime's handler is no part.
            (Reason::Overflow, Some(managed)) => told.frames = end.frames.iter().skip(managed).cloned().collect(),
            (Reason::Overflow, None) => problems.push(unread(format!(
                "the stack that was full is not told: no managed frame was found on thread {tid}, only where .NET gave up"
            ))),
            _ => told.frames.clone_from(&end.frames),
        }
    }
    Partial { value: told, problems }
}

/// Whether the innermost managed code looks for who catches an exception.
fn is_dispatching(frames: &[NamedFrame]) -> bool {
    let first = frames.iter().find(|frame| frame.kind == FrameKind::Managed);
    first.and_then(|frame| frame.function.as_deref()).is_some_and(|name| name.starts_with(DISPATCH))
}

/// Whether the stack shows that the runtime itself ended the process on this thread.
fn has_given_up(methods: &Methods, scene: &Scene<'_>, thread: &ManagedThread, stack: &Stack) -> bool {
    let target = scene.target;
    let taken = target.capture.signal().filter(|signal| Ok(Some(signal.tid)) == thread.tid && signal.number == SIGABRT);
    let Some(signal) = taken else { return false };
    // What a handler of the signal has interrupted is what led to it.
    let native = stack.frames.iter().take_while(|frame| frame.kind != FrameKind::Managed);
    let handled = native.clone().position(|frame| frame.kind == FrameKind::Signal);
    let native: Vec<&Frame> = native.skip(handled.map_or(0, |at| at.saturating_add(1))).collect();
    let module = |frame: &&Frame| target.module_at(frame.lookup());
    let library = native.iter().take_while(|frame| module(frame).is_some_and(|module| module.is_runtime())).count();
    let (library, callers) = native.split_at_checked(library).unwrap_or_default();
    let by_runtime = callers.first().and_then(module).is_some_and(|module| module.index == methods.clr.module);
    let names = || library.iter().map(|frame| target.function(frame.lookup()).map(|symbol| symbol.name));
    let is_one_of = |wanted: &[&str]| {
        names().any(|name| {
            name.is_some_and(|name| wanted.iter().any(|wanted| name.trim_start_matches("__GI_") == *wanted))
        })
    };
    let aborts = is_one_of(&["abort"]);
    // The runtime has its dump written before it aborts: then nobody has sent a signal yet, and it waits for who writes it. Source:
    // dotnet/runtime src/coreclr/pal/src/thread/process.cpp, PROCCreateCrashDump, TerminateProcess.
    let nobody_sent = signal.sender_pid.is_none_or(|sender| sender == 0);
    let waits = handled.is_none()
        && nobody_sent
        && (is_one_of(&["wait4", "__wait4", "waitpid", "__waitpid"]) || names().all(|name| name.is_none()));
    by_runtime && !library.is_empty() && (aborts || waits)
}

#[cfg(test)]
mod tests {
    use super::super::kinds::EXCEPTION;
    use super::*;
    use crate::model::Trust;

    fn frame(kind: FrameKind) -> NamedFrame {
        NamedFrame {
            index: 0,
            pc: Addr(0x1000),
            sp: Addr(0x7000),
            kind,
            trust: Trust::Runtime,
            module: None,
            function: None,
            offset: None,
            file: None,
            line: None,
            approximate: false,
            own: false,
            walked: 0,
            part: None,
        }
    }

    fn exception(address: u64, inner: Option<Exception>) -> Exception {
        Exception {
            tid: Some(Tid(7)),
            kind: EXCEPTION,
            type_name: Ok("System.Exception".to_owned()),
            message: Ok(None),
            address: Some(Addr(address)),
            fatal: false,
            frames: Vec::new(),
            inner: inner.map(Box::new),
            others: Vec::new(),
            code: Ok(None),
            detail: Detail::Nothing,
        }
    }

    fn told(reason: Reason, frames: &[FrameKind], inner: Option<u64>) -> Partial<Exception> {
        let frames = frames.iter().map(|kind| frame(*kind)).collect();
        let end = End { object: Addr(0x10), reason, frames };
        ended(&end, Tid(7), Partial::whole(exception(0x10, inner.map(|inner| exception(inner, None)))))
    }

    #[test]
    fn the_frames_of_the_handler_are_not_taken_for_a_full_stack() {
        use FrameKind::{Managed, Native, Signal};
        let whole = told(Reason::Overflow, &[Native, Signal, Managed, Native], None);
        assert_eq!(whole.value.frames.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [Managed, Native]);
        assert!(whole.problems.is_empty());
        let lost = told(Reason::Overflow, &[Native, Signal], None);
        assert!(lost.value.frames.is_empty() && lost.problems.len() == 1, "{lost:?}");
        let other = told(Reason::Fatal, &[Native, Native], None);
        assert!(other.value.frames.len() == 2 && other.problems.is_empty(), "{other:?}");
    }

    #[test]
    fn a_cause_that_is_not_known_is_not_denied() {
        let cause = |given: Known<Option<Addr>>| {
            let arguments = Arguments { message: Ok(None), exception: given };
            let told = told(Reason::FailFast(arguments), &[FrameKind::Native], Some(0x20));
            (told.value.inner.and_then(|inner| inner.address), told.problems.len())
        };
        assert_eq!(cause(Ok(Some(Addr(0x20)))), (Some(Addr(0x20)), 0));
        // What the runtime takes for one was thrown before.
        assert_eq!(cause(Ok(None)), (None, 0));
        assert_eq!(cause(Err(Gap::NotRecorded("which it was given".to_owned()))), (Some(Addr(0x20)), 1));
    }
}
