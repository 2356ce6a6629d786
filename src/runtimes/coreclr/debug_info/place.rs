//! Where what a compiler left of a method is, and how it is packed.

use super::super::clr::{Clr, plus};
use super::super::code::{Compiled, Place, format, section};
use super::bounds::Packing;
use super::damage::damaged;
use super::native_array;
use crate::model::{Addr, Gap, Known};

/// The first versions that pack bounds in bits: of the runtime, and of the format of ReadyToRun images.
// Source: dotnet/runtime 10.0, src/coreclr/inc/readytorun.h, "16.0"; measured on 8.0.33, 9.0.22, 10.0.14.
const BITS_SINCE: u32 = 10;
const BITS_SINCE_FORMAT: u16 = 16;

/// Where the two lengths in front of both parts are.
pub(super) fn of(clr: &Clr, place: &Place) -> Known<(Addr, Packing)> {
    match place.compiled {
        Compiled::Jitted { header } => jitted(clr, header),
        Compiled::ReadyToRun { image, info, function } => ready_to_run(clr, image, info, function),
    }
}

fn jitted(clr: &Clr, header: Addr) -> Known<(Addr, Packing)> {
    // Source: debuginfostore.cpp, enum EXTRA_DEBUG_INFO_FLAGS: what stands in front of the two lengths.
    const PATCHPOINTS: u8 = 1;
    const RICH: u8 = 2;
    let memory = clr.memory();
    let at = clr.ptr(header, "RealCodeHeader", "DebugInfo")?;
    if at.0 == 0 {
        return Err(Gap::NotRecorded("the JIT left nothing for debuggers of this method".to_owned()));
    }
    let flags = memory.u8(at)?;
    if flags & !(PATCHPOINTS | RICH) != 0 {
        return Err(damaged());
    }
    let mut at = plus(at, 1)?;
    if flags & PATCHPOINTS != 0 {
        // Four bytes for each local variable behind the head.
        let locals = u64::from(clr.u32(at, "PatchpointInfo", "NumberOfLocals")?);
        at = plus(at, clr.layout.offset("PatchpointInfo", "!")?.saturating_add(locals.saturating_mul(4)))?;
    }
    if flags & RICH != 0 {
        at = plus(at, u64::from(memory.u32(at)?).saturating_add(4))?;
    }
    let major = clr.major().ok_or_else(|| Gap::NoLayout("the version of .NET is not known".to_owned()))?;
    Ok((at, if major < BITS_SINCE { Packing::Nibbles } else { Packing::Bits }))
}

/// `image`: where addresses in it count from; `info`: the runtime's `ReadyToRunInfo`; `function`: the index of the method's first function.
fn ready_to_run(clr: &Clr, image: Addr, info: Addr, function: u32) -> Known<(Addr, Packing)> {
    // Source: src/coreclr/inc/readytorun.h, ReadyToRunSectionType::DebugInfo.
    const DEBUG_INFO: u32 = 105;
    let is_new = format(clr, info)? >= BITS_SINCE_FORMAT;
    let packing = if is_new { Packing::Bits } else { Packing::Nibbles };
    let not_left = || Gap::NotRecorded("the image has nothing for debuggers of this method".to_owned());
    let (array, _) = section(clr, image, info, DEBUG_INFO)?.ok_or_else(not_left)?;
    let element = native_array::element(clr.memory(), array, function)?.ok_or_else(not_left)?;
    // Methods that are told alike share it: so many bytes before the element.
    let (back, behind) = native_array::number(clr.memory(), element)?;
    let at = if back == 0 { behind } else { element.minus(back.into()).ok_or_else(damaged)? };
    Ok((at, packing))
}
