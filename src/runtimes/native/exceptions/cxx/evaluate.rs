//! Runs a small function of the target on paper: what `what()` would return, from the dump's own code and data.
//!
//! Overrides of `std::exception::what` are nearly always a constant, a member, or a string's `c_str`. This evaluates
//! such x86-64 code instruction by instruction over the dump's memory, which it cannot change: stores reach a private
//! stack only. Anything else (another instruction, an unknown value, a store elsewhere, a branch on an unknown flag)
//! ends it without an answer, so that an answer is what the function would have returned.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register as Iced};
use rustc_hash::FxHashMap;

use super::super::x86::general;
use crate::capture::Memory;
use crate::model::{Addr, Arch, Gap, Known, Register, Registers};

/// Instructions that a call may take.
const MAX_STEPS: usize = 2000;
/// The private stack's top: in the kernel's half, where no memory of the process can be.
const STACK_TOP: u64 = 0xffff_8000_0000_0000;
const STACK_BYTES: u64 = 1 << 16;
const RETURN: u64 = STACK_TOP;
const MAX_INSTRUCTION: u64 = 15;

const RDI: Register = Register(5);
const RSP: Register = Register(7);
/// rbx, rbp, r12 to r15 need no value: what a function saves of them is never used for its result.
const SAVED: [u16; 6] = [3, 6, 12, 13, 14, 15];

/// What the function returns for this first argument.
pub(super) fn call(memory: &Memory, arch: Arch, function: Addr, argument: Addr) -> Known<Addr> {
    if arch != Arch::X86_64 {
        return Err(Gap::Unsupported(format!("evaluating {arch} code")));
    }
    let mut registers = Registers::unknown(arch);
    registers.set(RDI, argument.0);
    registers.set(RSP, STACK_TOP - 8);
    for number in SAVED {
        registers.set(Register(number), 0);
    }
    let mut machine = Machine { memory, registers, stack: FxHashMap::default(), zero: None };
    machine.store(STACK_TOP - 8, 8, RETURN)?;
    let mut at = function;
    for _ in 0..MAX_STEPS {
        if at.0 == RETURN {
            return machine.get(Iced::RAX).map(Addr);
        }
        at = machine.step(at)?;
    }
    Err(Gap::Unsupported(format!("the function at {function} runs for more than {MAX_STEPS} instructions")))
}

struct Machine<'a> {
    memory: &'a Memory,
    registers: Registers,
    stack: FxHashMap<u64, u8>,
    /// The zero flag, where the last instruction that set it had a known result.
    zero: Option<bool>,
}

fn refuse(instruction: &Instruction) -> Gap {
    Gap::Unsupported(format!(
        "the function computes its text ({:?} at {:#x})",
        instruction.mnemonic(),
        instruction.ip()
    ))
}

