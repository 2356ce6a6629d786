//! Code without tables: where is the return address, judged from the instructions?
//!
//! Starting at a function's first instruction, every path is followed and the distance of the stack pointer from the
//! frame's base is counted along, until the wanted instruction is reached. The result is the same kind of [`Row`] that
//! tables give. Jumps into other functions (tail calls) and through the GOT (PLT entries) are followed, so that a
//! call's stated target and the place where the callee really stands can be compared. Computed jumps end a path.

use rustc_hash::FxHashSet;

use super::instructions::Ops;
use super::ops::{Base, Effect, MAX_PRESERVED, Way, frame_pointer, link_register, preserved};
use super::rules::{Cfa, Row, Rule};
use crate::capture::Memory;
use crate::model::{Addr, Arch};

/// Instructions looked at for one question; the largest function of musl (`printf_core`) has about 1,500.
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// What following the code from a function's start showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The wanted place is reached; the rules there, counted from the stack pointer if that can be told. Beside it
    /// those counted from the frame pointer, where the function keeps one: they hold too where a callee has taken its
    /// arguments off the stack, or left some.
    Reached(Row, Option<Row>),
    /// It is reached, but the stack pointer cannot be told there.
    Unbalanced,
    /// All paths were followed and none gets there.
    Elsewhere,
    /// Some path could not be followed (computed jump, missing bytes, too long).
    Unknown,
}

/// The rules at `pc` in the function that starts at `start`. `returns`: `pc` is a return address, so that the call
/// before it is what has to be reached. Also says how many instructions it looked at.
pub(super) fn follow(memory: &Memory, arch: Arch, start: Addr, pc: Addr, returns: bool) -> (Flow, usize) {
    let mut seen = FxHashSet::default();
    let flow = reach(memory, arch, start, pc, returns, &mut seen);
    (flow, seen.len())
}

fn reach(memory: &Memory, arch: Arch, start: Addr, pc: Addr, returns: bool, seen: &mut FxHashSet<u64>) -> Flow {
    let mut paths = vec![(start.0, Frame::entered(arch))];
    let mut code = Ops::new(memory, arch);
    let mut complete = true;
    while let Some((mut at, mut frame)) = paths.pop() {
        loop {
            if !returns && at == pc.0 {
                return frame.reached();
            }
            if !seen.insert(at) {
                break;
            }
            if seen.len() > MAX_INSTRUCTIONS {
                return Flow::Unknown;
            }
            let Some(op) = code.at(at) else {
                complete = false;
                break;
            };
            for effect in op.effects {
                frame.apply(effect);
            }
            at = op.next;
            match op.way {
                Way::On => {}
                Way::Call if returns && at == pc.0 => return frame.reached(),
                Way::Call => {}
                Way::Maybe(target) => paths.push((target, frame)),
                Way::Jump(target) => at = target,
                Way::Computed => {
                    complete = false;
                    break;
                }
                Way::Return | Way::Stop => break,
            }
        }
    }
    if complete { Flow::Elsewhere } else { Flow::Unknown }
}

/// What is known at one instruction. Distances count bytes downward from the frame's base (the CFA).
#[derive(Clone, Copy)]
struct Frame {
    arch: Arch,
    stack: Option<i64>,
    /// The distance of the frame pointer register, while it serves as one.
    pointer: Option<i64>,
    saved: [Option<i64>; MAX_PRESERVED],
    changed: [bool; MAX_PRESERVED],
}

impl Frame {
    fn entered(arch: Arch) -> Frame {
        // On x86-64 the return address has just been pushed.
        let distance = if link_register(arch).is_some() { 0 } else { 8 };
        Frame {
            arch,
            stack: Some(distance),
            pointer: None,
            saved: [None; MAX_PRESERVED],
            changed: [false; MAX_PRESERVED],
        }
    }

