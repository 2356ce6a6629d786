//! What an x86-64 instruction does to memory: its accesses with the registers that form their addresses, and the
//! instructions that fault for another reason (traps, privileged ones, divisions).
//!
//! Decoding is iced-x86's; implicit stack accesses of push, pop, call and ret are among the accesses.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, MemorySize, Mnemonic, OpAccess,
    OpKind, Register as Iced, UsedMemory,
};

use crate::capture::Memory;
use crate::model::fault::{AccessKind, Operand, Term};
use crate::model::{Addr, Gap, Known, Register, Registers};

use super::access::{Access, Decoded, Special};

/// The longest instruction. Source: Intel SDM volume 2, section 2.3.11.
const MAX_INSTRUCTION: u64 = 15;

/// Decodes the instruction at `pc`. `thread_pointer` is the base of `fs:`.
pub(super) fn decode(memory: &Memory, pc: Addr, registers: &Registers, thread_pointer: Option<Addr>) -> Known<Decoded> {
    let mut bytes = [0; MAX_INSTRUCTION as usize];
    let bytes = match memory.read(pc, &mut bytes) {
        Ok(()) => &bytes[..],
        Err(_) => memory.slice_up_to(pc, MAX_INSTRUCTION)?,
    };
    let instruction = Decoder::with_ip(64, bytes, pc.0, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return Err(Gap::Corrupt(format!("the bytes at {pc} are no instruction")));
    }
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(&instruction).used_memory().to_vec();
    let mut accesses: Vec<Access> =
        used.iter().filter_map(|used| access(used, &instruction, registers, thread_pointer)).collect();
    accesses.sort_by_key(|access| is_stack(&access.operand));
    let special = special(memory, &instruction, registers, &accesses);
    Ok(Decoded { accesses, special })
}

fn access(used: &UsedMemory, instruction: &Instruction, registers: &Registers, tp: Option<Addr>) -> Option<Access> {
    let (kind, also_writes) = match used.access() {
        OpAccess::Read | OpAccess::CondRead => (AccessKind::Read, false),
        OpAccess::Write | OpAccess::CondWrite => (AccessKind::Write, false),
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => (AccessKind::Read, true),
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    let mut terms = Vec::new();
    if matches!(used.segment(), Iced::FS | Iced::GS) {
        let value = if used.segment() == Iced::FS { tp.map(|tp| tp.0) } else { None };
        terms.push(Term { register: if used.segment() == Iced::FS { "fs" } else { "gs" }, value, scale: 1 });
    }
    for (register, scale) in [(used.base(), 1), (used.index(), used.scale())] {
        if register != Iced::None {
            terms.push(term(register, scale, registers));
        }
    }
    let bytes = match used.memory_size() {
        MemorySize::Unknown => None,
        size => u32::try_from(size.size()).ok().filter(|bytes| *bytes != 0),
    };
    // A `rep` prefix makes an access of unknown length; each step of it is one element.
    let bytes = if instruction.has_rep_prefix() && instruction.is_string_instruction() { None } else { bytes };
    let operand = Operand { terms, displacement: used.displacement().cast_signed() };
    Some(Access { kind, also_writes, bytes, operand })
}

fn is_stack(operand: &Operand) -> bool {
    operand.terms.iter().any(|term| term.register == "rsp")
}

fn term(register: Iced, scale: u32, registers: &Registers) -> Term {
    let Some((name, number)) = general(register) else {
        return Term { register: "vector index", value: None, scale };
    };
    // 32-bit address registers take part with their lower half.
    let value = registers.get(number).map(|value| if register.size() == 4 { value & 0xffff_ffff } else { value });
    Term { register: name, value, scale }
}

/// Name and DWARF number of the 64-bit register that holds a general register.
// Source: System V AMD64 psABI 1.0, figure 3.36.
pub(super) fn general(register: Iced) -> Option<(&'static str, Register)> {
    let (name, number) = match register.full_register() {
        Iced::RAX => ("rax", 0),
        Iced::RDX => ("rdx", 1),
        Iced::RCX => ("rcx", 2),
        Iced::RBX => ("rbx", 3),
        Iced::RSI => ("rsi", 4),
        Iced::RDI => ("rdi", 5),
        Iced::RBP => ("rbp", 6),
        Iced::RSP => ("rsp", 7),
        Iced::R8 => ("r8", 8),
        Iced::R9 => ("r9", 9),
        Iced::R10 => ("r10", 10),
        Iced::R11 => ("r11", 11),
        Iced::R12 => ("r12", 12),
        Iced::R13 => ("r13", 13),
        Iced::R14 => ("r14", 14),
        Iced::R15 => ("r15", 15),
        _ => return None,
    };
    Some((name, Register(number)))
}

fn special(memory: &Memory, instruction: &Instruction, registers: &Registers, accesses: &[Access]) -> Option<Special> {
    if instruction.code() == Code::Ud2 {
        return Some(Special::Trap);
    }
    if instruction.mnemonic() == Mnemonic::Int3 {
        return Some(Special::Breakpoint);
    }
    if matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) {
        return Some(Special::Divide(operand_value(memory, instruction, registers, accesses)));
    }
    if instruction.mnemonic() == Mnemonic::Hlt {
        return Some(Special::Halt);
    }
    if instruction.is_privileged() {
        return Some(Special::Privileged);
    }
    match instruction.flow_control() {
        FlowControl::IndirectBranch | FlowControl::IndirectCall => {
            operand_value(memory, instruction, registers, accesses).map(|to| Special::Goto(Addr(to)))
        }
        FlowControl::Return => memory.ptr(registers.sp()?).ok().map(Special::Goto),
        _ => None,
    }
}

