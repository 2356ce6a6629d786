//! Exceptions of native code: the fatal signal with its fault, C++ exceptions on any thread, aborts with their text,
//! failed assertions, `std::terminate`, Rust panics.
//!
//! Input: the scene. Output: the one thing that ended the process first, told by its cause (an uncaught exception rather
//! than the SIGABRT that followed from it), then exceptions that other threads throw or handle. Layouts:
//! docs/layouts/exceptions.md.

mod aarch64;
mod abort;
mod access;
mod arguments;
mod cxx;
mod freed;
mod handled;
mod instruction;
mod kinds;
mod place;
mod rust_panic;
mod signal;
mod terminate;
mod x86;

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use crate::error::Error;
use crate::job::Job;
use crate::model::frame::path;
use crate::model::{
    Addr, Detail, Exception, ExceptionKind, FatalSignal, Known, NamedFrame, OsThread, Partial, Stack, Termination,
};
use crate::runtimes::Scene;
use crate::target::Target;

use self::cxx::{Found, Throwing};
use super::libc::Libc;

/// Source: Linux include/uapi/asm-generic/signal.h.
const SIGABRT: i32 = 6;
/// Source: Linux include/uapi/asm-generic/siginfo.h.
const SI_TKILL: i32 = -6;

/// Every exception in flight, and what ended the process; the fatal one first, then by the order of threads.
pub(super) fn exceptions(scene: &Scene<'_>, libc: &Libc, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
    job.phase("looking for exceptions", scene.threads.len() as u64);
    let signal = scene.target.capture.signal();
    let throwing = Throwing::default();
    let of_threads = scene.threads.par_iter().zip(scene.stacks).map(|(thread, stack)| {
        job.advance(1)?;
        Ok(cxx::of_thread(scene.target, libc.is_musl(), &throwing, thread, stack))
    });
    let of_threads = of_threads.collect::<Result<Vec<Vec<Found>>, Error>>()?;
    let mut exceptions = Vec::new();
    for ((thread, stack), mut found) in scene.threads.iter().zip(scene.stacks).zip(of_threads) {
        let taken = signal.filter(|signal| signal.tid == thread.tid);
        let frames = if taken.is_some() || !found.is_empty() { scene.named(&stack.frames) } else { Vec::new() };
        if let Some(signal) = taken {
            exceptions.insert(0, fatal(scene, signal, thread, stack, &frames, &mut found));
        }
        exceptions.extend(found.iter().map(|found| cxx::exception(scene.target, found, thread, frames.clone(), None)));
    }
    // An exception that another one nests is still being handled; it is told once, as the inner one.
    let nested: FxHashSet<Addr> = exceptions.iter().flat_map(inner_objects).collect();
    exceptions.retain(|exception| exception.fatal || exception.address.is_none_or(|object| !nested.contains(&object)));
    if let Some(signal) = signal
        && !exceptions.iter().any(|exception| exception.fatal)
    {
        exceptions.insert(0, signal::exception(scene.target, signal, None, Vec::new(), None));
    }
    Ok(Partial::whole(exceptions))
}

/// A signal as an exception of the thread that took it: for runtimes whose own handler caught it. `thread` is as it was then.
pub fn signal_exception(
    target: &Target,
    signal: &FatalSignal,
    thread: Option<(&OsThread, &Stack)>,
    frames: Vec<NamedFrame>,
    handler: Option<String>,
) -> Exception {
    signal::exception(target, signal, thread, frames, handler)
}

/// An `abort` of C code, with the text that the C library left: for runtimes whose own handler caught its signal.
pub fn abort_exception(target: &Target, thread: &OsThread, stack: &Stack, frames: &[NamedFrame]) -> Exception {
    let text = abort::text(target);
    let assertion = match &text {
        Ok(Some(text)) => abort::assertion(text),
        _ => abort::assertion_by_frames(target, stack),
    };
    match assertion.map(abort::Assertion::parts) {
        Some((kind, message, detail)) => abort(thread, frames, kind, Ok(Some(message)), detail),
        None => abort(thread, frames, kinds::ABORT, text, Detail::Nothing),
    }
}

