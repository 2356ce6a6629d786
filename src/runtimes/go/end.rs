//! What ended a Go program, by the function of the runtime that gave it up.

use crate::job::Job;
use crate::model::{Addr, Detail, Exception, ExceptionKind, Gap, Known, NamedFrame, OsThread, SourcePlace, Stack, Tid};
use crate::runtimes::{Scene, abort_exception, signal_exception};
use crate::unwind::Unwinder;

use super::goroutine::Goroutine;
use super::image::Image;
use super::kinds;
use super::panic::{self, Panic};
use super::signal::{self, Handled};
use super::stack::{Joined, plain};

// Source: Go src/runtime/panic.go: gopanic → fatalpanic; throw and fatal → fatalthrow, which raise the signal with crash.
const PANIC: &[&str] = &["runtime.fatalpanic"];
const THROW: &[&str] = &["runtime.throw", "runtime.fatal"];
const CRASH: &[&str] = &["runtime.crash", "runtime.dieFromSignal", "runtime.fatalpanic", "runtime.fatalthrow"];
/// Packages and functions of the runtime that stand between `panic` and the program's own code.
const BETWEEN: [&str; 6] = ["runtime.", "runtime/", "internal/", "sync.", "reflect.", "panic"];
/// The C library's function, as it exports it and as its debug information calls it.
const ABORT: [&str; 2] = ["abort", "__GI_abort"];
/// Source: Linux include/uapi/asm-generic/signal.h.
const SIGABRT: i32 = 6;
/// Bytes of `throw`'s frame in which its text is looked for, and the longest text.
const MAX_FRAME: u64 = 512;
const MAX_THROW: u64 = 4 << 10;

/// What ended the program; `None` where Go's runtime did not.
pub(super) fn end(scene: &Scene<'_>, image: &Image, unwinder: &Unwinder, job: &Job) -> Option<Exception> {
    let fatal = scene.target.capture.signal()?;
    let own = scene.target.capture.process.pid.as_ref().ok().copied();
    let index = scene.threads.iter().position(|thread| thread.tid == fatal.tid)?;
    let joined = |index: usize| {
        let (thread, stack) = (scene.threads.get(index)?, scene.stacks.get(index)?);
        Some(Joined::of(scene, unwinder, thread, stack, job))
    };
    let crashed = joined(index)?;
    crashed.position(CRASH)?;
    // A thread that took no part raises the signal where the runtime asked the others for their stacks first.
    let mut handled = signal::find(scene.target, &crashed).map(|handled| (handled, crashed));
    if handled.as_ref().is_none_or(|(handled, _)| handled.rank(own) > 0) {
        let others = (0..scene.threads.len()).filter(|other| *other != index).filter_map(joined);
        let others = others.filter_map(|other| Some((signal::find(scene.target, &other)?, other)));
        handled = handled.into_iter().chain(others).min_by_key(|(handled, _)| handled.rank(own));
    }
    match handled {
        Some((handled, joined)) => of_signal(scene, &handled, &joined),
        None => of_runtime(scene, image, &joined(index)?, unwinder, job),
    }
}

/// A signal that the handler did not survive.
fn of_signal(scene: &Scene<'_>, handled: &Handled, joined: &Joined) -> Option<Exception> {
    let rest = joined.stack.frames.get(handled.interrupted..)?;
    let frames = scene.named(rest);
    let (thread, stack) = interrupted(joined, handled.interrupted)?;
    let aborts = |frame: &NamedFrame| frame.function.as_deref().is_some_and(|name| ABORT.contains(&name));
    if handled.signal.number == SIGABRT && frames.iter().any(aborts) {
        return Some(abort_exception(scene.target, &thread, &stack, &frames));
    }
    let handler = Some("runtime.sighandler".to_owned());
    Some(signal_exception(scene.target, &handled.signal, Some((&thread, &stack)), frames, handler))
}

/// A panic, or a fatal error of the runtime.
fn of_runtime(scene: &Scene<'_>, image: &Image, joined: &Joined, unwinder: &Unwinder, job: &Job) -> Option<Exception> {
    let memory = &scene.target.memory;
    let tid = joined.thread.tid;
    if joined.position(PANIC).is_some() {
        let newest = joined.goroutines.and_then(|found| found.user?.panic(memory));
        let mut chain = newest.map(|newest| panic::chain(memory, image, newest)).unwrap_or_default().into_iter();
        let lost = || Gap::NotRecorded("the goroutine of the panic was not found".to_owned());
        let first = chain.next();
        let message = first.as_ref().map_or_else(|| Err(lost()), |panic| panic.text.clone());
        let told = told(joined, kinds::PANIC, "panic", message.map(Some));
        let earlier: Vec<Panic> = chain.collect();
        let inner = earlier.into_iter().rev().fold(None, |inner, panic| Some(Box::new(before(tid, panic, inner))));
        return Some(Exception { address: first.map(|panic| panic.at), inner, ..told });
    }
    let at = joined.position(THROW)?;
    if let Some(faulted) = signal::injected(joined)
        && let Some(exception) = of_fault(scene, joined, faulted)
    {
        return Some(exception);
    }
    let message = throw_text(scene, joined, at);
    let told = told(joined, kinds::FATAL, "fatal error", message.map(Some));
    // Where no goroutine runs, the first one tells what the program waits in.
    let first = told.detail.eq(&nowhere()).then(|| first_goroutine(scene, unwinder, tid, job)).flatten();
    Some(Exception { inner: first.map(Box::new), ..told })
}

