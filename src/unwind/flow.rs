//! Code without tables (x86-64): where is the return address, judged from the instructions?
//!
//! Starting at a function's first instruction, every path is followed and the distance of the stack pointer from the frame's base is
//! counted along, until the wanted instruction is reached. The result is the same kind of [`Row`] that tables give. Jumps into other
//! functions (tail calls) and through the GOT (PLT entries) are followed, so that a call's stated target and the place where the
//! callee really stands can be compared. Computed jumps end a path.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, Register as Reg};
use rustc_hash::FxHashSet;

use super::instructions::{Instructions, PRESERVED, immediate, preserved};
use super::row::{Cfa, Row, Rule};
use crate::capture::Memory;
use crate::model::{Addr, Register};

/// Instructions looked at for one question; the largest function of musl (`printf_core`) has about 1,500.
const MAX_INSTRUCTIONS: usize = 4096;

/// What following the code from a function's start showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The wanted place is reached; the rules there.
    Reached(Row),
    /// It is reached, but the stack pointer cannot be told there.
    Unbalanced,
    /// All paths were followed and none gets there.
    Elsewhere,
    /// Some path could not be followed (computed jump, missing bytes, too long).
    Unknown,
}

/// The rules at `pc` in the function that starts at `start`. `returns`: `pc` is a return address, so that the call before it is what has
/// to be reached.
pub(super) fn follow(memory: &Memory, start: Addr, pc: Addr, returns: bool) -> Flow {
    let mut seen = FxHashSet::default();
    let mut paths = vec![(start.0, Frame::ENTRY)];
    let mut code = Instructions::new(memory);
    let mut complete = true;
    while let Some((mut at, mut frame)) = paths.pop() {
        loop {
            if !returns && at == pc.0 {
                return frame.row().map_or(Flow::Unbalanced, Flow::Reached);
            }
            if !seen.insert(at) {
                break;
            }
            if seen.len() > MAX_INSTRUCTIONS {
                return Flow::Unknown;
            }
            let Some(instruction) = code.decode(at) else {
                complete = false;
                break;
            };
            let next = instruction.next_ip();
            match instruction.flow_control() {
                FlowControl::Call | FlowControl::IndirectCall => {
                    if returns && next == pc.0 {
                        return frame.row().map_or(Flow::Unbalanced, Flow::Reached);
                    }
                }
                FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend => {
                    if instruction.op0_kind() == OpKind::NearBranch64 {
                        paths.push((instruction.near_branch_target(), frame));
                    }
                }
                FlowControl::UnconditionalBranch => {
                    at = instruction.near_branch_target();
                    continue;
                }
                FlowControl::IndirectBranch => match code.slot(&instruction) {
                    Some(target) => {
                        at = target;
                        continue;
                    }
                    None => {
                        complete = false;
                        break;
                    }
                },
                FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => break,
                FlowControl::Next => frame.execute(&instruction),
            }
            at = next;
        }
    }
    if complete { Flow::Elsewhere } else { Flow::Unknown }
}

/// What is known at one instruction. Distances count bytes downward from the frame's base (the CFA).
#[derive(Clone, Copy)]
struct Frame {
    stack: Option<i64>,
    /// The distance of rbp, while it serves as the frame pointer.
    pointer: Option<i64>,
    saved: [Option<i64>; PRESERVED.len()],
    changed: [bool; PRESERVED.len()],
}

impl Frame {
    /// At a function's first instruction the return address has just been pushed.
    const ENTRY: Frame =
        Frame { stack: Some(8), pointer: None, saved: [None; PRESERVED.len()], changed: [false; PRESERVED.len()] };

    fn row(&self) -> Option<Row> {
        let cfa = match (self.stack, self.pointer) {
            (Some(distance), _) if distance >= 8 => Cfa::Offset(Register(7), distance),
            (_, Some(distance)) if distance >= 8 => Cfa::Offset(Register(6), distance),
            _ => return None,
        };
        let saved = PRESERVED
            .iter()
            .zip(self.saved)
            .filter_map(|((_, register), distance)| Some((*register, Rule::Saved(distance?.checked_neg()?))));
        let rules = saved.chain([(Register(16), Rule::Saved(-8))]).collect();
        Some(Row { cfa, rules, return_address: Register(16), signal: false })
    }

