//! The stack between where an exception was thrown and where it was caught, as far as it has come: what its object keeps of it.

use super::super::clr::{Clr, plus};
use super::super::code::{self, Code};
use super::super::methods::{Methods, is_own};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, FrameKind, Gap, Known, NamedFrame, Trust};

/// Most frames of a stack that are told.
const MAX_FRAMES: u32 = 10_000;

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

/// The frames, innermost first, and why some are missing; empty without a reason where it was not thrown, or there is no room for so many.
pub(super) fn trace(
    methods: &Methods,
    object: Addr,
    has_room: &mut dyn FnMut(u64) -> bool,
    job: &Job,
) -> Result<(Vec<NamedFrame>, Option<Gap>), Error> {
    let clr = &methods.clr;
    let (first, count, mut why) = match place(clr, object) {
        Ok(None) => return Ok((Vec::new(), None)),
        Ok(Some((first, count))) if count > MAX_FRAMES => {
            (first, MAX_FRAMES, Some(Gap::Unsupported(format!("a stack of {count} frames"))))
        }
        Ok(Some((first, count))) => (first, count, None),
        Err(gap) => return Ok((Vec::new(), Some(gap))),
    };
    if !has_room(count.into()) {
        return Ok((Vec::new(), None));
    }
    let mut frames = Vec::new();
    for index in 0..count {
        job.check()?;
        match plus(first, u64::from(index).saturating_mul(ELEMENT)).and_then(|element| frame(methods, element)) {
            Ok(frame) => frames.push(NamedFrame { index: frames.len(), ..frame }),
            Err(gap) => {
                why = Some(gap);
                break;
            }
        }
    }
    Ok((frames, why))
}

/// Where the first frame is, and how many there are.
fn place(clr: &Clr, object: Addr) -> Known<Option<(Addr, u32)>> {
    let array = clr.ptr(object, "Exception", "_stackTrace")?;
    if array.0 == 0 {
        return Ok(None);
    }
    // Where code that may be collected is on it, the first of several objects. Source: object.h, since 9.
    let array = if is_array_of_objects(clr, array)? { clr.memory().ptr(plus(array, FIRST)?)? } else { array };
    let bytes = u64::from(clr.u32(array, "Array", "m_NumComponents")?);
    let data = plus(array, FIRST)?;
    let count = clr.memory().u32(data)?;
    if u64::from(count).saturating_mul(ELEMENT).saturating_add(FIRST) > bytes {
        return Err(Gap::Corrupt(format!("the stack of the exception at {object}")));
    }
    Ok(Some((plus(data, FIRST)?, count)))
}

fn is_array_of_objects(clr: &Clr, array: Addr) -> Known<bool> {
    // Components of objects have 8 bytes, those of bytes one: the low half of MTFlags. Source: methodtable.h.
    let table = Addr(clr.ptr(array, "Object", "m_pMethTab")?.0 & !7);
    Ok(clr.u32(table, "MethodTable", "MTFlags")? & 0xffff == 8)
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