    fn reached(&self) -> Flow {
        let least = if link_register(self.arch).is_some() { 0 } else { 8 };
        let counted =
            |base, distance: Option<i64>| self.row(Cfa::Offset(base, distance.filter(|bytes| *bytes >= least)?));
        let by_stack = counted(self.arch.stack_pointer(), self.stack);
        let by_pointer = counted(self.arch.frame_pointer(), self.pointer);
        match (by_stack, by_pointer) {
            (Some(row), other) => Flow::Reached(row, other),
            (None, Some(row)) => Flow::Reached(row, None),
            (None, None) => Flow::Unbalanced,
        }
    }

    fn row(&self, cfa: Cfa) -> Option<Row> {
        if let Some(link) = link_register(self.arch)
            && self.changed.get(link) == Some(&true)
            && self.saved.get(link) == Some(&None)
        {
            return None;
        }
        let saved = preserved(self.arch)
            .iter()
            .zip(self.saved)
            .filter_map(|(register, distance)| Some((*register, Rule::Saved(distance?.checked_neg()?))));
        Some(Row::derived(self.arch, cfa, saved))
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Stack(bytes) => self.stack = self.stack.and_then(|distance| distance.checked_sub(bytes)),
            Effect::StackAtFrame(offset) => {
                self.stack = self.pointer.and_then(|distance| distance.checked_sub(offset));
            }
            Effect::StackLost => self.stack = None,
            Effect::FrameAt(base, offset) => {
                let distance = self.distance(base, offset);
                self.write(frame_pointer(self.arch));
                self.pointer = distance;
            }
            Effect::Store(index, base, offset) => {
                let distance = self.distance(base, offset);
                // Only the value that the caller left in a register is worth noting.
                if let (Some(saved), Some(false)) = (self.saved.get_mut(index), self.changed.get(index))
                    && saved.is_none()
                {
                    *saved = distance;
                }
            }
            Effect::Load(index, base, offset) => {
                let distance = self.distance(base, offset);
                if distance.is_some() && self.saved.get(index) == Some(&distance) {
                    self.restore(index);
                } else {
                    self.write(index);
                }
            }
            Effect::Write(index) => self.write(index),
        }
    }

    fn distance(&self, base: Base, offset: i64) -> Option<i64> {
        match base {
            Base::Stack => self.stack,
            Base::Frame => self.pointer,
        }?
        .checked_sub(offset)
    }

    fn restore(&mut self, index: usize) {
        self.write(index);
        if let (Some(saved), Some(changed)) = (self.saved.get_mut(index), self.changed.get_mut(index)) {
            (*saved, *changed) = (None, false);
        }
    }

    fn write(&mut self, index: usize) {
        if index == frame_pointer(self.arch) {
            self.pointer = None;
        }
        if let Some(changed) = self.changed.get_mut(index) {
            *changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Register;

    const START: u64 = 0x1000;

    fn at(code: &[u8], offset: u64, returns: bool) -> Flow {
        follow(&Memory::of_bytes(START, code), Arch::X86_64, Addr(START), Addr(START + offset), returns).0
    }

    fn row(cfa: (u16, i64), saved: &[(u16, i64)]) -> Flow {
        Flow::Reached(rules(cfa, saved), None)
    }

    fn rules(cfa: (u16, i64), saved: &[(u16, i64)]) -> Row {
        let rules = saved.iter().map(|(register, at)| (Register(*register), Rule::Saved(*at)));
        Row::derived(Arch::X86_64, Cfa::Offset(Register(cfa.0), cfa.1), rules)
    }

    #[test]
    fn a_prologue_is_counted_instruction_by_instruction() {
        //  0 endbr64 | 4 push %rbp | 5 mov %rsp,%rbp | 8 push %rbx | 9 sub $0x18,%rsp | d call .+5 | 12 nop
        let code =
            [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x83, 0xec, 0x18, 0xe8, 0, 0, 0, 0, 0x90];
        assert_eq!(at(&code, 0, false), row((7, 8), &[]));
        assert_eq!(at(&code, 4, false), row((7, 8), &[]));
        assert_eq!(at(&code, 5, false), row((7, 16), &[(6, -16)]));
        let both = |distance, saved| Flow::Reached(rules((7, distance), saved), Some(rules((6, 16), saved)));
        assert_eq!(at(&code, 9, false), both(24, &[(3, -24), (6, -16)]));
        assert_eq!(at(&code, 0x12, true), both(48, &[(3, -24), (6, -16)]));
    }

    #[test]
    fn an_aligned_stack_is_recovered_through_the_frame_pointer() {
        //  0 push %rbp | 1 mov %rsp,%rbp | 4 and $-16,%rsp | 8 call .+5
        let code = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xf0, 0xe8, 0, 0, 0, 0];
        assert_eq!(at(&code, 0xd, true), row((6, 16), &[(6, -16)]));
    }

    #[test]
    fn a_plt_entry_leads_through_the_got_to_the_function() {
        //  0 endbr64 | 4 jmp *0x6(%rip) → word at 0x10 | 10 .quad 0x1018 | 18 push %r12 | 1a syscall
        let mut code = vec![0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0x06, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        code.extend(0x1018u64.to_le_bytes());
        code.extend([0x41, 0x54, 0x0f, 0x05]);
        assert_eq!(at(&code, 0x1a, false), row((7, 16), &[(12, -16)]));
    }

    #[test]
    fn both_sides_of_a_branch_are_followed() {
        //  0 test %eax,%eax | 2 je 8 | 4 push %rbx | 5 pop %rbx | 6 ret | 7 int3 | 8 sub $8,%rsp | c syscall | e ret
        let code = [0x85, 0xc0, 0x74, 0x04, 0x53, 0x5b, 0xc3, 0xcc, 0x48, 0x83, 0xec, 0x08, 0x0f, 0x05, 0xc3];
        assert_eq!(at(&code, 5, false), row((7, 16), &[(3, -16)]));
        assert_eq!(at(&code, 6, false), row((7, 8), &[]));
        assert_eq!(at(&code, 0xc, false), row((7, 16), &[]));
        assert_eq!(at(&code, 7, false), Flow::Elsewhere);
    }

    #[test]
    fn a_computed_jump_leaves_the_question_open() {
        assert_eq!(at(&[0xff, 0xe0, 0x90], 2, false), Flow::Unknown); // jmp *%rax
    }

    #[test]
    fn a_register_that_was_changed_before_it_was_stored_is_not_the_callers() {
        //  0 xor %ebx,%ebx | 2 push %rbx | 3 nop
        assert_eq!(at(&[0x31, 0xdb, 0x53, 0x90], 3, false), row((7, 16), &[]));
    }

    #[test]
    fn an_aarch64_function_returns_through_the_register_until_it_has_stored_it() {
        // 0 stp x29, x30, [sp, #-32]! | 4 mov x29, sp | 8 str x19, [sp, #16] | c bl . | 10 nop
        let words = [0xa9be_7bfdu32, 0x9100_03fd, 0xf900_0bf3, 0x9400_0000, 0xd503_201f];
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = |offset, returns| {
            follow(&Memory::of_bytes(START, &code), Arch::Aarch64, Addr(START), Addr(START + offset), returns).0
        };
        let row = |register, distance, saved: &[(u16, i64)]| {
            let rules = saved.iter().map(|(register, at)| (Register(*register), Rule::Saved(*at)));
            Row::derived(Arch::Aarch64, Cfa::Offset(Register(register), distance), rules)
        };
        assert_eq!(at(0, false), Flow::Reached(row(31, 0, &[]), None));
        assert_eq!(at(4, false), Flow::Reached(row(31, 32, &[(29, -32), (30, -24)]), None));
        let saved = [(19, -16), (29, -32), (30, -24)];
        assert_eq!(at(0x10, true), Flow::Reached(row(31, 32, &saved), Some(row(29, 32, &saved))));
    }
}
