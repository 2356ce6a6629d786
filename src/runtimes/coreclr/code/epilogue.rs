//! Code that was interrupted while it returns: what a prologue did, and `UNWIND_INFO` tells, is undone in part by then.
//!
//! Input: the instructions from where it stands on. Output: its caller, where they are the end of an epilogue. Specification: Microsoft, x64
//! exception handling, "Prolog and epilog", as dotnet/runtime src/coreclr/unwinder/amd64/unwinder.cpp has it for Linux.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register as Reg};

use super::saved::moved;
use super::unwind_info::REGISTERS;
use crate::capture::Memory;
use crate::model::{Addr, Arch, Register, Registers};
use crate::unwind::row::{Caller, preserved};

/// Bytes of an epilogue, at most: the stack pointer, eight registers, the return.
const MAX_BYTES: u64 = 48;
const MAX_INSTRUCTIONS: usize = 12;

/// The caller of code that stands in an epilogue; `None` where it stands elsewhere, or its instructions are not at hand. `is_within`: whether code
/// is of the same function, behind its beginning.
pub(super) fn caller(
    memory: &Memory,
    registers: &Registers,
    sp: Addr,
    pc: Addr,
    is_within: &dyn Fn(Addr) -> bool,
) -> Option<Caller> {
    let code = memory.slice_up_to(pc, MAX_BYTES).ok()?;
    let mut decoder = Decoder::with_ip(64, code, pc.0, DecoderOptions::NONE);
    let mut caller = registers.clone();
    caller.keep(preserved(Arch::X86_64));
    let mut at = sp;
    let mut has_popped = false;
    for index in 0..MAX_INSTRUCTIONS {
        let own = code.get(decoder.position()..)?;
        let instruction = decoder.decode();
        match instruction.mnemonic() {
            Mnemonic::Pop => {
                let register = wide(instruction.op0_register())?;
                let value = memory.u64(at).ok()?;
                if preserved(Arch::X86_64) >> register.0 & 1 != 0 {
                    caller.set(register, value);
                }
                at = at.plus(8)?;
                has_popped = true;
            }
            // Only in front of all others, once.
            Mnemonic::Add | Mnemonic::Lea if index == 0 => at = lowered(&instruction, registers, at)?,
            Mnemonic::Ret if instruction.op_count() == 0 => return moved(caller, memory.ptr(at).ok()?, at.plus(8)?),
            Mnemonic::Jmp if has_popped || is_last(&instruction, own, is_within) => {
                return moved(caller, memory.ptr(at).ok()?, at.plus(8)?);
            }
            _ => return None,
        }
    }
    None
}

/// Whether a jump, of which `code` is its own, is one to another method, in place of a call and a return, which ends an epilogue. Sources: what
/// unwinder.cpp takes for an epilogue's end; dotnet/runtime src/coreclr/jit/emitxarch.cpp, `rex.jmp`, by which a tail call through a register
/// differs from a jump within.
fn is_last(instruction: &Instruction, code: &[u8], is_within: &dyn Fn(Addr) -> bool) -> bool {
    match instruction.op0_kind() {
        OpKind::NearBranch64 => !is_within(Addr(instruction.near_branch64())),
        OpKind::Memory => instruction.is_ip_rel_memory_operand() || has_wide_prefix(code),
        _ => has_wide_prefix(code),
    }
}

fn has_wide_prefix(code: &[u8]) -> bool {
    code.first().is_some_and(|byte| byte & 0xf8 == 0x48)
}

/// Where the stack pointer is behind `add rsp, n` or `lea rsp, [register + n]`.
fn lowered(instruction: &Instruction, registers: &Registers, sp: Addr) -> Option<Addr> {
    if instruction.op0_register() != Reg::RSP {
        return None;
    }
    match (instruction.mnemonic(), instruction.op1_kind()) {
        (Mnemonic::Add, OpKind::Immediate8to64 | OpKind::Immediate32to64) => sp.plus(instruction.immediate(1)),
        (Mnemonic::Lea, OpKind::Memory) if instruction.memory_index() == Reg::None => {
            let base = registers.get(wide(instruction.memory_base())?)?;
            Some(Addr(base.wrapping_add(instruction.memory_displacement64())))
        }
        _ => None,
    }
}

