//! Code without tables, looked at from the other end: how will it return?
//!
//! From the place where the frame stands, the paths onward are followed until one returns. By then the stack pointer
//! must have come back to the frame's base, and what was loaded on the way are the registers that the function had
//! saved. Needs no function start, so it serves for functions that are only called through pointers. Calls that never
//! return mislead a path into the next function, so that more than one answer is possible; which one is right is for
//! the caller to judge by what lies on the stack.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use super::instructions::Ops;
use super::ops::{Base, Effect, MAX_PRESERVED, Way, frame_pointer, link_register, preserved};
use super::rules::{Cfa, Row, Rule};
use crate::capture::Memory;
use crate::model::{Addr, Arch};

/// Instructions looked at for one question.
pub(super) const MAX_INSTRUCTIONS: usize = 2048;
/// Different answers that are worth trying.
const MAX_ANSWERS: usize = 4;

/// Rules under which the function that stands at `pc` may return, the nearest return first. `returns`: it stands behind
/// a call, which has overwritten a link register.
pub(super) fn returns_from(memory: &Memory, arch: Arch, pc: Addr, returns: bool) -> Vec<Row> {
    let mut answers: Vec<Row> = Vec::new();
    let mut seen = FxHashSet::default();
    let mut paths = VecDeque::from([(pc.0, Unwound::here(arch, returns))]);
    let mut code = Ops::new(memory, arch);
    while let Some((mut at, mut state)) = paths.pop_front() {
        while seen.insert(at) && seen.len() <= MAX_INSTRUCTIONS {
            let Some(op) = code.at(at) else { break };
            for effect in op.effects {
                state.apply(effect);
            }
            at = op.next;
            match op.way {
                Way::On | Way::Call => {}
                Way::Maybe(target) => paths.push_back((target, state)),
                Way::Jump(target) => at = target,
                Way::Computed | Way::Stop => break,
                Way::Return => {
                    if let Some(row) = state.row().filter(|row| !answers.contains(row)) {
                        answers.push(row);
                    }
                    if answers.len() >= MAX_ANSWERS {
                        return answers;
                    }
                    break;
                }
            }
        }
    }
    answers
}

/// A place on the stack: bytes above the value that a register has where the frame stands.
#[derive(Clone, Copy, PartialEq, Eq)]
struct At {
    base: Base,
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

#[derive(Clone, Copy)]
struct Unwound {
    arch: Arch,
    stack: Option<At>,
    /// Bytes at the top of the stack that the path itself has put there.
    fresh: i64,
    /// Where the frame pointer register points, once the path has set it.
    pointer: Option<At>,
    values: [Value; MAX_PRESERVED],
    /// Where the path itself has stored registers that it had not changed.
    stored: [Option<At>; MAX_PRESERVED],
}

impl Unwound {
    fn here(arch: Arch, returns: bool) -> Unwound {
        let mut values = [Value::Untouched; MAX_PRESERVED];
        if returns && let Some(value) = link_register(arch).and_then(|link| values.get_mut(link)) {
            *value = Value::Lost;
        }
        let stack = Some(At { base: Base::Stack, offset: 0 });
        Unwound { arch, stack, fresh: 0, pointer: None, values, stored: [None; MAX_PRESERVED] }
    }

    /// The rules, where the function now returns.
    fn row(&self) -> Option<Row> {
        let top = self.stack.filter(|top| self.fresh == 0 && top.offset >= 0)?;
        let cfa = match link_register(self.arch) {
            Some(link) if *self.values.get(link)? == Value::Lost => return None,
            Some(_) => top,
            None => top.above(8)?,
        };
        let saved = preserved(self.arch).iter().zip(self.values).filter_map(|(register, value)| match value {
            Value::Untouched => None,
            Value::Saved(at) if at.base == cfa.base => {
                Some((*register, Rule::Saved(at.offset.checked_sub(cfa.offset)?)))
            }
            Value::Saved(_) | Value::Lost => Some((*register, Rule::Undefined)),
        });
        let base = match cfa.base {
            Base::Stack => self.arch.stack_pointer(),
            Base::Frame => self.arch.frame_pointer(),
        };
        Some(Row::derived(self.arch, Cfa::Offset(base, cfa.offset), saved))
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Store(index, base, offset) => {
                let place = self.place(base, offset);
                if let (Some(Value::Untouched), Some(stored)) = (self.values.get(index), self.stored.get_mut(index)) {
                    *stored = place;
                }
            }
            Effect::Stack(bytes) => {
                self.stack = self.stack.and_then(|top| top.above(bytes));
                self.fresh = self.fresh.saturating_sub(bytes).max(0);
            }
            Effect::StackAtFrame(offset) => {
                self.stack = self.place(Base::Frame, offset);
                // What lies below the stack pointer that the frame has, the path has put there.
                let below =
                    self.stack.filter(|top| top.base == Base::Stack).map_or(0, |top| top.offset.saturating_neg());
                self.fresh = below.max(0);
            }
            Effect::StackLost => self.stack = None,
            Effect::FrameAt(base, offset) => {
                let place = self.place(base, offset);
                self.write(frame_pointer(self.arch), Value::Lost);
                self.pointer = place;
            }
            Effect::Load(index, base, offset) => {
                let value = match self.place(base, offset) {
                    Some(at) if self.stored.get(index) == Some(&Some(at)) => Value::Untouched,
                    Some(at) if !self.is_fresh(at) => Value::Saved(at),
                    _ => Value::Lost,
                };
                self.write(index, value);
            }
            Effect::Write(index) => self.write(index, Value::Lost),
        }
    }

