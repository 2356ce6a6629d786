//! Entry points of methods that have no code yet, or had none: short stubs that lead to the method.
//!
//! Input: an address that is called. Output: the `MethodDesc`. Specification: dotnet/runtime src/coreclr/vm/amd64/thunktemplates.S, vm/precode.h.

use super::clr::{Clr, plus};
use super::code::{self, Code, Place};
use crate::model::{Addr, Gap, Known};

/// Stubs that lead to stubs.
const MAX_STEPS: usize = 4;

/// The method that is called at an address.
pub(super) fn method(clr: &Clr, entry: Addr) -> Known<Addr> {
    let mut at = entry;
    for _ in 0..MAX_STEPS {
        if let Some(Code::Method(Place { method, start, .. })) = code::at(clr, at)?
            && start == at
        {
            return Ok(method);
        }
        match stub(clr, at)? {
            Stub::Method(method) => return Ok(method),
            Stub::Jump(to) => at = to,
        }
    }
    Err(unknown(entry))
}

/// What a stub tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stub {
    Method(Addr),
    Jump(Addr),
}

fn unknown(at: Addr) -> Gap {
    Gap::Unsupported(format!("the stub at {at}, which tells no method"))
}

fn stub(clr: &Clr, at: Addr) -> Known<Stub> {
    let memory = clr.memory();
    let byte = |offset: u64| Ok::<u8, Gap>(memory.u8(plus(at, offset)?)?);
    // The address that an instruction of so many bytes at an offset names, by the distance from its end.
    let named = |offset: u64, len: u64| {
        let end = plus(at, offset.saturating_add(len))?;
        let distance = memory.u32(plus(at, offset.saturating_add(len).saturating_sub(4))?)?.cast_signed();
        Ok::<Addr, Gap>(Addr(end.0.wrapping_add_signed(distance.into())))
    };
    let is_load = |offset| {
        Ok::<bool, Gap>(
            [byte(offset)?, byte(offset.saturating_add(1))?, byte(offset.saturating_add(2))?] == [0x4c, 0x8b, 0x15],
        )
    };
    match (byte(0)?, byte(1)?) {
        // FixupPrecode: jmp [Target]; mov r10, [MethodDesc]; jmp [PrecodeFixupThunk].
        (0xff, 0x25) if is_load(6)? => Ok(Stub::Method(memory.ptr(named(6, 7)?)?)),
        // jmp [target]
        (0xff, 0x25) => Ok(Stub::Jump(memory.ptr(named(0, 6)?)?)),
        // StubPrecode: mov r10, [MethodDesc]; jmp [Target].
        (0x4c, 0x8b) if is_load(0)? => Ok(Stub::Method(memory.ptr(named(0, 7)?)?)),
        // jmp target
        (0xe9, _) => Ok(Stub::Jump(named(0, 5)?)),
        _ => Err(unknown(at)),
    }
}