/// The value of the first operand, a register or memory, zero-extended from its size.
fn operand_value(
    memory: &Memory,
    instruction: &Instruction,
    registers: &Registers,
    accesses: &[Access],
) -> Option<u64> {
    let (value, size) = match instruction.op0_kind() {
        OpKind::Register => {
            let register = instruction.op0_register();
            if matches!(register, Iced::AH | Iced::BH | Iced::CH | Iced::DH) {
                return None;
            }
            (registers.get(general(register)?.1)?, register.size())
        }
        OpKind::Memory => {
            let access = accesses.iter().find(|access| access.kind == AccessKind::Read)?;
            let mut bytes = [0; 8];
            let size = usize::try_from(access.bytes?).ok()?;
            memory.read(access.operand.address()?, bytes.get_mut(..size)?).ok()?;
            (u64::from_le_bytes(bytes), size)
        }
        _ => return None,
    };
    let bits = u32::try_from(size.checked_mul(8)?).ok()?;
    Some(if bits >= 64 { value } else { value & 1u64.checked_shl(bits)?.wrapping_sub(1) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Arch;

    const PC: u64 = 0x1000;

    fn decoded(code: &[u8], set: &[(u16, u64)]) -> Decoded {
        let mut registers = Registers::unknown(Arch::X86_64);
        for (number, value) in set {
            registers.set(Register(*number), *value);
        }
        decode(&Memory::of_bytes(PC, code), Addr(PC), &registers, Some(Addr(0x7000))).unwrap()
    }

    // Encodings below are as GNU as prints them for the text in each comment.

    #[test]
    fn a_load_names_its_base_register_and_displacement() {
        // movslq 0x10(%rdi),%rax
        let got = decoded(&[0x48, 0x63, 0x47, 0x10], &[(5, 0)]);
        let access = got.accesses.first().unwrap();
        assert_eq!((access.kind, access.bytes), (AccessKind::Read, Some(4)));
        assert_eq!(access.operand.to_string(), "[rdi + 0x10]");
        assert_eq!(access.operand.address(), Some(Addr(0x10)));
    }

    #[test]
    fn a_store_through_base_and_scaled_index_sums_both() {
        // mov %dil,(%rsp,%rax,8)
        let got = decoded(&[0x40, 0x88, 0x3c, 0xc4], &[(7, 0x5000), (0, 2)]);
        let access = got.accesses.first().unwrap();
        assert_eq!((access.kind, access.bytes), (AccessKind::Write, Some(1)));
        assert_eq!(access.operand.address(), Some(Addr(0x5010)));
    }

    #[test]
    fn a_call_through_memory_reads_the_slot_and_pushes() {
        // call *0x10(%rax)
        let got = decoded(&[0xff, 0x50, 0x10], &[(0, 0x8), (7, 0x5000)]);
        let [slot, push] = got.accesses.as_slice() else { panic!("{got:?}") };
        assert_eq!((slot.kind, slot.operand.address()), (AccessKind::Read, Some(Addr(0x18))));
        assert_eq!((push.kind, push.operand.address()), (AccessKind::Write, Some(Addr(0x4ff8))));
    }

    #[test]
    fn a_read_relative_to_the_instruction_has_its_absolute_address() {
        // mov 0x10(%rip),%rax: 7 bytes long
        let got = decoded(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], &[]);
        assert_eq!(got.accesses.first().unwrap().operand.address(), Some(Addr(PC + 7 + 0x10)));
    }

    #[test]
    fn thread_local_reads_add_the_thread_pointer() {
        // mov %fs:0x28,%rax
        let got = decoded(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], &[]);
        assert_eq!(got.accesses.first().unwrap().operand.address(), Some(Addr(0x7028)));
    }

    #[test]
    fn special_instructions_are_told_apart() {
        // ud2; hlt; idiv %ecx with only the lower half zero
        assert_eq!(decoded(&[0x0f, 0x0b], &[]).special, Some(Special::Trap));
        assert_eq!(decoded(&[0xf4], &[]).special, Some(Special::Halt));
        assert_eq!(decoded(&[0xf7, 0xf9], &[(2, 0xffff_ffff_0000_0000)]).special, Some(Special::Divide(Some(0))));
        // call *%rax
        let got = decoded(&[0xff, 0xd0], &[(0, 0x4242_4242_4242_4242), (7, 0x5000)]);
        assert_eq!(got.special, Some(Special::Goto(Addr(0x4242_4242_4242_4242))));
    }

    #[test]
    fn an_instruction_cut_by_the_end_of_memory_is_unknown() {
        let memory = Memory::of_bytes(PC, &[0x48, 0x8b]);
        assert!(decode(&memory, Addr(PC), &Registers::unknown(Arch::X86_64), None).is_err());
    }

    #[test]
    fn an_unknown_register_gives_an_unknown_address() {
        let got = decoded(&[0x48, 0x63, 0x47, 0x10], &[]);
        assert_eq!(got.accesses.first().unwrap().operand.address(), None);
    }
}