impl Machine<'_> {
    /// Runs one instruction; gives the next one's address.
    fn step(&mut self, at: Addr) -> Known<Addr> {
        let bytes = self.memory.slice_up_to(at, MAX_INSTRUCTION)?;
        let instruction = Decoder::with_ip(64, bytes, at.0, DecoderOptions::NONE).decode();
        let next = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next => self.plain(&instruction)?,
            FlowControl::Return => return self.pop().map(Addr),
            FlowControl::UnconditionalBranch => return Ok(Addr(instruction.near_branch_target())),
            FlowControl::IndirectBranch => return self.source(&instruction, 0).map(Addr),
            FlowControl::Call => {
                self.push(next)?;
                return Ok(Addr(instruction.near_branch_target()));
            }
            FlowControl::IndirectCall => {
                let to = self.source(&instruction, 0)?;
                self.push(next)?;
                return Ok(Addr(to));
            }
            FlowControl::ConditionalBranch => {
                let zero = self.zero.ok_or_else(|| refuse(&instruction))?;
                let taken = match instruction.mnemonic() {
                    Mnemonic::Je => zero,
                    Mnemonic::Jne => !zero,
                    _ => return Err(refuse(&instruction)),
                };
                return Ok(Addr(if taken { instruction.near_branch_target() } else { next }));
            }
            _ => return Err(refuse(&instruction)),
        }
        Ok(Addr(next))
    }

    fn plain(&mut self, instruction: &Instruction) -> Known<()> {
        match instruction.mnemonic() {
            Mnemonic::Nop | Mnemonic::Endbr64 => Ok(()),
            Mnemonic::Push => {
                let value = self.source(instruction, 0)?;
                self.push(value)
            }
            Mnemonic::Pop => {
                let value = self.pop()?;
                self.write(instruction, value)
            }
            Mnemonic::Leave => {
                let frame = self.get(Iced::RBP)?;
                self.registers.set(RSP, frame);
                let value = self.pop()?;
                self.registers.set(Register(6), value);
                Ok(())
            }
            Mnemonic::Mov | Mnemonic::Movzx => {
                let value = self.source(instruction, 1)?;
                self.write(instruction, value)
            }
            Mnemonic::Lea => {
                let value = self.address(instruction)?;
                self.write(instruction, value)
            }
            Mnemonic::Xor | Mnemonic::Sub if same_registers(instruction) => {
                self.zero = Some(true);
                self.write(instruction, 0)
            }
            Mnemonic::Add => self.arithmetic(instruction, true, u64::wrapping_add),
            Mnemonic::Sub => self.arithmetic(instruction, true, u64::wrapping_sub),
            Mnemonic::And => self.arithmetic(instruction, true, |a, b| a & b),
            Mnemonic::Or => self.arithmetic(instruction, true, |a, b| a | b),
            Mnemonic::Test => self.arithmetic(instruction, false, |a, b| a & b),
            Mnemonic::Cmp => self.arithmetic(instruction, false, u64::wrapping_sub),
            _ => Err(refuse(instruction)),
        }
    }

    fn arithmetic(&mut self, instruction: &Instruction, keep: bool, apply: fn(u64, u64) -> u64) -> Known<()> {
        let size = operand_size(instruction, 0).ok_or_else(|| refuse(instruction))?;
        let result = truncate(apply(self.source(instruction, 0)?, self.source(instruction, 1)?), size);
        self.zero = Some(result == 0);
        if keep { self.write(instruction, result) } else { Ok(()) }
    }

    fn source(&self, instruction: &Instruction, operand: u32) -> Known<u64> {
        match instruction.op_kind(operand) {
            OpKind::Register => self.get(instruction.op_register(operand)),
            OpKind::Memory => {
                let size = operand_size(instruction, operand).ok_or_else(|| refuse(instruction))?;
                self.load(self.address(instruction)?, size)
            }
            OpKind::NearBranch64 => Ok(instruction.near_branch_target()),
            _ => instruction.try_immediate(operand).map_err(|_| refuse(instruction)),
        }
    }

    /// Stores a value to the first operand.
    fn write(&mut self, instruction: &Instruction, value: u64) -> Known<()> {
        match instruction.op0_kind() {
            OpKind::Register => {
                let register = instruction.op0_register();
                let (_, number) = general(register).ok_or_else(|| refuse(instruction))?;
                let merged = match register.size() {
                    8 => value,
                    // A 32-bit result clears the upper half. Source: Intel SDM volume 1, section 3.4.1.1.
                    4 => truncate(value, 4),
                    _ => return Err(refuse(instruction)),
                };
                self.registers.set(number, merged);
                Ok(())
            }
            OpKind::Memory => {
                let size = operand_size(instruction, 0).ok_or_else(|| refuse(instruction))?;
                self.store(self.address(instruction)?, size, value)
            }
            _ => Err(refuse(instruction)),
        }
    }

    fn address(&self, instruction: &Instruction) -> Known<u64> {
        if instruction.is_ip_rel_memory_operand() {
            return Ok(instruction.ip_rel_memory_address());
        }
        if matches!(instruction.memory_segment(), Iced::FS | Iced::GS) && instruction.mnemonic() != Mnemonic::Lea {
            return Err(refuse(instruction));
        }
        let mut sum = instruction.memory_displacement64();
        if instruction.memory_base() != Iced::None {
            sum = sum.wrapping_add(self.get(instruction.memory_base())?);
        }
        if instruction.memory_index() != Iced::None {
            let scale = u64::from(instruction.memory_index_scale());
            sum = sum.wrapping_add(self.get(instruction.memory_index())?.wrapping_mul(scale));
        }
        Ok(sum)
    }

    fn get(&self, register: Iced) -> Known<u64> {
        let unknown = || Gap::Unsupported(format!("the function uses {register:?}, whose value is not known"));
        if matches!(register, Iced::AH | Iced::BH | Iced::CH | Iced::DH) {
            return Err(unknown());
        }
        let (_, number) = general(register).ok_or_else(unknown)?;
        self.registers.get(number).map(|value| truncate(value, register.size())).ok_or_else(unknown)
    }

    fn load(&self, at: u64, size: usize) -> Known<u64> {
        let mut bytes = [0; 8];
        let wanted = bytes.get_mut(..size).ok_or_else(|| Gap::Unsupported("a wide load".to_owned()))?;
        if is_private(at) {
            for (offset, byte) in wanted.iter_mut().enumerate() {
                let from = at.wrapping_add(offset as u64);
                *byte = *self.stack.get(&from).ok_or_else(|| Gap::Unsupported("an unset local".to_owned()))?;
            }
        } else {
            self.memory.read(Addr(at), wanted)?;
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn store(&mut self, at: u64, size: usize, value: u64) -> Known<()> {
        if !is_private(at) || !is_private(at.wrapping_add(size as u64).wrapping_sub(1)) {
            return Err(Gap::Unsupported("the function changes memory".to_owned()));
        }
        for (offset, byte) in value.to_le_bytes().iter().take(size).enumerate() {
            self.stack.insert(at.wrapping_add(offset as u64), *byte);
        }
        Ok(())
    }

    fn push(&mut self, value: u64) -> Known<()> {
        let at = self.get(Iced::RSP)?.wrapping_sub(8);
        self.registers.set(RSP, at);
        self.store(at, 8, value)
    }

    fn pop(&mut self) -> Known<u64> {
        let at = self.get(Iced::RSP)?;
        self.registers.set(RSP, at.wrapping_add(8));
        self.load(at, 8)
    }
}

fn is_private(at: u64) -> bool {
    (STACK_TOP - STACK_BYTES..STACK_TOP).contains(&at)
}

fn truncate(value: u64, size: usize) -> u64 {
    match size {
        1 => value & 0xff,
        2 => value & 0xffff,
        4 => value & 0xffff_ffff,
        _ => value,
    }
}

fn operand_size(instruction: &Instruction, operand: u32) -> Option<usize> {
    let size = match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).size(),
        OpKind::Memory => instruction.memory_size().size(),
        _ => 8,
    };
    (1..=8).contains(&size).then_some(size)
}