/// A fault that the runtime does not turn into a panic: in C code, or at an address that no nil pointer explains.
fn of_fault(scene: &Scene<'_>, joined: &Joined, faulted: usize) -> Option<Exception> {
    let (thread, stack) = interrupted(joined, faulted)?;
    let pc = stack.frames.first()?.pc;
    let signal = signal::noted(scene.target, joined, pc)?;
    let frames = scene.named(&stack.frames);
    let handler = Some("runtime.sigpanic".to_owned());
    Some(signal_exception(scene.target, &signal, Some((&thread, &stack)), frames, handler))
}

/// The thread as it was at a walked frame, with its stack from there on. What was interrupted is at its instruction, not behind a call.
fn interrupted(joined: &Joined, frame: usize) -> Option<(OsThread, Stack)> {
    let registers = joined.stack.registers_at(frame);
    let mut stack = joined.stack.from_frame(frame);
    stack.frames.first_mut()?.returns = false;
    let missing = || Gap::NotRecorded("the registers of the interrupted frame".to_owned());
    let thread = OsThread { registers: registers.ok_or_else(missing), syscall: None, ..joined.thread.clone() };
    Some((thread, stack))
}

/// The frames of the program and of what it called, without those in which the runtime gave it up.
fn told(joined: &Joined, kind: ExceptionKind, type_name: &str, message: Known<Option<String>>) -> Exception {
    let place = place(&joined.frames);
    let detail = place.map_or_else(nowhere, |place| Detail::Panic { place: Ok(place) });
    Exception {
        tid: Some(joined.thread.tid),
        kind,
        type_name: Ok(type_name.to_owned()),
        message,
        address: None,
        fatal: true,
        frames: joined.frames.clone(),
        inner: None,
        others: Vec::new(),
        code: Ok(None),
        detail,
    }
}

fn nowhere() -> Detail {
    Detail::Panic { place: Err(Gap::NoSymbols("no frame of the program has a line".to_owned())) }
}

/// Where the innermost frame of the program's own stands.
fn place(frames: &[NamedFrame]) -> Option<SourcePlace> {
    let frame = frames.iter().find(|frame| frame.function.as_deref().is_some_and(is_program))?;
    Some(SourcePlace {
        file: frame.file.as_deref()?.to_owned(),
        line: frame.line?,
        column: None,
        function: frame.function.as_deref().map(str::to_owned),
    })
}

/// Where the goroutine waits that runs `main`: the first of `runtime.allgs`, which needs a symbol.
fn first_goroutine(scene: &Scene<'_>, unwinder: &Unwinder, tid: Tid, job: &Job) -> Option<Exception> {
    let memory = &scene.target.memory;
    let all = memory.ptr(scene.target.lookup("runtime.allgs", None)?).ok()?;
    let first = Goroutine::of_main(memory, memory.ptr(all).ok()?)?;
    let stack = unwinder.walk_from(&first.saved(memory, scene.target.arch())?, job);
    let frames = scene.named(&stack.frames);
    let place = place(&frames)?;
    let message = match &place.function {
        Some(function) => format!("in {function} at {place}"),
        None => format!("at {place}"),
    };
    Some(Exception {
        tid: Some(tid),
        kind: kinds::FATAL,
        type_name: Ok("goroutine 1".to_owned()),
        message: Ok(Some(message)),
        address: Some(first.at),
        fatal: false,
        frames,
        inner: None,
        others: Vec::new(),
        code: Ok(None),
        detail: Detail::Nothing,
    })
}

fn is_program(function: &str) -> bool {
    let name = plain(function);
    name.contains('.') && !BETWEEN.iter().any(|package| name.starts_with(package))
}

/// A panic that was on its way, or had been recovered, when the next one came.
fn before(tid: Tid, panic: Panic, inner: Option<Box<Exception>>) -> Exception {
    Exception {
        tid: Some(tid),
        kind: kinds::PANIC,
        type_name: Ok("panic".to_owned()),
        message: panic.text.map(Some),
        address: Some(panic.at),
        fatal: false,
        frames: Vec::new(),
        inner,
        others: Vec::new(),
        code: Ok(None),
        detail: Detail::Nothing,
    }
}

/// The text given to `throw`: in its frame lies the closure that prints it, a function's address, then the text's address and length.
// Source: Go src/runtime/panic.go, throw and fatal: systemstack(func() { print("fatal error: ", s, "\n") }).
fn throw_text(scene: &Scene<'_>, joined: &Joined, at: usize) -> Known<String> {
    let lost = || Gap::NotRecorded("the text of the fatal error is not in the runtime's frame".to_owned());
    let (memory, frames) = (&scene.target.memory, &joined.frames);
    let frame = frames.get(at).ok_or_else(lost)?;
    let next = frames.get(at..).into_iter().flatten().map(|frame: &NamedFrame| frame.sp).find(|sp| *sp > frame.sp);
    let len = next.and_then(|next| next.since(frame.sp)).unwrap_or(MAX_FRAME).min(MAX_FRAME);
    let is_code = |word: Addr| scene.target.function(word).is_some_and(|function| function.name.contains(".func"));
    (0..len)
        .step_by(8)
        .find_map(|offset| {
            let closure = frame.sp.plus(offset)?;
            if !is_code(memory.ptr(closure).ok()?) {
                return None;
            }
            let text = closure.plus(8)?;
            let len = memory.u64(text.plus(8)?).ok().filter(|len| (1..=MAX_THROW).contains(len))?;
            let bytes = memory.slice(memory.ptr(text).ok()?, len).ok()?;
            String::from_utf8(bytes.to_vec()).ok()
        })
        .ok_or_else(lost)
}
