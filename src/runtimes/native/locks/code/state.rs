//! What is known at one instruction of x86-64 code: registers, and the locks that are held.
//!
//! Input: an instruction and the state before it. Output: the address of its memory operand, the value that it computes.
//! What is not followed is unknown, never guessed.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::capture::Memory;
use crate::model::Addr;

/// General registers.
pub(super) const GENERAL: usize = 16;
/// Locks held at once beyond this many are not followed.
const MAX_HELD: usize = 32;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Known(u64),
    /// What the caller left in that register.
    Entry(Register),
}

/// What is known before one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: [Option<Value>; GENERAL],
    /// Addresses of locks, sorted.
    pub(super) held: Vec<u64>,
    /// A compare-and-exchange whose success the next conditional jump tells.
    pub(super) tried: Option<u64>,
}

impl State {
    pub(super) fn get(&self, register: Register) -> Option<Value> {
        if !register.is_gpr() {
            return None;
        }
        *self.registers.get(register.full_register().number())?
    }

    pub(super) fn known(&self, register: Register) -> Option<u64> {
        match self.get(register)? {
            Value::Known(value) => Some(value),
            Value::Entry(_) => None,
        }
    }

    pub(super) fn set(&mut self, register: Register, value: Option<Value>) {
        if !register.is_gpr() {
            return;
        }
        // Writing 8 or 16 bits leaves the rest as it was.
        let value = if register.size() >= 4 { value } else { None };
        if let Some(slot) = self.registers.get_mut(register.full_register().number()) {
            *slot = value;
        }
    }

    pub(super) fn lock(&mut self, address: u64) {
        if let Err(place) = self.held.binary_search(&address)
            && self.held.len() < MAX_HELD
        {
            self.held.insert(place, address);
        }
    }

    pub(super) fn unlock(&mut self, address: u64) {
        self.held.retain(|held| *held != address);
    }

    /// Keeps what both agree on; whether that is less than before.
    pub(super) fn meet(&mut self, other: &State) -> bool {
        let before = self.clone();
        for (mine, theirs) in self.registers.iter_mut().zip(other.registers) {
            if *mine != theirs {
                *mine = None;
            }
        }
        self.held.retain(|held| other.held.binary_search(held).is_ok());
        if self.tried != other.tried {
            self.tried = None;
        }
        *self != before
    }

    /// The address of an instruction's memory operand.
    pub(super) fn address(&self, instruction: &Instruction) -> Option<u64> {
        if instruction.is_ip_rel_memory_operand() {
            return Some(instruction.ip_rel_memory_address());
        }
        if instruction.segment_prefix() != Register::None {
            return None;
        }
        let part = |register: Register| match register {
            Register::None => Some(0),
            register => self.known(register),
        };
        let index = part(instruction.memory_index())?.wrapping_mul(u64::from(instruction.memory_index_scale()));
        Some(part(instruction.memory_base())?.wrapping_add(index).wrapping_add(instruction.memory_displacement64()))
    }

    /// The register that an instruction computes from known values, and its value.
    pub(super) fn result(
        &self,
        memory: &Memory,
        instruction: &Instruction,
        address: Option<u64>,
    ) -> Option<(Register, Option<Value>)> {
        let stack = self.known(Register::RSP);
        match instruction.mnemonic() {
            Mnemonic::Push => return Some((Register::RSP, stack.and_then(|sp| sp.checked_sub(8)).map(Value::Known))),
            Mnemonic::Pop if instruction.op0_register() != Register::RSP => {
                return Some((Register::RSP, stack.and_then(|sp| sp.checked_add(8)).map(Value::Known)));
            }
            _ => {}
        }
        if instruction.op0_kind() != OpKind::Register || instruction.op_count() != 2 {
            return None;
        }
        let register = instruction.op0_register();
        let wide = register.size() == 8;
        let source = match instruction.op1_kind() {
            OpKind::Register if instruction.op1_register().size() == register.size() => {
                self.get(instruction.op1_register())
            }
            OpKind::Memory if instruction.mnemonic() == Mnemonic::Lea => address.map(Value::Known),
            OpKind::Memory => address.and_then(|at| {
                let value = if wide { memory.u64(Addr(at)).ok() } else { memory.u32(Addr(at)).ok().map(u64::from) };
                value.map(Value::Known)
            }),
            OpKind::Register => None,
            _ => instruction.try_immediate(1).ok().map(Value::Known),
        };
        let both = || match (self.known(register)?, source?) {
            (left, Value::Known(right)) => Some((left, right)),
            _ => None,
        };
        let same = instruction.op1_kind() == OpKind::Register && instruction.op1_register() == register;
        let value = match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Lea => source,
            Mnemonic::Xor | Mnemonic::Sub if same => Some(Value::Known(0)),
            Mnemonic::Add => both().map(|(left, right)| Value::Known(left.wrapping_add(right))),
            Mnemonic::Sub => both().map(|(left, right)| Value::Known(left.wrapping_sub(right))),
            Mnemonic::And => both().map(|(left, right)| Value::Known(left & right)),
            Mnemonic::Cmp | Mnemonic::Test => return None,
            _ => None,
        };
        // A 32-bit result clears the upper half; an argument of the caller's is not followed through that.
        let value = match value {
            Some(Value::Known(value)) if !wide => Some(Value::Known(value & 0xffff_ffff)),
            Some(Value::Entry(_)) if !wide => None,
            value => value,
        };
        Some((register, value))
    }
}
