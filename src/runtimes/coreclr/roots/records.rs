//! What the runtime's own records on the stack protect: arguments of a method that is about to be called, and what its native code holds.

use super::arguments;
use super::held::Held;
use crate::heap::{Root, RootKind};
use crate::model::{Addr, Gap, Known, Tid};
use crate::runtimes::coreclr::clr::{Clr, plus};
use crate::runtimes::coreclr::frames::{Record, Shape};
use crate::runtimes::coreclr::methods::Methods;

/// Registers that pass arguments: rdi rsi rdx rcx r8 r9, as a stub saves them. Source: dotnet/runtime src/coreclr/vm/amd64/cgencpu.h of Unix.
const ARGUMENTS: u64 = 6;
/// Where `DynamicHelperFrame` says which of them are objects, and that two are. Source: frames.h, enum DynamicHelperFrameFlags.
const DYNAMIC_FLAGS: u64 = 32;
const DYNAMIC_TWO: u32 = 2;
/// Bytes around a record within which a local variable of native code lies that it protects.
const NEAR: u64 = 1 << 16;

/// Adds what a record protects.
pub(super) fn add(methods: &Methods, record: &Record, tid: Tid, all: &mut Vec<Held>) -> Known<()> {
    let clr = &methods.clr;
    match record.shape {
        Shape::Block { block, frame } => arguments(methods, block, frame, tid, all),
        // Which of its words are references is told by their being objects: who takes them sorts out the others.
        Shape::Helper => locals(clr, record.at, tid, all),
        Shape::Returned(places) => places.into_iter().flatten().try_for_each(|at| hold(clr, at, tid, all)),
        Shape::ReturnedUnknown => {
            Err(Gap::Unsupported("the value that a call returned to a thread that was stopped".to_owned()))
        }
        Shape::Other => Ok(()),
    }
}

/// Arguments of a call that a stub is about to make.
fn arguments(methods: &Methods, block: Addr, frame: Addr, tid: Tid, all: &mut Vec<Held>) -> Known<()> {
    let clr = &methods.clr;
    let method = clr.ptr(frame, "FramedMethodFrame", "MethodDescPtr")?;
    if method.0 != 0 {
        let (places, unread) = arguments::places(methods, method, block);
        places.into_iter().try_for_each(|at| hold(clr, at, tid, all))?;
        return unread.map_or(Ok(()), Err);
    }
    // Which method it is has not been found: a register that holds a reference may be left over from another call.
    for index in 0..ARGUMENTS {
        hold(clr, plus(block, index.saturating_mul(8))?, tid, all)?;
    }
    // Source: dotnet/runtime src/coreclr/vm/frames.h, DynamicHelperFrame: behind the method what arguments are objects, in registers all.
    if clr.memory().u32(plus(frame, DYNAMIC_FLAGS)?)? <= DYNAMIC_TWO {
        return Ok(());
    }
    Err(Gap::Unsupported(format!("arguments on the stack of a method that was being looked for, at {frame}")))
}

/// `HelperMethodFrame_1OBJ` and its kin of .NET 8 and 9: pointers to local variables, or to an array of them with their number.
fn locals(clr: &Clr, frame: Addr, tid: Tid, all: &mut Vec<Held>) -> Known<()> {
    // Source: dotnet/runtime src/coreclr/vm/frames.h of 9.0: what follows HelperMethodFrame.
    const FIRST: u64 = 232;
    const POINTERS: u64 = 3;
    const MAX_COUNT: u32 = 64;
    let is_near = |at: Addr| at.0.abs_diff(frame.0) < NEAR && at.is_aligned(8);
    let first = clr.memory().ptr(plus(frame, FIRST)?)?;
    if !is_near(first) {
        return Ok(());
    }
    let count = clr.memory().u32(plus(frame, FIRST + 8)?)?;
    if (1..MAX_COUNT).contains(&count) {
        for index in 0..u64::from(count) {
            hold(clr, plus(first, index.saturating_mul(8))?, tid, all)?;
        }
        return Ok(());
    }
    for index in 0..POINTERS {
        let at = clr.memory().ptr(plus(frame, FIRST.saturating_add(index.saturating_mul(8)))?)?;
        if !is_near(at) {
            break;
        }
        hold(clr, at, tid, all)?;
    }
    Ok(())
}

fn hold(clr: &Clr, at: Addr, tid: Tid, all: &mut Vec<Held>) -> Known<()> {
    let object = clr.memory().ptr(at)?;
    if object.0 != 0 {
        all.push(Held { root: Root { kind: RootKind::Stack, at: Some(at), tid: Some(tid) }, object });
    }
    Ok(())
}