/// What ended the process. Takes the exception that did out of the thread's.
fn fatal(
    scene: &Scene<'_>,
    signal: &FatalSignal,
    thread: &OsThread,
    stack: &Stack,
    frames: &[NamedFrame],
    found: &mut Vec<Found>,
) -> Exception {
    let target = scene.target;
    let again = signal.was_sent() && !sent_from_outside(scene, signal);
    // A handler that has the process dumped while it runs: the signal is still the kernel's.
    let is_same = |handled: &handled::Handled| {
        !signal.was_sent() && (handled.signal.number, handled.signal.address) == (signal.number, signal.address)
    };
    if let Some(handled) = handled::find(target, thread, stack).filter(|handled| again || is_same(handled)) {
        let frames = scene.named(&handled.stack.frames);
        let name = target.name(handled.handler).and_then(|name| name.parts.last()?.function.clone());
        let handler = name.map_or_else(|| handled.handler.to_string(), |name| path(&name).to_owned());
        return signal::exception(
            target,
            &handled.signal,
            Some((&handled.thread, &handled.stack)),
            frames,
            Some(handler),
        );
    }
    if signal.number != SIGABRT {
        return signal::exception(target, signal, Some((thread, stack)), frames.to_vec(), None);
    }
    if let Some(reason) = terminate::reason(frames) {
        let by_exception =
            matches!(reason, Termination::Uncaught | Termination::Noexcept | Termination::NothingToRethrow);
        if by_exception && !found.is_empty() {
            let last = found.remove(0);
            let reason = if reason == Termination::Noexcept { reason } else { Termination::Uncaught };
            return cxx::exception(target, &last, thread, frames.to_vec(), Some(reason));
        }
        // A handler that gives up: the exception that it handles is why.
        if reason == Termination::Called && !found.is_empty() {
            return cxx::exception(target, &found.remove(0), thread, frames.to_vec(), Some(reason));
        }
        return abort(thread, frames, kinds::TERMINATE, Ok(Some(reason.to_string())), Detail::Terminate { reason });
    }
    let text = abort::text(target);
    let assertion = match &text {
        Ok(Some(text)) => abort::assertion(text),
        _ => abort::assertion_by_frames(target, stack),
    };
    if let Some(assertion) = assertion {
        let (kind, message, detail) = assertion.parts();
        return abort(thread, frames, kind, Ok(Some(message)), detail);
    }
    if !matches!(text, Ok(Some(_)))
        && let Some(panic) = rust_panic::find(&target.memory, stack, frames)
    {
        let detail = Detail::Panic { place: panic.place };
        let told = abort(thread, frames, kinds::RUST_PANIC, panic.message, detail);
        return Exception { inner: unwinding(thread, panic.unwinding), ..told };
    }
    let aborted = matches!(text, Ok(Some(_))) || frames.iter().any(|frame| frame.function.as_deref() == Some("abort"));
    // `abort` sends the signal by tkill. Source: glibc 2.36 stdlib/abort.c, musl 1.2.3 src/exit/abort.c.
    let by_other_means = signal.code.is_some_and(|code| code != SI_TKILL);
    if !aborted && (by_other_means || sent_from_outside(scene, signal)) {
        return signal::exception(target, signal, Some((thread, stack)), frames.to_vec(), None);
    }
    let text = match text {
        Ok(Some(text)) => Ok(Some(text)),
        none => abort::reason(frames).map_or(none, |reason| Ok(Some(reason.to_owned()))),
    };
    abort(thread, frames, kinds::ABORT, text, Detail::Nothing)
}

/// Panics that were unwinding the stack when another came, the newest first, as a chain.
fn unwinding(thread: &OsThread, panics: Vec<(Addr, Known<Option<String>>)>) -> Option<Box<Exception>> {
    panics.into_iter().rev().fold(None, |inner, (object, message)| {
        let panic = abort(thread, &[], kinds::RUST_PANIC, message, Detail::Nothing);
        Some(Box::new(Exception { address: Some(object), fatal: false, inner, ..panic }))
    })
}

fn inner_objects(exception: &Exception) -> impl Iterator<Item = Addr> {
    let nested = std::iter::successors(exception.inner.as_deref(), |inner| inner.inner.as_deref());
    nested.filter_map(|inner| inner.address)
}

fn sent_from_outside(scene: &Scene<'_>, signal: &FatalSignal) -> bool {
    let own = scene.target.capture.process.pid.as_ref().ok().copied();
    signal.sender_pid.is_some_and(|sender| Some(sender) != own)
}

fn abort(
    thread: &OsThread,
    frames: &[NamedFrame],
    kind: ExceptionKind,
    message: Known<Option<String>>,
    detail: Detail,
) -> Exception {
    let type_name = match kind {
        kinds::ASSERTION => "assertion",
        kinds::TERMINATE => "std::terminate",
        kinds::RUST_PANIC => "panic",
        _ => "abort",
    };
    Exception {
        tid: Some(thread.tid),
        kind,
        type_name: Ok(type_name.to_owned()),
        message,
        address: None,
        fatal: true,
        frames: frames.to_vec(),
        inner: None,
        others: Vec::new(),
        code: Ok(None),
        detail,
    }
}