fn same_registers(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
        && instruction.code() != Code::INVALID
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Origin, Segment};
    use symbols::FileBytes;

    const CODE: u64 = 0x1000;
    const OBJECT: u64 = 0x2000;

    fn run(code: &[u8]) -> Known<Addr> {
        let object: Vec<u8> = [0x3000u64, 0x4000, 0x5000].iter().flat_map(|word| word.to_le_bytes()).collect();
        let segment = |start, bytes: Vec<u8>| Segment {
            start: Addr(start),
            bytes: FileBytes::from_vec(bytes),
            origin: Origin::Dump,
        };
        let memory = Memory::new(vec![segment(CODE, code.to_vec()), segment(OBJECT, object)], Vec::new());
        call(&memory, Arch::X86_64, Addr(CODE), Addr(OBJECT))
    }

    // Encodings are as GNU as prints them for the text in each comment.

    #[test]
    fn a_constant_is_an_address_relative_to_the_code() {
        // endbr64; lea 0x10(%rip),%rax; ret
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8d, 0x05, 0x10, 0, 0, 0, 0xc3];
        assert_eq!(run(&code), Ok(Addr(CODE + 11 + 0x10)));
    }

    #[test]
    fn a_member_is_read_from_the_object() {
        // mov 0x8(%rdi),%rax; ret
        assert_eq!(run(&[0x48, 0x8b, 0x47, 0x08, 0xc3]), Ok(Addr(0x4000)));
    }

    #[test]
    fn code_without_optimisation_goes_through_its_own_stack() {
        // push %rbp; mov %rsp,%rbp; sub $0x10,%rsp; mov %rdi,-0x8(%rbp); mov -0x8(%rbp),%rax; mov 0x10(%rax),%rax; leave; ret
        let code = [
            0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x10, 0x48, 0x89, 0x7d, 0xf8, 0x48, 0x8b, 0x45, 0xf8, 0x48, 0x8b,
            0x40, 0x10, 0xc9, 0xc3,
        ];
        assert_eq!(run(&code), Ok(Addr(0x5000)));
    }

    #[test]
    fn a_branch_follows_the_value_it_tests() {
        // test %rdi,%rdi; je +5; mov 0x8(%rdi),%rax; ret; xor %eax,%eax; ret
        let code = [0x48, 0x85, 0xff, 0x74, 0x05, 0x48, 0x8b, 0x47, 0x08, 0xc3, 0x31, 0xc0, 0xc3];
        assert_eq!(run(&code), Ok(Addr(0x4000)));
    }

    #[test]
    fn a_store_to_the_object_is_refused() {
        // mov %rdi,0x8(%rdi); ret
        assert!(run(&[0x48, 0x89, 0x7f, 0x08, 0xc3]).is_err());
    }

    #[test]
    fn an_endless_loop_ends() {
        // jmp .
        assert!(run(&[0xeb, 0xfe]).is_err());
    }

    #[test]
    fn an_unknown_register_gives_no_answer() {
        // mov %rsi,%rax; ret
        assert!(run(&[0x48, 0x89, 0xf0, 0xc3]).is_err());
        // call to nowhere: the code ends before it returns
        assert!(run(&[0xe8, 0, 0, 0, 0]).is_err());
    }
}
