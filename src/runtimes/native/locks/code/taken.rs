//! Which locks a function has taken when it makes a call, judged from its instructions (x86-64).
//!
//! Input: a function's first instruction, the call in it that a thread is in, and the registers that are known. Every path
//! from the first instruction to the call is followed; what is locked and not unlocked on all of them is the result. A lock
//! is taken by a locked compare-and-exchange from 0 (the fast path of Rust's std and parking_lot) or by a call of a locking
//! function, and given back by an exchange with 0, by another atomic operation on it, or by a call. Where an unlocking
//! call's argument is not known, nothing counts as held any more. This is inference: a callee could unlock, too.

use std::cell::Cell;

use iced_x86::{Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};
use rustc_hash::FxHashMap;

use super::state::{GENERAL, State, Value};
use crate::runtimes::native::callee;

use crate::capture::Memory;
use crate::model::Addr;

/// Instructions executed for one question, repetitions counted; most functions have some hundred.
const MAX_STEPS: usize = 20_000;
/// What a called function does to the lock that its first argument points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callee {
    /// Returns with the lock taken.
    Locks,
    /// Gives it back.
    Unlocks,
    /// Gives one back that its argument does not lead to.
    UnlocksSome,
    /// Nothing that is known of.
    Other,
}

// Registers that a call destroys. Source: System V AMD64 psABI 1.0, 3.2.1.
const DESTROYED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];
// The first argument. Source: as above, 3.2.3.
const ARGUMENT: Register = Register::RDI;

/// A question about one function.
pub(super) struct Question<'a> {
    pub(super) memory: &'a Memory,
    /// What the function at an address does.
    pub(super) callee: &'a dyn Fn(Addr) -> Callee,
    /// Its first instruction.
    pub(super) start: Addr,
    /// The return address of the call that the thread is in.
    pub(super) site: Addr,
    /// Registers at the first instruction, in the processor's numbering (rax, rcx, rdx, rbx, rsp …).
    pub(super) entry: [Option<u64>; GENERAL],
    /// Instructions that may be executed yet, over all questions.
    pub(super) budget: &'a Cell<usize>,
    /// Registers at the call.
    pub(super) now: [Option<u64>; GENERAL],
}

/// What was found at the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The locks that are held on every path.
    pub(super) held: Vec<Addr>,
    /// Behind which instruction each was taken first.
    pub(super) sites: FxHashMap<Addr, Addr>,
    /// Whether any lock is taken on the way, of known address or not. If not, asking again with other registers is vain.
    pub(super) any: bool,
    /// What the call is given as its first argument.
    pub(super) argument: Option<u64>,
}

