//! Managed code: which method an address is in, and who called it.
//!
//! Input: addresses of code. Output: [`Place`]s, and callers by the unwind information that the JIT and the ReadyToRun compiler leave.
//! Specification: dotnet/runtime docs/design/datacontracts/ExecutionManager.md; Microsoft x64 exception handling, `UNWIND_INFO`.

mod epilogue;
mod filters;
mod helpers;
mod hijacks;
mod nibbles;
mod place;
mod ranges;
mod ready_to_run;
mod saved;
mod sections;
mod signal_frames;
mod stubs;
mod unwind_info;

use std::sync::Arc;

use super::clr::{Clr, plus};
use crate::model::{Addr, Arch, End, FrameKind, Gap, Known, Registers, Trust};
use crate::unwind::row::{Caller, preserved};
use crate::unwind::{OwnFrame, Step};

pub(super) use self::filters::is_filter;
pub(super) use self::place::{Code, Compiled, Place, Places};
pub(super) use self::ranges::{heaps, owns};
pub(super) use self::saved::{SAVED, restore};
pub(super) use self::sections::{format, section};
pub(super) use self::unwind_info::REGISTERS;
pub use self::unwind_info::UnwindInfo;

use self::saved::moved;

/// A frame that the frame pointer leads out of reaches at most so far, in bytes.
const MAX_FRAME: u64 = 1 << 20;
/// Most functions of a method: itself and its funclets.
const MAX_FUNCTIONS: u32 = 1 << 12;

/// Whether the callers of code are told here: of managed code, of stubs, and of the runtime's own code that no table describes rightly.
pub(super) fn is_unwound(clr: &Clr, code: Addr) -> bool {
    owns(clr, code) || helpers::at(clr, code).is_some() || copied(clr, code).is_some()
}

/// What a frame in such code is.
pub(super) fn kind(clr: &Clr, code: Addr) -> FrameKind {
    if helpers::at(clr, code).is_none() || owns(clr, code) { FrameKind::Managed } else { FrameKind::Native }
}

/// A stub outside of all ranges and modules, by its instructions.
fn copied(clr: &Clr, code: Addr) -> Option<&'static str> {
    let is_executable = clr.memory().region_at(code).is_some_and(|region| region.access.execute);
    if !is_executable || clr.target.module_at(code).is_some() { None } else { stubs::recognise(clr.memory(), code) }
}

/// The code at an address; `Ok(None)` where it is not the runtime's.
pub(super) fn at(clr: &Clr, code: Addr) -> Known<Option<Code>> {
    clr.places.code.get(code, || find(clr, code))
}

fn find(clr: &Clr, code: Addr) -> Known<Option<Code>> {
    let Some(range) = ranges::range(clr, code)? else { return Ok(copied(clr, code).map(Code::Stub)) };
    if range.ready_to_run.0 != 0 {
        let place = ready_to_run::place(clr, range, code)?;
        return Ok(Some(place.map_or(Code::Stub("method call thunk"), Code::Method)));
    }
    if range.heap.0 == 0 {
        return Ok(Some(Code::Stub(stubs::kind(range.stubs.into()))));
    }
    let Some(start) = nibbles::start(clr, range.heap, code)? else { return Ok(Some(Code::Stub(stubs::kind(0)))) };
    let before = start.minus(8).ok_or_else(|| Gap::Corrupt(format!("code at {start}")))?;
    let header = clr.memory().ptr(before)?;
    if header.0 <= stubs::LAST {
        return Ok(Some(Code::Stub(stubs::kind(header.0))));
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

/// Who called a frame in code that [`is_unwound`].
pub(super) fn step(clr: &Clr, frame: &OwnFrame<'_>) -> Step {
    let Some(pc) = frame.registers.pc() else { return Step::Unknown };
    let lookup = if frame.returns { Addr(pc.0.saturating_sub(1)) } else { pc };
    if let Some(helper) = helpers::at(clr, lookup) {
        return helpers::step(clr, helper, frame);
    }
    let found = match at(clr, lookup) {
        Ok(Some(Code::Method(place))) => match caller(clr, frame, place, pc) {
            Err(End::NoMemory) => return Step::End(End::NoMemory),
            found => found.ok().map(|caller| (caller, Trust::Runtime)),
        },
        Ok(_) => leaf(clr, frame).map(|caller| (caller, Trust::Runtime)),
        // Its tables are not in the dump.
        Err(_) => framed(clr, frame).map(|caller| (caller, Trust::FramePointer)),
    };
    match found {
        Some((caller, trust)) => {
            let caller = helpers::unhijacked(clr, caller);
            Step::Caller { caller, trust, returns: true, switches: false }
        }
        None => Step::Unknown,
    }
}

fn caller(clr: &Clr, frame: &OwnFrame<'_>, place: Place, pc: Addr) -> Result<Caller, End> {
    let is_within = |code: Addr| {
        let same = |found: Code| matches!(found, Code::Method(of) if of.function == place.function);
        code != place.function && at(clr, code).ok().flatten().is_some_and(same)
    };
    let interrupted = || epilogue::caller(clr.memory(), frame.registers, frame.sp, pc, &is_within);
    if let Some(caller) = if frame.returns { None } else { interrupted() } {
        return Ok(caller);
    }
    let read = || UnwindInfo::read(clr.memory(), place.unwind).ok().map(Arc::new);
    let Some(info) = clr.places.unwind.get(place.unwind, read) else {
        return framed(clr, frame).ok_or(End::NoUnwindInfo);
    };
    let offset = pc.since(place.function).unwrap_or(u64::MAX);
    info.caller(clr.memory(), frame.registers, frame.sp, offset)
}

/// The caller of a stub, which is about to jump to a method: its return address is the last word of the stack.
fn leaf(clr: &Clr, frame: &OwnFrame<'_>) -> Option<Caller> {
    let pc = clr.memory().ptr(frame.sp).ok()?;
    if frame.returns || !owns(clr, Addr(pc.0.checked_sub(1)?)) {
        return None;
    }
    let mut registers = frame.registers.clone();
    registers.keep(preserved(Arch::X86_64));
    moved(registers, pc, frame.sp.plus(8)?)
}

/// The caller by the frame pointer, which managed code keeps on Linux.
fn framed(clr: &Clr, frame: &OwnFrame<'_>) -> Option<Caller> {
    let record = frame.registers.fp().filter(|record| record.is_aligned(8))?;
    if record.since(frame.sp)? > MAX_FRAME {
        return None;
    }
    let (saved, pc) = (clr.memory().u64(record).ok()?, clr.memory().ptr(record.plus(8)?).ok()?);
    let mut registers = Registers::unknown(Arch::X86_64);
    registers.set(Arch::X86_64.frame_pointer(), saved);
    moved(registers, pc, record.plus(16)?)
}

/// The name of one of the runtime's own functions, where its callers are told here and it has one.
pub(super) fn helper(clr: &Clr, code: Addr) -> Option<(&'static str, Addr)> {
    helpers::named(clr, code)
}
