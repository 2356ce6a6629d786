//! Exceptions: what each thread has in flight, and what ended the process.
//!
//! Input: the runtime's threads. Output: exceptions with type, message, the stack at which they were thrown, and inner ones.
//! Specification: dotnet/runtime docs/design/datacontracts/Exception.md.

use rustc_hash::FxHashSet;

use super::clr::{Clr, plus};
use super::code::{self, Code};
use super::fail_fast;
use super::methods::{Methods, is_own};
use super::objects;
use super::threads::ManagedThread;
use crate::model::{
    Addr, Detail, Exception, ExceptionFamily, ExceptionKind, FrameKind, Gap, Known, NamedFrame, Stack, Tid, Trust,
};
use crate::runtimes::Scene;

/// An exception of .NET.
const EXCEPTION: ExceptionKind =
    ExceptionKind { code: "HResult", ..ExceptionKind::new("dotnet", ExceptionFamily::Exception, "uncaught") };
/// `Environment.FailFast`.
const FAIL_FAST: ExceptionKind =
    ExceptionKind { code: "HResult", ..ExceptionKind::new("dotnet-fail-fast", ExceptionFamily::Abort, "fail fast") };

// What the runtime throws, without a stack, where it gives up. Source: dotnet/runtime src/coreclr/vm/eepolicy.cpp.
const OVERFLOW: &str = "System.StackOverflowException";
const GIVEN_UP: &str = "System.ExecutionEngineException";

/// Most exceptions that one thread has in flight, and that are inside one another.
const MAX_NESTED: usize = 32;
/// Most that one tells of, with all that are inside of it.
const MAX_TOLD: usize = 256;
/// Most frames of a stack that are told.
const MAX_FRAMES: u32 = 10_000;
/// Base classes that are looked at.
const MAX_BASES: usize = 64;
/// Source: Linux include/uapi/asm-generic/signal.h.
const SIGABRT: i32 = 6;

// The data of `_stackTrace`, an array of bytes: the number of elements at 0, a thread at 8, then elements of 32 bytes: instruction
// pointer 0, stack pointer 8, method 16, flags 24. Source: dotnet/runtime src/coreclr/vm/clrex.h, StackTraceElement; object.h,
// StackTraceArray; as seen in 8.0.33, 9.0.22, 10.0.14.
const FIRST: u64 = 16;
const ELEMENT: u64 = 32;
const STACK_POINTER: u64 = 8;
const METHOD: u64 = 16;
const FLAGS: u64 = 24;
/// Source: clrex.h, STEF_IP_ADJUSTED.
const MOVED: u32 = 2;

/// The exceptions of a thread, the one that ended the process first.
pub(super) fn of_thread(methods: &Methods, scene: &Scene<'_>, thread: &ManagedThread) -> Vec<Exception> {
    let Ok(Some(tid)) = thread.tid else { return Vec::new() };
    let stack = scene.iter().find(|(os, _)| os.tid == tid).map(|(_, stack)| stack.as_ref());
    let fatal = stack.filter(|stack| is_ended_by_runtime(methods, scene, tid, stack)).and_then(|_| {
        let thrown = thread.last_exception.as_ref().ok()?.as_ref()?;
        Some(thrown.address)
    });
    let mut objects: Vec<Addr> = fatal.into_iter().collect();
    for object in in_flight(methods, thread.address) {
        if !objects.contains(&object) {
            objects.push(object);
        }
    }
    let told = |object: Addr| {
        let told = told(methods, tid, object, 0, &mut FxHashSet::default());
        match stack {
            Some(stack) if fatal == Some(object) => ended(methods, scene, stack, Exception { fatal: true, ..told }),
            _ => told,
        }
    };
    objects.into_iter().map(told).collect()
}

