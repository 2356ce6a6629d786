//! Managed code: which method an address is in, and who called it.
//!
//! Input: addresses of code. Output: [`Place`]s, and callers by the unwind information that the JIT and the ReadyToRun compiler leave.
//! Specification: dotnet/runtime docs/design/datacontracts/ExecutionManager.md; Microsoft x64 exception handling, `UNWIND_INFO`.

mod nibbles;
mod place;
mod ranges;
mod ready_to_run;
mod unwind_info;

use super::clr::{Clr, plus};
use crate::model::{Addr, End, Gap, Known};
use crate::unwind::row::Caller;
use crate::unwind::{OwnFrame, Step};

pub(super) use self::place::{Compiled, Place};
pub use self::unwind_info::UnwindInfo;

/// Code headers below this are numbers of kinds of stubs. Source: dotnet/runtime src/coreclr/vm/codeman.h, enum StubCodeBlockKind.
const STUBS: u64 = 0x10;
/// Most functions of a method: itself and its funclets.
const MAX_FUNCTIONS: u32 = 1 << 12;

/// A runtime's code at an address: a method, or a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// A method.
    Method(Place),
    /// A piece of code that the runtime made for itself.
    Stub,
}

/// The code at an address; `Ok(None)` where it is not the runtime's.
pub(super) fn at(clr: &Clr, code: Addr) -> Known<Option<Code>> {
    let Some(range) = ranges::range(clr, code)? else { return Ok(None) };
    if range.ready_to_run.0 != 0 {
        return Ok(Some(ready_to_run::place(clr, range, code)?.map_or(Code::Stub, Code::Method)));
    }
    if range.heap.0 == 0 {
        return Ok(Some(Code::Stub));
    }
    let Some(start) = nibbles::start(clr, range.heap, code)? else { return Ok(Some(Code::Stub)) };
    let before = start.minus(8).ok_or_else(|| Gap::Corrupt(format!("code at {start}")))?;
    let header = clr.memory().ptr(before)?;
    if header.0 < STUBS {
        return Ok(Some(Code::Stub));
    }
    Ok(jitted(clr, range, header, start, code)?.map(Code::Method))
}

/// The function of a method that was compiled at run time.
fn jitted(clr: &Clr, range: ranges::Range, header: Addr, start: Addr, code: Addr) -> Known<Option<Place>> {
    let count = clr.u32(header, "RealCodeHeader", "NumUnwindInfos")?.min(MAX_FUNCTIONS);
    let functions = clr.at(header, "RealCodeHeader", "UnwindInfos")?;
    let method = clr.ptr(header, "RealCodeHeader", "MethodDesc")?;
    let size = clr.layout.offset("RuntimeFunction", "!")?;
    let mut found = None;
    for index in 0..count {
        let function = plus(functions, u64::from(index).saturating_mul(size))?;
        let begin = plus(range.begin, clr.u32(function, "RuntimeFunction", "BeginAddress")?.into())?;
        // Ascending: the last that does not begin behind the code.
        if begin > code {
            break;
        }
        let unwind = plus(range.begin, clr.u32(function, "RuntimeFunction", "UnwindData")?.into())?;
        let compiled = Compiled::Jitted { header };
        found = Some(Place { method, start, function: begin, unwind, compiled });
    }
    Ok(found)
}

/// Who called a frame in managed code.
pub(super) fn step(clr: &Clr, frame: &OwnFrame<'_>) -> Step {
    let Some(pc) = frame.registers.pc() else { return Step::Unknown };
    let lookup = if frame.returns { Addr(pc.0.saturating_sub(1)) } else { pc };
    match at(clr, lookup) {
        Ok(Some(Code::Method(place))) => match caller(clr, frame, place, pc) {
            Ok(caller) => Step::Caller { caller, returns: true, switches: false },
            Err(End::NoMemory) => Step::End(End::NoMemory),
            Err(_) => Step::Unknown,
        },
        // Stubs push nothing, mostly; frame pointers and what follows a call tell.
        _ => Step::Unknown,
    }
}

fn caller(clr: &Clr, frame: &OwnFrame<'_>, place: Place, pc: Addr) -> Result<Caller, End> {
    let info = UnwindInfo::read(clr.memory(), place.unwind).map_err(|_| End::NoUnwindInfo)?;
    let offset = pc.since(place.function).unwrap_or(u64::MAX);
    info.caller(clr.memory(), frame.registers, frame.sp, offset)
}
