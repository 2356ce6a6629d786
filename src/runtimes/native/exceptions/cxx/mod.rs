//! C++ exceptions in flight or being handled, on any thread, without debug information.
//!
//! Three places hold them: the list of caught exceptions in each thread's `__cxa_eh_globals` (where the runtime also
//! puts one that nobody catches, before it ends the program), the stack of a thread that is throwing, and
//! `std::exception_ptr`s, which are followed only from an exception that nests another.

mod evaluate;
mod header;
mod tls;
mod what;

use std::sync::{PoisonError, RwLock};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Addr, Detail, Exception, NamedFrame, OsThread, Phase, Stack, Termination};
use crate::runtimes::native::rtti;
use crate::target::Target;

use super::kinds;

use self::header::Header;

/// Exceptions listed of one thread.
const MAX_LISTED: usize = 64;
/// Depth to which nested exceptions are followed.
const MAX_NESTED: usize = 16;
/// Bytes of a throwing thread's stack that are searched, from its stack pointer.
const MAX_STACK: u64 = 64 << 10;
/// Innermost frames by which a thread is known to be throwing.
const FRAMES: usize = 48;

/// Where an exception's nested one is kept. Source: libstdc++ 12 <bits/nested_exception.h> and libc++ 14 <exception>:
/// `std::nested_exception` is a vtable pointer and an exception_ptr, which is a pointer to the object.
const NESTED: u64 = 8;

/// An exception of a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    header: Header,
    phase: Phase,
}

/// The exceptions of one thread: the one thrown last first. `musl`: the C library is musl.
pub(super) fn of_thread(
    target: &Target,
    musl: bool,
    throwing: &Throwing,
    thread: &OsThread,
    stack: &Stack,
) -> Vec<Found> {
    let mut seen = FxHashSet::default();
    let mut found = Vec::new();
    if throwing.holds(target, stack) {
        for header in on_stack(target, stack) {
            if header.handlers <= 0 && seen.insert(header.object) {
                found.push(Found { header, phase: Phase::InFlight });
            }
        }
    }
    let mut next = tls::caught(target, musl, thread);
    while let Some(header) = next.filter(|_| found.len() < MAX_LISTED) {
        // An exception that is thrown again stays in the list; it was found on the stack already.
        let phase = if header.handlers < 0 { Phase::InFlight } else { Phase::Caught };
        if seen.insert(header.object) {
            found.push(Found { header, phase });
        }
        next = if header.next.0 == 0 { None } else { Header::of_list(&target.memory, header.next) };
        if next.is_some_and(|next| seen.contains(&next.object)) {
            break;
        }
    }
    found
}

/// Which code addresses lie in the runtime's throwing or unwinding; remembers, for threads share most of their frames.
#[derive(Default)]
pub(super) struct Throwing(RwLock<FxHashMap<Addr, bool>>);

impl Throwing {
    /// Whether the thread is inside of it.
    fn holds(&self, target: &Target, stack: &Stack) -> bool {
        stack.frames.iter().take(FRAMES).any(|frame| self.at(target, frame.lookup()))
    }

    fn at(&self, target: &Target, lookup: Addr) -> bool {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&lookup) {
            return *known;
        }
        let throws = target.function(lookup).is_some_and(|symbol| {
            symbol.name.starts_with("_Unwind_") || matches!(&*symbol.name, "__cxa_throw" | "__cxa_rethrow")
        });
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(lookup, throws);
        throws
    }
}

/// Headers that words of the thread's stack point to.
fn on_stack(target: &Target, stack: &Stack) -> Vec<Header> {
    let memory = &target.memory;
    let Some(sp) = stack.frames.first().map(|frame| frame.sp) else { return Vec::new() };
    let Ok(bytes) = memory.slice_up_to(sp, MAX_STACK) else { return Vec::new() };
    let mut seen = FxHashSet::default();
    memory
        .pointers(bytes)
        .filter(|word| word.is_aligned(16) && seen.insert(*word))
        .filter(|word| memory.region_at(*word).is_some_and(|region| region.access.write))
        .filter_map(|word| Header::of_unwinder(memory, word).or_else(|| Header::of_object(memory, word)))
        .collect()
}

/// The exception as shown.
pub(super) fn exception(
    target: &Target,
    found: &Found,
    thread: &OsThread,
    frames: Vec<NamedFrame>,
    ended: Option<Termination>,
) -> Exception {
    let phase = match ended {
        None | Some(Termination::Called) => found.phase,
        Some(_) => Phase::Uncaught,
    };
    Exception {
        tid: Some(thread.tid),
        fatal: ended.is_some(),
        frames,
        detail: Detail::Cxx { phase, ended },
        ..of_header(target, &found.header, MAX_NESTED)
    }
}

fn of_header(target: &Target, header: &Header, depth: usize) -> Exception {
    let inner = depth
        .checked_sub(1)
        .and_then(|depth| Some((nested(target, header)?, depth)))
        .map(|(nested, depth)| Box::new(of_header(target, &nested, depth)));
    Exception {
        tid: None,
        kind: kinds::CXX,
        type_name: rtti::name(&target.memory, header.type_info),
        message: what::message(target, header.object, header.type_info),
        address: Some(header.object),
        fatal: false,
        frames: Vec::new(),
        inner,
        others: Vec::new(),
        code: Ok(None),
        detail: Detail::Cxx { phase: Phase::Caught, ended: None },
    }
}

/// The exception that was being handled when this one was thrown, where it was thrown with `std::throw_with_nested`.
fn nested(target: &Target, header: &Header) -> Option<Header> {
    let bases = rtti::bases(&target.memory, header.object, header.type_info);
    let base = bases.iter().find(|base| base.name == "St16nested_exception")?;
    let object = target.memory.ptr(base.at.plus(NESTED)?).ok()?;
    Header::of_object(&target.memory, object).filter(|inner| inner.object != header.object)
}