/// What ended the process, with what its thread tells of it.
fn ended(methods: &Methods, scene: &Scene<'_>, stack: &Stack, mut told: Exception) -> Exception {
    let of_type = |name| told.type_name.as_deref() == Ok(name);
    let (overflow, given_up) = (of_type(OVERFLOW), of_type(GIVEN_UP));
    let frames = if told.frames.is_empty() { scene.named(&stack.frames) } else { Vec::new() };
    if given_up && let Some(text) = fail_fast::text(methods, stack, &frames) {
        told.kind = FAIL_FAST;
        told.message = Ok(Some(text));
        told.detail = Detail::Found { place: "on the stack of Environment.FailFast".to_owned() };
    }
    if told.frames.is_empty() {
        // Of a full stack the runtime's handler is no part.
        let managed = frames.iter().position(|frame| frame.kind == FrameKind::Managed).filter(|_| overflow);
        told.frames = frames.into_iter().skip(managed.unwrap_or(0)).collect();
    }
    if overflow {
        told.detail = Detail::Overflow;
    }
    told
}

/// Whether the runtime itself ended the process on this thread, and not a library that the thread had called.
fn is_ended_by_runtime(methods: &Methods, scene: &Scene<'_>, tid: Tid, stack: &Stack) -> bool {
    let target = scene.target;
    let aborted = target.capture.signal().is_some_and(|signal| signal.tid == tid && signal.number == SIGABRT);
    let mut modules = stack.frames.iter().map(|frame| target.module_at(frame.lookup()));
    let first = modules.find(|module| module.is_none_or(|module| !module.is_runtime())).flatten();
    aborted && first.is_some_and(|module| module.index == methods.clr.module)
}

/// Objects that a thread is looking for handlers of, or handling; the newest first.
fn in_flight(methods: &Methods, thread: Addr) -> Vec<Addr> {
    let clr = &methods.clr;
    let mut objects = Vec::new();
    let mut next = clr.ptr(thread, "Thread", "ExceptionTracker");
    for _ in 0..MAX_NESTED {
        let Some(tracker) = next.ok().filter(|tracker| tracker.0 != 0) else { break };
        let object =
            clr.ptr(tracker, "ExceptionInfo", "ThrownObject").and_then(|handle| Ok(clr.memory().ptr(handle)?));
        objects.extend(object.ok().filter(|object| is_exception(clr, *object)));
        next = clr.ptr(tracker, "ExceptionInfo", "PreviousNestedInfo");
    }
    objects
}

/// Whether an object's class derives from `System.Exception`.
fn is_exception(clr: &Clr, object: Addr) -> bool {
    let Ok(wanted) = clr.global("ExceptionMethodTable") else { return false };
    let mut table = clr.ptr(object, "Object", "m_pMethTab").map(|table| Addr(table.0 & !7));
    for _ in 0..MAX_BASES {
        match table {
            Ok(table) if table == wanted => return true,
            Ok(Addr(0)) | Err(_) => return false,
            Ok(at) => table = clr.ptr(at, "MethodTable", "ParentMethodTable"),
        }
    }
    false
}

fn told(methods: &Methods, tid: Tid, object: Addr, depth: usize, seen: &mut FxHashSet<Addr>) -> Exception {
    let clr = &methods.clr;
    seen.insert(object);
    let mut nested = |of: Addr| {
        let told_once = of.0 != 0 && depth < MAX_NESTED && seen.len() < MAX_TOLD && !seen.contains(&of);
        told_once.then(|| told(methods, tid, of, depth.saturating_add(1), seen))
    };
    let inner = clr.ptr(object, "Exception", "_innerException").ok().and_then(&mut nested);
    let others = gathered(methods, object).into_iter().filter_map(nested).collect();
    Exception {
        tid: Some(tid),
        kind: EXCEPTION,
        type_name: methods.types().of_object(object),
        message: message(clr, object),
        address: Some(object),
        fatal: false,
        frames: trace(methods, object).unwrap_or_default(),
        inner: inner.map(Box::new),
        others,
        code: clr.u32(object, "Exception", "_HResult").map(Some),
        detail: Detail::Nothing,
    }
}

