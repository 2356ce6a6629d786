//! Code without tables (x86-64), looked at from the other end: how will it return?
//!
//! From the place where the frame stands, the paths onward are followed until one returns. By then the stack pointer must have come back
//! to the return address, and what was popped on the way are the registers that the function had saved. Needs no function start, so it
//! serves for functions that are only called through pointers. Calls that never return mislead a path into the next function, so that
//! more than one answer is possible; which one is right is for the caller to judge by what lies on the stack.

use std::collections::VecDeque;

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, Register as Reg};
use rustc_hash::FxHashSet;

use super::instructions::{Instructions, PRESERVED, immediate, preserved};
use super::row::{Cfa, Row, Rule};
use crate::capture::Memory;
use crate::model::{Addr, Register};

/// Instructions looked at for one question.
const MAX_INSTRUCTIONS: usize = 2048;
/// Different answers that are worth trying.
const MAX_ANSWERS: usize = 4;

/// Rules under which the function that stands at `pc` may return, the nearest return first.
pub(super) fn returns_from(memory: &Memory, pc: Addr) -> Vec<Row> {
    let mut answers: Vec<Row> = Vec::new();
    let mut seen = FxHashSet::default();
    let mut paths = VecDeque::from([(pc.0, Unwound::HERE)]);
    let mut code = Instructions::new(memory);
    while let Some((mut at, mut state)) = paths.pop_front() {
        while seen.insert(at) && seen.len() <= MAX_INSTRUCTIONS {
            let Some(instruction) = code.decode(at) else { break };
            at = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Return => {
                    if let Some(row) = state.row().filter(|row| !answers.contains(row)) {
                        answers.push(row);
                    }
                    if answers.len() >= MAX_ANSWERS {
                        return answers;
                    }
                    break;
                }
                FlowControl::ConditionalBranch if instruction.op0_kind() == OpKind::NearBranch64 => {
                    paths.push_back((instruction.near_branch_target(), state));
                }
                FlowControl::UnconditionalBranch => at = instruction.near_branch_target(),
                FlowControl::IndirectBranch => match code.slot(&instruction) {
                    Some(target) => at = target,
                    None => break,
                },
                FlowControl::Interrupt | FlowControl::Exception => break,
                FlowControl::Next => state.execute(&instruction),
                FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::ConditionalBranch
                | FlowControl::XbeginXabortXend => {}
            }
        }
    }
    answers
}

/// A place on the stack: bytes above the value that a register has where the frame stands.
#[derive(Clone, Copy, PartialEq, Eq)]
struct At {
    base: Register,
    offset: i64,
}

impl At {
    fn above(self, bytes: i64) -> Option<At> {
        Some(At { offset: self.offset.checked_add(bytes)?, ..self })
    }
}

/// Where a preserved register's old value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Still in the register.
    Untouched,
    /// On the stack.
    Saved(At),
    /// Overwritten, and not (yet) restored.
    Lost,
}

const STACK: Register = Register(7);
const FRAME: Register = Register(6);

#[derive(Clone, Copy)]
struct Unwound {
    stack: Option<At>,
    /// Bytes at the top of the stack that were pushed on the path itself.
    fresh: i64,
    values: [Value; PRESERVED.len()],
}

impl Unwound {
    const HERE: Unwound =
        Unwound { stack: Some(At { base: STACK, offset: 0 }), fresh: 0, values: [Value::Untouched; PRESERVED.len()] };

    /// The rules, where the stack pointer now points to the return address.
    fn row(&self) -> Option<Row> {
        let slot = self.stack.filter(|slot| self.fresh == 0 && slot.offset >= 0)?;
        let cfa = slot.above(8)?;
        let saved = PRESERVED.iter().zip(self.values).filter_map(|((_, register), value)| match value {
            Value::Untouched => None,
            Value::Saved(at) if at.base == cfa.base => {
                Some((*register, Rule::Saved(at.offset.checked_sub(cfa.offset)?)))
            }
            Value::Saved(_) | Value::Lost => Some((*register, Rule::Undefined)),
        });
        let rules = saved.chain([(Register(16), Rule::Saved(-8))]).collect();
        Some(Row { cfa: Cfa::Offset(cfa.base, cfa.offset), rules, return_address: Register(16), signal: false })
    }

    fn execute(&mut self, instruction: &Instruction) {
        let operand = instruction.op0_register();
        match instruction.mnemonic() {
            Mnemonic::Pop => {
                let from = self.stack.filter(|_| self.fresh == 0);
                self.pop(i64::from(instruction.stack_pointer_increment()));
                self.write(operand, from);
            }
            Mnemonic::Leave => {
                self.stack = self.frame_pointer();
                self.fresh = 0;
                let from = self.stack;
                self.pop(8);
                self.write(Reg::RBP, from);
            }
            Mnemonic::Mov if operand == Reg::RSP => {
                self.stack = if instruction.op1_register() == Reg::RBP { self.frame_pointer() } else { None };
                self.fresh = 0;
            }
            Mnemonic::Mov if instruction.code() == Code::Mov_r64_rm64 && instruction.op1_kind() == OpKind::Memory => {
                self.write(operand, self.operand(instruction));
            }
            Mnemonic::Lea if operand == Reg::RSP => {
                let to = self.address(instruction);
                match (self.stack, to) {
                    (Some(old), Some(new)) if old.base == new.base => self.pop(new.offset.saturating_sub(old.offset)),
                    _ => (self.stack, self.fresh) = (to, 0),
                }
            }
            Mnemonic::Add | Mnemonic::Sub if operand == Reg::RSP => match immediate(instruction) {
                Some(bytes) if instruction.mnemonic() == Mnemonic::Add => self.pop(bytes),
                Some(bytes) => self.pop(bytes.saturating_neg()),
                None => self.stack = None,
            },
            Mnemonic::Cmp | Mnemonic::Test => {}
            _ if instruction.is_stack_instruction() => self.pop(i64::from(instruction.stack_pointer_increment())),
            _ if instruction.op0_kind() == OpKind::Register => self.write(operand.full_register(), None),
            _ => {}
        }
    }