impl Question<'_> {
    /// The locks held at the call. Empty where the call is not reached.
    pub(super) fn answer(&self) -> Taken {
        let mut registers = self.entry.map(|value| value.map(Value::Known));
        for argument in [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9] {
            if let Some(slot) = registers.get_mut(argument.number()) {
                *slot = Some(Value::Entry(argument));
            }
        }
        let first = self.follow(registers);
        // What the caller passed shows where the function has kept it: in a register that calls preserve.
        let Some(at_call) = &first.state else { return first.taken };
        let mut learnt = false;
        for (value, now) in at_call.registers.iter().zip(self.now) {
            if let (Some(Value::Entry(argument)), Some(now)) = (value, now)
                && let Some(slot) = registers.get_mut(argument.number())
            {
                *slot = Some(Value::Known(now));
                learnt = true;
            }
        }
        for (argument, slot) in &first.spilled {
            if let (Some(register), Ok(value)) = (registers.get_mut(argument.number()), self.memory.u64(*slot)) {
                *register = Some(Value::Known(value));
                learnt = true;
            }
        }
        if learnt { self.follow(registers).taken } else { first.taken }
    }

    fn follow(&self, registers: [Option<Value>; GENERAL]) -> Followed {
        let mut followed =
            Followed { taken: Taken::default(), lost: false, state: None, spilled: FxHashMap::default() };
        let mut states: FxHashMap<u64, State> = FxHashMap::default();
        let mut pending = vec![self.start.0];
        states.insert(self.start.0, State { registers, held: Vec::new(), tried: None });
        let mut factory = InstructionInfoFactory::new();
        for _ in 0..MAX_STEPS.min(self.budget.get()) {
            self.budget.set(self.budget.get().saturating_sub(1));
            let Some(at) = pending.pop() else { break };
            let (Some(state), Some(instruction)) = (states.get(&at).cloned(), callee::decode(self.memory, Addr(at)))
            else {
                continue;
            };
            if instruction.next_ip() == self.site.0 && is_call(&instruction) {
                followed.state = Some(match followed.state.take() {
                    Some(mut known) => {
                        known.meet(&state);
                        known
                    }
                    None => state.clone(),
                });
            }
            for (next, state) in self.step(&instruction, state, &mut factory, &mut followed) {
                let less = match states.get_mut(&next) {
                    Some(known) => known.meet(&state),
                    None => {
                        states.insert(next, state);
                        true
                    }
                };
                if less {
                    pending.push(next);
                }
            }
        }
        followed.taken.argument = followed.state.as_ref().and_then(|state| state.known(ARGUMENT));
        // Paths that were not followed to their end may reach the call with less.
        if pending.is_empty()
            && !followed.lost
            && let Some(state) = &followed.state
        {
            followed.taken.held = state.held.iter().copied().map(Addr).collect();
        }
        followed
    }

    /// Executes an instruction: where it leads, and with what.
    fn step(
        &self,
        instruction: &Instruction,
        mut state: State,
        factory: &mut InstructionInfoFactory,
        followed: &mut Followed,
    ) -> Vec<(u64, State)> {
        match instruction.flow_control() {
            FlowControl::Next => {
                self.execute(instruction, &mut state, factory, followed);
                vec![(instruction.next_ip(), state)]
            }
            FlowControl::UnconditionalBranch => {
                vec![(instruction.near_branch_target(), state)]
            }
            FlowControl::ConditionalBranch => {
                let tried = state.tried.take();
                let (mut taken, mut not_taken) = (state.clone(), state);
                let equal = matches!(instruction.mnemonic(), Mnemonic::Je);
                let unequal = matches!(instruction.mnemonic(), Mnemonic::Jne);
                if let Some(address) = tried.filter(|_| equal || unequal) {
                    followed.taken.sites.entry(Addr(address)).or_insert(Addr(instruction.next_ip()));
                    if equal {
                        taken.lock(address);
                    } else {
                        not_taken.lock(address);
                    }
                }
                vec![(instruction.near_branch_target(), taken), (instruction.next_ip(), not_taken)]
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                self.call(instruction, &mut state, followed);
                vec![(instruction.next_ip(), state)]
            }
            FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => Vec::new(),
            // A computed jump: where it leads is not known, so that the call may be reached with less.
            FlowControl::IndirectBranch | FlowControl::XbeginXabortXend => {
                followed.lost = true;
                Vec::new()
            }
        }
    }

    fn call(&self, instruction: &Instruction, state: &mut State, followed: &mut Followed) {
        state.tried = None;
        let target = match instruction.op0_kind() {
            OpKind::NearBranch64 => Some(instruction.near_branch_target()),
            OpKind::Memory => state.address(instruction).and_then(|at| self.memory.u64(Addr(at)).ok()),
            OpKind::Register => state.known(instruction.op0_register()),
            _ => None,
        };
        let argument = state.known(ARGUMENT);
        match (target.map_or(Callee::Other, |target| (self.callee)(Addr(target))), argument) {
            (Callee::Locks, Some(lock)) => {
                followed.taken.any = true;
                followed.taken.sites.entry(Addr(lock)).or_insert(Addr(instruction.next_ip()));
                state.lock(lock);
            }
            (Callee::Locks, None) => followed.taken.any = true,
            (Callee::Unlocks, Some(lock)) => state.unlock(lock),
            (Callee::Unlocks, None) | (Callee::UnlocksSome, _) => state.held.clear(),
            (Callee::Other, _) => {}
        }
        for register in DESTROYED {
            state.set(register, None);
        }
    }

    fn execute(
        &self,
        instruction: &Instruction,
        state: &mut State,
        factory: &mut InstructionInfoFactory,
        followed: &mut Followed,
    ) {
        let memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        let address = if memory { state.address(instruction) } else { None };
        let result = state.result(self.memory, instruction, address);
        self.atomics(instruction, state, address, followed);
        if instruction.rflags_modified() != 0 && instruction.mnemonic() != Mnemonic::Cmpxchg {
            state.tried = None;
        }
        if let (Mnemonic::Mov, OpKind::Memory, OpKind::Register, Some(slot)) =
            (instruction.mnemonic(), instruction.op0_kind(), instruction.op1_kind(), address)
            && let Some(Value::Entry(argument)) = state.get(instruction.op1_register())
            && instruction.op1_register().size() == 8
        {
            followed.spilled.insert(argument, Addr(slot));
        }
        for used in factory.info(instruction).used_registers() {
            let written =
                !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            if written {
                state.set(used.register(), None);
            }
        }
        if let Some((register, value)) = result {
            state.set(register, value);
        }
    }

    /// What an instruction does to a lock in memory.
    fn atomics(&self, instruction: &Instruction, state: &mut State, address: Option<u64>, followed: &mut Followed) {
        let exchange = instruction.mnemonic() == Mnemonic::Xchg && address.is_some();
        if !instruction.has_lock_prefix() && !exchange {
            // A lock may also be opened by a plain store of 0.
            if let (Mnemonic::Mov, OpKind::Memory, Some(at)) = (instruction.mnemonic(), instruction.op0_kind(), address)
                && instruction.try_immediate(1).is_ok_and(|value| value == 0)
            {
                state.unlock(at);
            }
            return;
        }
        let from_free = instruction.mnemonic() == Mnemonic::Cmpxchg && state.known(Register::RAX) == Some(0);
        followed.taken.any |= from_free;
        let Some(at) = address else { return };
        state.tried = from_free.then_some(at);
        if !from_free {
            state.unlock(at);
        }
    }
}