    fn write(&mut self, index: usize, value: Value) {
        if index == frame_pointer(self.arch) {
            self.pointer = None;
        }
        if let Some(slot) = self.values.get_mut(index) {
            *slot = value;
        }
    }

    /// A place that an instruction names. The frame pointer counts as long as nothing wrote to it.
    fn place(&self, base: Base, offset: i64) -> Option<At> {
        match base {
            Base::Stack => self.stack?.above(offset),
            Base::Frame if self.pointer.is_some() => self.pointer?.above(offset),
            Base::Frame => {
                let untouched = *self.values.get(frame_pointer(self.arch))? == Value::Untouched;
                untouched.then_some(At { base, offset })
            }
        }
    }

    fn is_fresh(&self, at: At) -> bool {
        self.stack.is_some_and(|top| at.base == top.base && at.offset < top.offset.saturating_add(self.fresh))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Register;

    fn rows(code: &[u8], offset: u64) -> Vec<Row> {
        returns_from(&Memory::of_bytes(0x1000, code), Arch::X86_64, Addr(0x1000 + offset), false)
    }

    fn row(cfa: (u16, i64), rules: &[(u16, Rule)]) -> Row {
        let rules = rules.iter().map(|(register, rule)| (Register(*register), *rule));
        Row::derived(Arch::X86_64, Cfa::Offset(Register(cfa.0), cfa.1), rules)
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
        // 0 push %rbx | 1 pop %r12 | 3 pop %rbp | 4 ret
        let code = [0x53, 0x41, 0x5c, 0x5d, 0xc3];
        assert_eq!(rows(&code, 0), [row((7, 16), &[(6, Rule::Saved(-16)), (12, Rule::Undefined)])]);
    }

    #[test]
    fn at_its_first_instructions_a_function_has_saved_nothing_yet() {
        // 0 push %rbp | 1 mov %rsp,%rbp | 4 push %rbx | 5 sub $0x18,%rsp | 9 mov -8(%rbp),%rbx | d leave | e ret
        let code = [0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x83, 0xec, 0x18, 0x48, 0x8b, 0x5d, 0xf8, 0xc9, 0xc3];
        assert_eq!(rows(&code, 0), [row((7, 8), &[])], "the caller's registers are all untouched");
        assert_eq!(rows(&code, 1), [row((7, 16), &[(6, Rule::Saved(-16))])]);
        assert_eq!(rows(&code, 5), [row((6, 16), &[(3, Rule::Saved(-24)), (6, Rule::Saved(-16))])]);
        assert_eq!(rows(&code, 0xe), [row((7, 8), &[])]);
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

    #[test]
    fn an_aarch64_function_that_called_returns_through_what_it_loads() {
        // 0 ldr x19, [sp, #16] | 4 ldp x29, x30, [sp], #32 | 8 ret
        let code: Vec<u8> =
            [0xf940_0bf3u32, 0xa8c2_7bfd, 0xd65f_03c0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let rows = |offset: u64, returns| {
            returns_from(&Memory::of_bytes(0x1000, &code), Arch::Aarch64, Addr(0x1000 + offset), returns)
        };
        let saved = [(19, Rule::Saved(-16)), (29, Rule::Saved(-32)), (30, Rule::Saved(-24))];
        let saved = saved.map(|(register, rule)| (Register(register), rule));
        let cfa = |distance| Cfa::Offset(Register(31), distance);
        assert_eq!(rows(0, true), [Row::derived(Arch::Aarch64, cfa(32), saved.into_iter())]);
        assert_eq!(rows(8, false), [Row::derived(Arch::Aarch64, cfa(0), std::iter::empty())]);
        assert!(rows(8, true).is_empty(), "the call has overwritten x30");
    }
}