    /// The stack pointer moves up (down where negative: what is pushed now is fresh).
    fn pop(&mut self, bytes: i64) {
        self.stack = self.stack.and_then(|stack| stack.above(bytes));
        self.fresh = self.fresh.saturating_sub(bytes).max(0);
    }

    /// rbp as a place on the stack: its value is that of where the frame stands, as long as nothing wrote to it.
    fn frame_pointer(&self) -> Option<At> {
        let index = preserved(Reg::RBP)?;
        (*self.values.get(index)? == Value::Untouched).then_some(At { base: FRAME, offset: 0 })
    }

    fn write(&mut self, register: Reg, from: Option<At>) {
        if register == Reg::RSP {
            self.stack = None;
        }
        if let Some(value) = preserved(register).and_then(|index| self.values.get_mut(index)) {
            *value = from.map_or(Value::Lost, Value::Saved);
        }
    }

    /// The place of a memory operand, where it held its value before the path began.
    fn operand(&self, instruction: &Instruction) -> Option<At> {
        let at = self.address(instruction)?;
        let top = self.stack?;
        let fresh = at.base == top.base && at.offset < top.offset.checked_add(self.fresh)?;
        (!fresh).then_some(at)
    }

    fn address(&self, instruction: &Instruction) -> Option<At> {
        let base = match instruction.memory_base() {
            Reg::RSP => self.stack?,
            Reg::RBP => self.frame_pointer()?,
            _ => return None,
        };
        if instruction.memory_index() != Reg::None {
            return None;
        }
        base.above(instruction.memory_displacement64().cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(code: &[u8], offset: u64) -> Vec<Row> {
        returns_from(&Memory::of_bytes(0x1000, code), Addr(0x1000 + offset))
    }

    fn row(cfa: (u16, i64), rules: &[(u16, Rule)]) -> Row {
        let rules = rules.iter().map(|(register, rule)| (Register(*register), *rule));
        Row {
            cfa: Cfa::Offset(Register(cfa.0), cfa.1),
            rules: rules.chain([(Register(16), Rule::Saved(-8))]).collect(),
            return_address: Register(16),
            signal: false,
        }
    }

    #[test]
    fn what_is_popped_before_the_return_was_saved() {
        // 0 add $0x18,%rsp | 4 pop %rbx | 5 pop %rbp | 6 pop %r12 | 8 ret
        let code = [0x48, 0x83, 0xc4, 0x18, 0x5b, 0x5d, 0x41, 0x5c, 0xc3];
        let saved = [(3, Rule::Saved(-32)), (6, Rule::Saved(-24)), (12, Rule::Saved(-16))];
        assert_eq!(rows(&code, 0), [row((7, 56), &saved)]);
        assert_eq!(rows(&code, 8), [row((7, 8), &[])]);
    }

    #[test]
    fn leave_goes_through_the_frame_pointer() {
        // 0 mov -8(%rbp),%rbx | 4 leave | 5 ret
        let code = [0x48, 0x8b, 0x5d, 0xf8, 0xc9, 0xc3];
        assert_eq!(rows(&code, 0), [row((6, 16), &[(3, Rule::Saved(-24)), (6, Rule::Saved(-16))])]);
    }

    #[test]
    fn what_the_path_itself_pushes_is_not_mistaken_for_saved() {
        // 0 push %rbx | 1 pop %rbx | 2 pop %rbp | 3 ret
        let code = [0x53, 0x5b, 0x5d, 0xc3];
        assert_eq!(rows(&code, 0), [row((7, 16), &[(3, Rule::Undefined), (6, Rule::Saved(-16))])]);
    }

    #[test]
    fn each_way_to_return_is_an_answer() {
        // 0 je 4 | 2 pop %rbx | 3 ret | 4 add $8,%rsp | 8 pop %rbx | 9 ret
        let code = [0x74, 0x02, 0x5b, 0xc3, 0x48, 0x83, 0xc4, 0x08, 0x5b, 0xc3];
        let found = rows(&code, 0);
        assert_eq!(found, [row((7, 16), &[(3, Rule::Saved(-16))]), row((7, 24), &[(3, Rule::Saved(-16))])]);
    }

    #[test]
    fn code_that_never_returns_has_no_answer() {
        assert!(rows(&[0xeb, 0xfe], 0).is_empty()); // jmp .
        assert!(rows(&[0x90], 0).is_empty()); // nop, then nothing
    }
}