struct Followed {
    taken: Taken,
    /// Whether some path could not be followed.
    lost: bool,
    state: Option<State>,
    /// Arguments of the caller's, by the stack slot that they were stored in.
    spilled: FxHashMap<Register, Addr>,
}

fn is_call(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        && instruction.code() != Code::Syscall
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x40_0000;
    const LOCK: u64 = 0x40_0100;
    const LOCKING: u64 = 0x50_0000;
    const UNLOCKING: u64 = 0x50_1000;
    const WORKING: u64 = 0x50_2000;

    fn callee(target: Addr) -> Callee {
        match target.0 {
            LOCKING => Callee::Locks,
            UNLOCKING => Callee::Unlocks,
            _ => Callee::Other,
        }
    }

    /// Bytes of `call target` at an offset from the start.
    fn call(at: u64, target: u64) -> Vec<u8> {
        let distance = target.wrapping_sub(START + at + 5) as u32;
        [&[0xe8], &distance.to_le_bytes()[..]].concat()
    }

    fn held(code: &[&[u8]], site: u64, now: [Option<u64>; GENERAL]) -> Vec<u64> {
        let mut bytes = code.concat();
        bytes.resize(0x200, 0xcc);
        let memory = Memory::of_bytes(START, &bytes);
        let budget = Cell::new(MAX_STEPS);
        let question = Question {
            budget: &budget,
            memory: &memory,
            callee: &callee,
            start: Addr(START),
            site: Addr(START + site),
            entry: [None; GENERAL],
            now,
        };
        question.answer().held.into_iter().map(|lock| lock.0).collect()
    }

    const NOTHING: [Option<u64>; GENERAL] = [None; GENERAL];
    // mov $1,%ecx | xor %eax,%eax | lock cmpxchg %ecx,LOCK(%rip), 15 bytes from the start
    const TRY: [u8; 15] = [0xb9, 1, 0, 0, 0, 0x31, 0xc0, 0xf0, 0x0f, 0xb1, 0x0d, 0xf1, 0, 0, 0];

    #[test]
    fn a_lock_of_rust_is_held_after_the_exchange_succeeded() {
        //  0 TRY | f jne 17 | 11 call WORKING | 16 ret | 17 ret
        let code = [&TRY[..], &[0x75, 0x06], &call(0x11, WORKING), &[0xc3], &[0xc3]];
        assert_eq!(held(&code, 0x16, NOTHING), [LOCK]);
    }

    #[test]
    fn on_the_way_to_the_slow_path_it_is_not_held_and_behind_it_it_is() {
        //  0 TRY | f je 1d | 11 lea LOCK(%rip),%rdi | 18 call LOCKING | 1d call WORKING | 22 ret
        let lea = [0x48, 0x8d, 0x3d, 0xe8, 0, 0, 0];
        let code = [&TRY[..], &[0x74, 0x0c], &lea, &call(0x18, LOCKING), &call(0x1d, WORKING), &[0xc3]];
        assert_eq!(held(&code, 0x1d, NOTHING), [0; 0], "the thread waits in the slow path");
        assert_eq!(held(&code, 0x22, NOTHING), [LOCK], "both ways lead here with the lock");
    }

    #[test]
    fn a_lock_that_was_given_back_is_not_held() {
        //  0 TRY | f jne 1f | 11 xor %eax,%eax | 13 xchg %eax,LOCK(%rip) | 19 call WORKING | 1e ret | 1f ret
        let exchange = [0x31, 0xc0, 0x87, 0x05, 0xe7, 0, 0, 0];
        let code = [&TRY[..], &[0x75, 0x0e], &exchange, &call(0x19, WORKING), &[0xc3], &[0xc3]];
        assert_eq!(held(&code, 0x1e, NOTHING), [0; 0]);
    }

    #[test]
    fn a_lock_taken_on_one_of_two_paths_is_not_held() {
        //  0 test %esi,%esi | 2 je 10 | 4 lea LOCK(%rip),%rdi | b call LOCKING | 10 call WORKING | 15 ret
        let lea = [0x48, 0x8d, 0x3d, 0xf5, 0, 0, 0];
        let code = [&[0x85, 0xf6, 0x74, 0x0c][..], &lea, &call(0xb, LOCKING), &call(0x10, WORKING), &[0xc3]];
        assert_eq!(held(&code, 0x15, NOTHING), [0; 0]);
    }

    #[test]
    fn an_argument_is_known_where_the_function_kept_it() {
        //  0 push %rbp | 1 mov %rdi,%rbp | 4 mov 0x10(%rdi),%rdi | 8 call LOCKING | d call WORKING | 12 ret
        let head = [0x55, 0x48, 0x89, 0xfd, 0x48, 0x8b, 0x7f, 0x10];
        // The caller's structure is in the same memory: its member at 0x10 is the word at START + 0x190.
        let mut code = [&head[..], &call(8, LOCKING), &call(0xd, WORKING), &[0xc3]].concat();
        code.resize(0x190, 0xcc);
        code.extend(LOCK.to_le_bytes());
        let mut now = NOTHING;
        if let Some(rbp) = now.get_mut(5) {
            *rbp = Some(START + 0x180);
        }
        assert_eq!(held(&[&code], 0x12, now), [LOCK]);
        assert_eq!(held(&[&code], 0x12, NOTHING), [0; 0], "without the register nothing is known");
        assert_eq!(held(&[&code], 0xd, now), [0; 0], "the locking call itself has not returned");
    }

    #[test]
    fn a_computed_jump_leaves_nothing_certain() {
        //  0 TRY | f jne 1c | 11 test %esi,%esi | 13 je 17 | 15 jmp *%rdx | 17 call WORKING | 1c ret
        let code = [&TRY[..], &[0x75, 0x0b, 0x85, 0xf6, 0x74, 0x02, 0xff, 0xe2], &call(0x17, WORKING), &[0xc3]];
        assert_eq!(held(&code, 0x1c, NOTHING), [0; 0]);
    }
}
