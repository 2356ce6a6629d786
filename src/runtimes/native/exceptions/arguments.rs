//! Constants that a caller passed: decoded from the instructions before its call.
//!
//! Functions that end a program get their arguments as constants (a text, a source place) set just before the call, and
//! keep none of them. The caller's code from its start to the call is decoded once, straight on; a constant is
//! believed only if nothing between its setting and the call jumps, calls or sets the register again.

use iced_x86::{Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, OpKind};

use crate::model::{Addr, Arch, Register};
use crate::target::Target;

use super::x86::general;

/// Integer arguments in registers. Source: System V AMD64 psABI 1.0, section 3.2.3: rdi, rsi, rdx, rcx, r8, r9.
const ARGUMENTS: [Register; 6] = [Register(5), Register(4), Register(1), Register(2), Register(8), Register(9)];
/// Longest function whose code is decoded, in bytes.
const MAX_FUNCTION: u64 = 256 << 10;

/// The integer arguments of the call that returns to `returns_to`, each `None` where it is no constant. `None` at all
/// where the code or the function's start is not at hand, or on another processor than x86-64.
pub(super) fn constants(target: &Target, returns_to: Addr) -> Option<[Option<u64>; ARGUMENTS.len()]> {
    if target.arch() != Arch::X86_64 {
        return None;
    }
    let inside = returns_to.minus(1)?;
    let module = target.module_at(inside)?;
    let start = module.addr(target.function(inside)?.svma)?;
    let len = returns_to.since(start).filter(|len| *len <= MAX_FUNCTION)?;
    let mut code = vec![0; usize::try_from(len).ok()?];
    target.memory.read(start, &mut code).ok()?;
    before_call(&code, start)
}

/// Decodes `code`, which ends with a call, from `start`.
fn before_call(code: &[u8], start: Addr) -> Option<[Option<u64>; ARGUMENTS.len()]> {
    let mut decoder = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE);
    let mut factory = InstructionInfoFactory::new();
    let mut values = [None; ARGUMENTS.len()];
    let mut last = None;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        last = Some(instruction.flow_control());
        if !decoder.can_decode() {
            break;
        }
        if instruction.flow_control() != FlowControl::Next {
            values = [None; ARGUMENTS.len()];
            continue;
        }
        for used in factory.info(&instruction).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
            );
            if let (true, Some((_, number))) = (writes, general(used.register())) {
                set(&mut values, number, None);
            }
        }
        let constant = match instruction.mnemonic() {
            Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => Some(instruction.ip_rel_memory_address()),
            Mnemonic::Mov if !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory) => {
                instruction.try_immediate(1).ok()
            }
            Mnemonic::Xor
                if instruction.op0_kind() == OpKind::Register && instruction.op1_kind() == OpKind::Register =>
            {
                (instruction.op0_register() == instruction.op1_register()).then_some(0)
            }
            _ => None,
        };
        if let (Some(value), OpKind::Register) = (constant, instruction.op0_kind())
            && let Some((_, number)) = general(instruction.op0_register())
        {
            set(&mut values, number, Some(value));
        }
    }
    matches!(last, Some(FlowControl::Call | FlowControl::IndirectCall)).then_some(values)
}

fn set(values: &mut [Option<u64>; ARGUMENTS.len()], register: Register, value: Option<u64>) {
    if let Some(index) = ARGUMENTS.iter().position(|argument| *argument == register)
        && let Some(slot) = values.get_mut(index)
    {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Encodings are as GNU as prints them for the text in each comment.
    const LEA_RDI: [u8; 7] = [0x48, 0x8d, 0x3d, 0x10, 0, 0, 0]; // lea 0x10(%rip),%rdi
    const MOV_EDX: [u8; 5] = [0xba, 53, 0, 0, 0]; // mov $53,%edx
    const CALL: [u8; 5] = [0xe8, 0, 0, 0, 0]; // call

    #[test]
    fn constants_set_before_the_call_are_its_arguments() {
        let code = [&LEA_RDI[..], &MOV_EDX, &CALL].concat();
        let got = before_call(&code, Addr(0x1000)).unwrap();
        assert_eq!((got[0], got[1], got[2]), (Some(0x1017), None, Some(53)));
    }

    #[test]
    fn a_register_that_is_set_again_or_crosses_a_call_is_no_constant() {
        // mov %rax,%rdi after the lea
        let code = [&LEA_RDI[..], &[0x48, 0x89, 0xc7], &CALL].concat();
        assert_eq!(before_call(&code, Addr(0x1000)).unwrap()[0], None);
        let code = [&LEA_RDI[..], &CALL, &CALL].concat();
        assert_eq!(before_call(&code, Addr(0x1000)).unwrap()[0], None);
    }

    #[test]
    fn code_that_does_not_end_with_a_call_gives_nothing() {
        assert_eq!(before_call(&LEA_RDI, Addr(0x1000)), None);
    }
}
