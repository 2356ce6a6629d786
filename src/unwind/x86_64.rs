//! x86-64 instructions as [`Op`]s.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register as Reg};

use super::ops::{Base, Effect, Op, Way};
use crate::capture::Memory;
use crate::model::Addr;

/// The longest instruction (Intel SDM volume 2, 2.3.11).
const LONGEST: usize = 15;

/// The instruction that `code`, which lies at `address`, begins with. Jumps through the GOT are resolved in `memory`.
pub(super) fn decode(code: &[u8], address: u64, memory: &Memory) -> Option<Op> {
    let code = code.get(..code.len().min(LONGEST))?;
    let instruction = Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return None;
    }
    let op = Op::plain(instruction.next_ip(), way(&instruction, memory));
    Some(match op.way {
        Way::On => effects(&instruction, op),
        _ => op,
    })
}

fn way(instruction: &Instruction, memory: &Memory) -> Way {
    match instruction.flow_control() {
        FlowControl::Next => Way::On,
        FlowControl::Call | FlowControl::IndirectCall => Way::Call,
        FlowControl::ConditionalBranch if instruction.op0_kind() == OpKind::NearBranch64 => {
            Way::Maybe(instruction.near_branch_target())
        }
        FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => Way::On,
        FlowControl::UnconditionalBranch => Way::Jump(instruction.near_branch_target()),
        // `jmp *slot(%rip)`: a PLT entry's jump through the GOT.
        FlowControl::IndirectBranch if instruction.is_ip_rel_memory_operand() => {
            memory.u64(Addr(instruction.ip_rel_memory_address())).map_or(Way::Computed, Way::Jump)
        }
        FlowControl::IndirectBranch => Way::Computed,
        FlowControl::Return => Way::Return,
        FlowControl::Interrupt | FlowControl::Exception => Way::Stop,
    }
}

fn effects(instruction: &Instruction, op: Op) -> Op {
    let operand = instruction.op0_register();
    let moved = Effect::Stack(i64::from(instruction.stack_pointer_increment()));
    match instruction.mnemonic() {
        Mnemonic::Push => match preserved(operand) {
            Some(index) => op.with(&[moved, Effect::Store(index, Base::Stack, 0)]),
            None => op.with(&[moved]),
        },
        Mnemonic::Pop => match preserved(operand) {
            Some(index) => op.with(&[Effect::Load(index, Base::Stack, 0), moved]),
            None => op.with(&[moved, written(operand)]),
        },
        Mnemonic::Leave => op.with(&[Effect::StackAtFrame(0), Effect::Load(RBP, Base::Stack, 0), Effect::Stack(8)]),
        Mnemonic::Mov if operand == Reg::RSP || operand == Reg::RBP => {
            match (operand, base(instruction.op1_register())) {
                (Reg::RSP, Some(from)) => op.with(&[Effect::stack_at(from, 0)]),
                (Reg::RBP, Some(from)) => op.with(&[Effect::FrameAt(from, 0)]),
                _ => op.with(&[loaded(instruction)]),
            }
        }
        Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => {
            match (preserved(instruction.op1_register()), place(instruction)) {
                (Some(index), Some((base, offset))) => op.with(&[Effect::Store(index, base, offset)]),
                _ => op,
            }
        }
        Mnemonic::Mov => op.with(&[loaded(instruction)]),
        Mnemonic::Lea => match (operand, place(instruction)) {
            (Reg::RSP, Some((base, offset))) => op.with(&[Effect::stack_at(base, offset)]),
            (Reg::RBP, Some((base, offset))) => op.with(&[Effect::FrameAt(base, offset)]),
            _ => op.with(&[written(operand)]),
        },
        Mnemonic::Add | Mnemonic::Sub if operand == Reg::RSP => match immediate(instruction) {
            Some(bytes) if instruction.mnemonic() == Mnemonic::Add => op.with(&[Effect::Stack(bytes)]),
            Some(bytes) => op.with(&[Effect::Stack(bytes.saturating_neg())]),
            None => op.with(&[Effect::StackLost]),
        },
        Mnemonic::Cmp | Mnemonic::Test => op,
        Mnemonic::Xchg => op.with(&[written(operand), written(instruction.op1_register())]),
        _ if instruction.is_stack_instruction() => op.with(&[moved]),
        _ if instruction.op0_kind() == OpKind::Register => op.with(&[written(operand)]),
        _ => op,
    }
}

/// Place of rbp among the preserved registers.
const RBP: usize = 1;

/// Place of a 64-bit register among the preserved ones, in the order of [`super::ops::preserved`].
fn preserved(register: Reg) -> Option<usize> {
    [Reg::RBX, Reg::RBP, Reg::R12, Reg::R13, Reg::R14, Reg::R15].iter().position(|known| *known == register)
}

fn base(register: Reg) -> Option<Base> {
    match register {
        Reg::RSP => Some(Base::Stack),
        Reg::RBP => Some(Base::Frame),
        _ => None,
    }
}

/// A memory operand on the stack.
fn place(instruction: &Instruction) -> Option<(Base, i64)> {
    let base = base(instruction.memory_base()).filter(|_| instruction.memory_index() == Reg::None)?;
    Some((base, instruction.memory_displacement64().cast_signed()))
}

fn loaded(instruction: &Instruction) -> Effect {
    let register = instruction.op0_register();
    match (preserved(register), place(instruction)) {
        (Some(index), Some((base, offset))) if instruction.op1_kind() == OpKind::Memory => {
            Effect::Load(index, base, offset)
        }
        _ => written(register),
    }
}

fn written(register: Reg) -> Effect {
    match register.full_register() {
        Reg::RSP => Effect::StackLost,
        full => preserved(full).map_or(Effect::Nothing, Effect::Write),
    }
}

/// The constant that is added to or subtracted from a 64-bit register.
fn immediate(instruction: &Instruction) -> Option<i64> {
    match instruction.op1_kind() {
        OpKind::Immediate8to64 | OpKind::Immediate32to64 => Some(instruction.immediate(1).cast_signed()),
        _ => None,
    }
}