/// Those that an `AggregateException` gathers, of which the first is its inner one too.
fn gathered(methods: &Methods, object: Addr) -> Vec<Addr> {
    let all = || {
        let aggregate = methods.types().object(object)?;
        if !aggregate.is_a("System.AggregateException") {
            return Ok(Vec::new());
        }
        let Some(array) = aggregate.reference("_innerExceptions")? else { return Ok(Vec::new()) };
        let element = |index| Ok::<Addr, Gap>(methods.clr.memory().ptr(array.element(index)?)?);
        let count = array.len()?.min(u32::try_from(MAX_TOLD).unwrap_or(u32::MAX));
        // Small dumps may lack some.
        Ok::<Vec<Addr>, Gap>((0..count).filter_map(|index| element(index).ok()).collect())
    };
    let all = all().unwrap_or_default();
    all.into_iter().filter(|object| is_exception(&methods.clr, *object)).collect()
}

/// What it was given; `Ok(None)` where its type's own words serve.
fn message(clr: &Clr, object: Addr) -> Known<Option<String>> {
    let text = clr.ptr(object, "Exception", "_message")?;
    if text.0 == 0 { Ok(None) } else { objects::string(clr, text).map(Some) }
}

/// The stack between where it was thrown and where it was caught, as far as it has come.
fn trace(methods: &Methods, object: Addr) -> Known<Vec<NamedFrame>> {
    let clr = &methods.clr;
    let array = clr.ptr(object, "Exception", "_stackTrace")?;
    if array.0 == 0 {
        return Ok(Vec::new());
    }
    // Where code that may be collected is on it, the first of several objects. Source: object.h, since 9.
    let array = if is_array_of_objects(clr, array) { clr.memory().ptr(plus(array, FIRST)?)? } else { array };
    let bytes = u64::from(clr.u32(array, "Array", "m_NumComponents")?);
    let data = plus(array, FIRST)?;
    let count = clr.memory().u32(data)?.min(MAX_FRAMES);
    if u64::from(count).saturating_mul(ELEMENT).saturating_add(FIRST) > bytes {
        return Err(Gap::Corrupt(format!("the stack of the exception at {object}")));
    }
    let element = |index: u32| plus(data, u64::from(index).saturating_mul(ELEMENT).saturating_add(FIRST));
    (0..count)
        .zip(0usize..)
        .map(|(index, place)| Ok(NamedFrame { index: place, ..frame(methods, element(index)?)? }))
        .collect()
}

fn is_array_of_objects(clr: &Clr, array: Addr) -> bool {
    // Components of objects have 8 bytes, those of bytes one: the low half of MTFlags. Source: methodtable.h.
    let table = clr.ptr(array, "Object", "m_pMethTab").map(|table| Addr(table.0 & !7));
    table.and_then(|table| clr.u32(table, "MethodTable", "MTFlags")).is_ok_and(|flags| flags & 0xffff == 8)
}

fn frame(methods: &Methods, element: Addr) -> Known<NamedFrame> {
    let clr = &methods.clr;
    let word = |offset: u64| Ok::<Addr, Gap>(clr.memory().ptr(plus(element, offset)?)?);
    let pc = word(0)?;
    let place = match code::at(clr, pc) {
        Ok(Some(Code::Method(place))) => Some(place),
        _ => None,
    };
    // One that was moved into the call already is taken as it is, one of a fault like a return address unless it is the method's first:
    // so the runtime prints lines. Source: dotnet/runtime src/coreclr/vm/debugdebugger.cpp, InitPass2.
    let is_moved = clr.memory().u32(plus(element, FLAGS)?)? & MOVED != 0;
    let is_first = place.is_some_and(|place| place.start == pc);
    let lookup = if is_moved || is_first { pc } else { Addr(pc.0.saturating_sub(1)) };
    let line = place.and_then(|place| methods.line(&place, lookup));
    let approximate = line.as_ref().is_some_and(|line| line.approximate);
    let (file, line) = line.map(|line| (line.file, line.line)).unzip();
    let named = methods.name(word(METHOD)?);
    Ok(NamedFrame {
        index: 0,
        pc,
        sp: word(STACK_POINTER)?,
        kind: FrameKind::Managed,
        trust: Trust::Runtime,
        module: named.as_ref().and_then(|named| named.module.clone()),
        function: named.as_ref().map(|named| named.name.clone()),
        offset: place.and_then(|place| pc.since(place.start)),
        file,
        line,
        approximate,
        own: named.as_ref().is_some_and(is_own),
        walked: 0,
        part: None,
    })
}