    fn execute(&mut self, instruction: &Instruction) {
        let operand = instruction.op0_register();
        match instruction.mnemonic() {
            Mnemonic::Push => {
                self.move_stack(i64::from(instruction.stack_pointer_increment()));
                if instruction.op0_kind() == OpKind::Register {
                    self.save(operand, self.stack);
                }
            }
            Mnemonic::Pop => {
                if let Some(index) = preserved(operand) {
                    self.restore(index);
                }
                self.move_stack(i64::from(instruction.stack_pointer_increment()));
            }
            Mnemonic::Leave => {
                self.stack = self.pointer.and_then(|distance| distance.checked_sub(8));
                self.restore(1);
            }
            Mnemonic::Mov if is_frame_store(instruction) => {
                let displacement = instruction.memory_displacement64().cast_signed();
                let distance = self.stack.and_then(|stack| stack.checked_sub(displacement));
                self.save(instruction.op1_register(), distance);
            }
            Mnemonic::Mov if operand == Reg::RBP && instruction.op1_register() == Reg::RSP => {
                self.pointer = self.stack;
                self.mark(Reg::RBP);
            }
            Mnemonic::Mov if operand == Reg::RSP && instruction.op1_register() == Reg::RBP => self.stack = self.pointer,
            Mnemonic::Lea if operand == Reg::RSP || operand == Reg::RBP => self.load_address(instruction),
            Mnemonic::Sub | Mnemonic::Add if operand == Reg::RSP => match immediate(instruction) {
                Some(bytes) if instruction.mnemonic() == Mnemonic::Add => self.move_stack(bytes),
                Some(bytes) => self.move_stack(bytes.saturating_neg()),
                None => self.stack = None,
            },
            Mnemonic::Cmp | Mnemonic::Test => {}
            _ => {
                if instruction.is_stack_instruction() {
                    self.move_stack(i64::from(instruction.stack_pointer_increment()));
                } else if instruction.op0_kind() == OpKind::Register {
                    self.overwrite(operand);
                }
                if matches!(instruction.code(), Code::Xchg_rm64_r64) {
                    self.overwrite(instruction.op1_register());
                }
            }
        }
    }

    /// The stack pointer grows by `bytes` (positive: towards the frame's base).
    fn move_stack(&mut self, bytes: i64) {
        self.stack = self.stack.and_then(|distance| distance.checked_sub(bytes));
    }

    fn load_address(&mut self, instruction: &Instruction) {
        let base = match instruction.memory_base() {
            Reg::RSP => self.stack,
            Reg::RBP => self.pointer,
            _ => None,
        };
        let displacement = instruction.memory_displacement64().cast_signed();
        let distance = base
            .filter(|_| instruction.memory_index() == Reg::None)
            .and_then(|distance| distance.checked_sub(displacement));
        if instruction.op0_register() == Reg::RSP {
            self.stack = distance;
        } else {
            self.pointer = distance;
            self.mark(Reg::RBP);
        }
    }

    /// Only the value that the caller left in a register is worth noting.
    fn save(&mut self, register: Reg, distance: Option<i64>) {
        if let Some(index) = preserved(register)
            && let (Some(saved), Some(false)) = (self.saved.get_mut(index), self.changed.get(index))
            && saved.is_none()
        {
            *saved = distance;
        }
    }

    fn restore(&mut self, index: usize) {
        if let (Some(saved), Some(changed)) = (self.saved.get_mut(index), self.changed.get_mut(index)) {
            (*saved, *changed) = (None, false);
        }
        if index == 1 {
            self.pointer = None;
        }
    }

    fn overwrite(&mut self, register: Reg) {
        match register.full_register() {
            Reg::RSP => self.stack = None,
            Reg::RBP => self.pointer = None,
            _ => {}
        }
        self.mark(register.full_register());
    }

    fn mark(&mut self, register: Reg) {
        if let Some(changed) = preserved(register).and_then(|index| self.changed.get_mut(index)) {
            *changed = true;
        }
    }
}

/// `mov %reg, n(%rsp)`.
fn is_frame_store(instruction: &Instruction) -> bool {
    instruction.code() == Code::Mov_rm64_r64
        && instruction.op0_kind() == OpKind::Memory
        && instruction.memory_base() == Reg::RSP
        && instruction.memory_index() == Reg::None
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x1000;

    fn at(code: &[u8], offset: u64, returns: bool) -> Flow {
        follow(&Memory::of_bytes(START, code), Addr(START), Addr(START + offset), returns)
    }

    fn row(cfa: (u16, i64), saved: &[(u16, i64)]) -> Flow {
        let rules = saved.iter().map(|(register, at)| (Register(*register), Rule::Saved(*at)));
        Flow::Reached(Row {
            cfa: Cfa::Offset(Register(cfa.0), cfa.1),
            rules: rules.chain([(Register(16), Rule::Saved(-8))]).collect(),
            return_address: Register(16),
            signal: false,
        })
    }

    #[test]
    fn a_prologue_is_counted_instruction_by_instruction() {
        //  0 endbr64 | 4 push %rbp | 5 mov %rsp,%rbp | 8 push %rbx | 9 sub $0x18,%rsp | d call .+5 | 12 nop
        let code =
            [0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x83, 0xec, 0x18, 0xe8, 0, 0, 0, 0, 0x90];
        assert_eq!(at(&code, 0, false), row((7, 8), &[]));
        assert_eq!(at(&code, 4, false), row((7, 8), &[]));
        assert_eq!(at(&code, 5, false), row((7, 16), &[(6, -16)]));
        assert_eq!(at(&code, 9, false), row((7, 24), &[(3, -24), (6, -16)]));
        assert_eq!(at(&code, 0x12, true), row((7, 48), &[(3, -24), (6, -16)]));
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
}
