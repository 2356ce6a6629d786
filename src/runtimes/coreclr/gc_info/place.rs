//! Where the GC info of a method is, and in which format.

use super::super::clr::{Clr, plus};
use super::super::code::{Compiled, Place};
use super::format::Format;
use crate::model::{Addr, Gap, Known};

/// The first version of the runtime that packs it in format 4. Source: dotnet/runtime 10.0, src/coreclr/inc/gcinfo.h.
const FOUR_SINCE: u32 = 10;

pub(in crate::runtimes::coreclr) fn format_of(clr: &Clr) -> Known<Format> {
    let major = clr.major().ok_or_else(|| Gap::NoLayout("the version of .NET is not known".to_owned()))?;
    Ok(if major < FOUR_SINCE { Format::Three } else { Format::Four })
}

/// Where it begins.
pub(super) fn of(clr: &Clr, place: &Place) -> Known<Addr> {
    match place.compiled {
        Compiled::Jitted { header } => clr.ptr(header, "RealCodeHeader", "GCInfo"),
        Compiled::ReadyToRun { image, info, function } => {
            let functions = clr.ptr(info, "ReadyToRunInfo", "RuntimeFunctions")?;
            let size = clr.layout.offset("RuntimeFunction", "!")?;
            let first = plus(functions, u64::from(function).saturating_mul(size))?;
            behind(clr, plus(image, clr.u32(first, "RuntimeFunction", "UnwindData")?.into())?)
        }
    }
}

/// Behind the unwind information of the method's first function: four bytes, the codes of two bytes each, in whole words, and the address of
/// the routine for exceptions. Source: dotnet/runtime src/coreclr/vm/codeman.cpp, ReadyToRunJitManager::GetGCInfoToken.
fn behind(clr: &Clr, unwind: Addr) -> Known<Addr> {
    let codes = u64::from(clr.memory().u8(plus(unwind, 2)?)?);
    plus(unwind, (4 + 2 * codes).next_multiple_of(4).saturating_add(4))
}