/// A register of 64 bits by its DWARF number.
fn wide(register: Reg) -> Option<Register> {
    let number = register.is_gpr64().then(|| REGISTERS.get(register.number()))?;
    number.copied().map(Register)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Origin, Segment};
    use symbols::FileBytes;

    const CODE: Addr = Addr(0x1000);
    const STACK: u64 = 0x7000;

    /// Instruction pointer, stack pointer, rbx and rbp of the caller of code that stands before these instructions, with rbp 16 above the stack
    /// pointer. Stack: 1, 2, 3 …
    fn told(code: &[u8]) -> Option<[Option<u64>; 4]> {
        let stack = (1u64..9).flat_map(u64::to_le_bytes).collect();
        let segment = |start, bytes| Segment { start, bytes: FileBytes::from_vec(bytes), origin: Origin::Dump };
        let memory = Memory::new(vec![segment(CODE, code.to_vec()), segment(Addr(STACK), stack)], Vec::new());
        let mut registers = Registers::unknown(Arch::X86_64);
        for (number, value) in [(0, 0xa), (3, 0xb), (6, STACK + 16), (7, STACK), (16, CODE.0)] {
            registers.set(Register(number), value);
        }
        // The function has the 16 bytes in front of the code, and 16 from there on.
        let is_within = |at: Addr| (CODE.0 - 15..CODE.0 + 16).contains(&at.0);
        let caller = caller(&memory, &registers, Addr(STACK), CODE, &is_within)?;
        assert_eq!((caller.cfa.0, caller.registers.get(Register(0))), (caller.registers.sp()?.0, None));
        Some([16, 7, 3, 6].map(|number| caller.registers.get(Register(number))))
    }

    #[test]
    fn what_is_left_of_an_epilogue_is_done() {
        let rbp = STACK + 16;
        // ret
        assert_eq!(told(&[0xc3]), Some([Some(1), Some(STACK + 8), Some(0xb), Some(rbp)]));
        // pop rbp; ret
        assert_eq!(told(&[0x5d, 0xc3]), Some([Some(2), Some(STACK + 16), Some(0xb), Some(1)]));
        // add rsp, 16; pop rbx; pop r15; pop rbp; ret
        let whole = [0x48, 0x83, 0xc4, 0x10, 0x5b, 0x41, 0x5f, 0x5d, 0xc3];
        assert_eq!(told(&whole), Some([Some(6), Some(STACK + 48), Some(3), Some(5)]));
        // lea rsp, [rbp - 8]; pop rbx; pop rbp; jmp rax
        let tail = [0x48, 0x8d, 0x65, 0xf8, 0x5b, 0x5d, 0xff, 0xe0];
        assert_eq!(told(&tail), Some([Some(4), Some(STACK + 32), Some(2), Some(3)]));
    }

    #[test]
    fn a_jump_to_another_method_ends_an_epilogue() {
        let behind = Some([Some(1), Some(STACK + 8), Some(0xb), Some(STACK + 16)]);
        // jmp .+0x105; jmp .-16, to the beginning; jmp [rip + 0x10]; rex.W jmp rax; rex.W jmp [rax]
        for code in [
            &[0xe9, 0x00, 0x01, 0x00, 0x00][..],
            &[0xeb, 0xee],
            &[0xff, 0x25, 0x10, 0x00, 0x00, 0x00],
            &[0x48, 0xff, 0xe0],
            &[0x48, 0xff, 0x20],
        ] {
            assert_eq!(told(code), behind, "{code:x?}");
        }
        // jmp .+5; jmp [rax]
        for code in [&[0xeb, 0x03][..], &[0xff, 0x20]] {
            assert_eq!(told(code), None, "{code:x?}");
        }
    }

    #[test]
    fn other_code_is_no_epilogue() {
        // jmp rax; nop, ret; pop rbp, nop; add rax, 16; add rsp, 8 behind a pop; call rax; ret 8; nothing that can be read.
        for code in [
            &[0xff, 0xe0][..],
            &[0x90, 0xc3],
            &[0x5d, 0x90, 0xc3],
            &[0x48, 0x83, 0xc0, 0x10, 0xc3],
            &[0x5d, 0x48, 0x83, 0xc4, 0x08, 0xc3],
            &[0xff, 0xd0],
            &[0xc2, 0x08, 0x00],
            &[0x5d],
            &[],
        ] {
            assert_eq!(told(code), None, "{code:x?}");
        }
    }
}
