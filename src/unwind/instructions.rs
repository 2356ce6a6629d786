//! Instructions of x86-64 code in the target, and what the two analyses of code without tables ask of one.

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register as Reg};

use crate::capture::Memory;
use crate::model::{Addr, Register};

/// Registers that a function must preserve: iced's name, DWARF number. Source: System V AMD64 psABI 1.0, 3.2.1 and figure 3.36.
pub(super) const PRESERVED: [(Reg, Register); 6] = [
    (Reg::RBX, Register(3)),
    (Reg::RBP, Register(6)),
    (Reg::R12, Register(12)),
    (Reg::R13, Register(13)),
    (Reg::R14, Register(14)),
    (Reg::R15, Register(15)),
];

/// Place of a register in [`PRESERVED`].
pub(super) fn preserved(register: Reg) -> Option<usize> {
    PRESERVED.iter().position(|(known, _)| *known == register)
}

/// Decodes instructions at addresses; remembers the segment of the last one.
pub(super) struct Instructions<'t> {
    memory: &'t Memory,
    start: u64,
    bytes: &'t [u8],
}

impl<'t> Instructions<'t> {
    /// Over the target's memory.
    pub(super) fn new(memory: &'t Memory) -> Instructions<'t> {
        Instructions { memory, start: 0, bytes: &[] }
    }

    /// The instruction at an address; `None` where there is none or its bytes are not at hand.
    pub(super) fn decode(&mut self, at: u64) -> Option<Instruction> {
        let offset = |start: u64| at.checked_sub(start).and_then(|offset| usize::try_from(offset).ok());
        let mut from = offset(self.start).unwrap_or(usize::MAX);
        if from >= self.bytes.len() {
            let segment = self.memory.segment_at(Addr(at))?;
            (self.start, self.bytes) = (segment.start.0, &segment.bytes);
            from = offset(self.start)?;
        }
        // 15 bytes are the longest instruction (Intel SDM volume 2, 2.3.11).
        let rest = self.bytes.get(from..)?;
        let rest = rest.get(..rest.len().min(15))?;
        let instruction = Decoder::with_ip(64, rest, at, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    /// Where `jmp *slot(%rip)` leads: a PLT entry's jump through the GOT.
    pub(super) fn slot(&self, instruction: &Instruction) -> Option<u64> {
        if !instruction.is_ip_rel_memory_operand() {
            return None;
        }
        self.memory.u64(Addr(instruction.ip_rel_memory_address())).ok()
    }
}

/// The constant that is added to or subtracted from a 64-bit register.
pub(super) fn immediate(instruction: &Instruction) -> Option<i64> {
    match instruction.op1_kind() {
        OpKind::Immediate8to64 | OpKind::Immediate32to64 => Some(instruction.immediate(1).cast_signed()),
        _ => None,
    }
}
