//! Which locks a function has taken when it makes a call, judged from its instructions (x86-64).
//!
//! Input: a function's first instruction, the call in it that a thread is in, and the registers that are known. Every path
//! from the first instruction to the call is followed; what is locked and not unlocked on all of them is the result. A lock
//! is taken by a locked compare-and-exchange from 0, for reading by one that adds to what its word was (the fast paths of
//! Rust's std and parking_lot), or by a call of a locking function, and given back by an exchange with 0, by another atomic
//! operation on it, or by a call. Where an unlocking
//! call's argument is not known, nothing counts as held any more. This is inference: a callee could unlock, too.

use std::cell::Cell;

use iced_x86::{Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};
use rustc_hash::FxHashMap;

use super::state::{GENERAL, Held, Hold, Mode, Origin, State, Value};
use crate::runtimes::native::callee;

use crate::capture::Memory;
use crate::model::Addr;

/// Instructions executed for one question, repetitions counted; most functions have some hundred.
const MAX_STEPS: usize = 20_000;
/// What a called function does to the lock that its first argument points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callee {
    /// Returns with the lock taken.
    Locks(Mode),
    /// Makes a guard: returns with the lock taken that its second argument points to.
    Guards(Mode),
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
/// Registers of arguments, the first first. Source: as above, 3.2.3.
pub(super) const ARGUMENTS: [Register; 6] =
    [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];

/// A place in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// The call with this return address, which a thread is in.
    Call(Addr),
    /// A jump to this function as the last act.
    Jump(Addr),
}

/// A question about one function.
pub(super) struct Question<'a> {
    pub(super) memory: &'a Memory,
    /// What the function at an address does.
    pub(super) callee: &'a dyn Fn(Addr) -> Callee,
    /// Where a call of an address gets to: through the stub that may be there.
    pub(super) lands: &'a dyn Fn(Addr) -> Addr,
    /// Its first instruction.
    pub(super) start: Addr,
    /// Where in it the answer is wanted.
    pub(super) site: Site,
    /// Registers at the first instruction, in the processor's numbering (rax, rcx, rdx, rbx, rsp …).
    pub(super) entry: [Option<u64>; GENERAL],
    /// What the caller passes, where its code tells.
    pub(super) passed: Passed,
    /// Instructions that may be executed yet, over all questions.
    pub(super) budget: &'a Cell<usize>,
    /// Registers at the call.
    pub(super) now: [Option<u64>; GENERAL],
}

/// Arguments, in the order of [`ARGUMENTS`].
pub(super) type Passed = [Option<u64>; 6];

/// What was found at the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The locks that are held on every path.
    pub(super) held: Vec<Held>,
    /// Whether any lock is taken on the way, of known address or not. If not, asking again with other registers is vain.
    pub(super) any: bool,
    /// Whether a lock of unknown address is taken on the way.
    pub(super) unresolved: bool,
    /// What the call is given.
    pub(super) arguments: Passed,
    /// Where the call leads, as its instruction says.
    pub(super) target: Option<Addr>,
}

impl Taken {
    /// What the call is given as its first argument.
    pub(super) fn first_argument(&self) -> Option<Addr> {
        let [first, ..] = self.arguments;
        first.map(Addr)
    }
}

impl Question<'_> {
    /// The locks held at the call. Empty where the call is not reached.
    pub(super) fn answer(&self) -> Taken {
        let mut registers = self.entry.map(|value| value.map(Value::Known));
        for (argument, passed) in ARGUMENTS.into_iter().zip(self.passed) {
            if let Some(slot) = registers.get_mut(argument.number()) {
                *slot = Some(passed.map_or(Value::Entry(argument), Value::Known));
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
        states.insert(self.start.0, State::new(registers));
        let mut factory = InstructionInfoFactory::new();
        for _ in 0..MAX_STEPS.min(self.budget.get()) {
            self.budget.set(self.budget.get().saturating_sub(1));
            let Some(at) = pending.pop() else { break };
            let (Some(state), Some(instruction)) = (states.get(&at).cloned(), callee::decode(self.memory, Addr(at)))
            else {
                continue;
            };
            let arrived = self.arrives(&instruction);
            if arrived {
                followed.taken.target = self.target(&instruction, &state).map(Addr);
                followed.state = Some(match followed.state.take() {
                    Some(mut known) => {
                        known.meet(&state);
                        known
                    }
                    None => state.clone(),
                });
            }
            if arrived && matches!(self.site, Site::Jump(_)) {
                continue;
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
        if let Some(state) = &followed.state {
            followed.taken.arguments = ARGUMENTS.map(|argument| state.known(argument));
        }
        // Paths that were not followed to their end may reach the call with less.
        if pending.is_empty()
            && !followed.lost
            && let Some(state) = &followed.state
        {
            followed.taken.held.clone_from(&state.held);
        }
        followed
    }

    /// Whether the answer is wanted at this instruction.
    fn arrives(&self, instruction: &Instruction) -> bool {
        match self.site {
            Site::Call(back) => instruction.next_ip() == back.0 && is_call(instruction),
            Site::Jump(to) => {
                let target = match instruction.flow_control() {
                    FlowControl::UnconditionalBranch => Some(instruction.near_branch_target()),
                    FlowControl::IndirectBranch if instruction.is_ip_rel_memory_operand() => {
                        self.memory.u64(Addr(instruction.ip_rel_memory_address())).ok()
                    }
                    _ => None,
                };
                target.is_some_and(|target| target == to.0 || (self.lands)(Addr(target)) == to)
            }
        }
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
                if let Some(hold) = tried.filter(|_| equal || unequal) {
                    let side = if equal { &mut taken } else { &mut not_taken };
                    side.lock(hold, Addr(instruction.next_ip()));
                }
                taken.learn(instruction, true);
                not_taken.learn(instruction, false);
                vec![(instruction.near_branch_target(), taken), (instruction.next_ip(), not_taken)]
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                self.call(instruction, &mut state, followed);
                vec![(instruction.next_ip(), state)]
            }
            FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => Vec::new(),
            // Through one fixed word: a stub, or another module's function, which a tail call hands over to.
            FlowControl::IndirectBranch if instruction.is_ip_rel_memory_operand() => Vec::new(),
            FlowControl::IndirectBranch => match self.cases(instruction, &state) {
                Some(targets) => targets.into_iter().map(|target| (target, state.clone())).collect(),
                // Where it leads is not known, so that the call may be reached with less.
                None => {
                    followed.lost = true;
                    Vec::new()
                }
            },
            FlowControl::XbeginXabortXend => {
                followed.lost = true;
                Vec::new()
            }
        }
    }

    /// Where a computed jump leads, each place once, if it is by a table.
    fn cases(&self, instruction: &Instruction, state: &State) -> Option<Vec<u64>> {
        let table = match instruction.op0_kind() {
            OpKind::Memory => state.table(instruction),
            _ => match state.get(instruction.op0_register()) {
                Some(Value::Target(table)) => Some(table),
                _ => None,
            },
        };
        let mut targets = table?.targets(self.memory)?;
        targets.sort_unstable();
        targets.dedup();
        Some(targets)
    }

    /// Where a call leads; `None` where that is not known.
    fn target(&self, instruction: &Instruction, state: &State) -> Option<u64> {
        match instruction.op0_kind() {
            OpKind::NearBranch64 => Some(instruction.near_branch_target()),
            OpKind::Memory => state.address(instruction).and_then(|at| self.memory.u64(Addr(at)).ok()),
            OpKind::Register => state.known(instruction.op0_register()),
            _ => None,
        }
    }

    fn call(&self, instruction: &Instruction, state: &mut State, followed: &mut Followed) {
        state.tried = None;
        state.compared = None;
        let [first, second, ..] = ARGUMENTS.map(|argument| state.known(argument));
        let target = self.target(instruction, state);
        let callee = target.map_or(Callee::Other, |target| (self.callee)(Addr(target)));
        match (callee, first, second) {
            (Callee::Locks(mode), Some(lock), _) | (Callee::Guards(mode), _, Some(lock)) => {
                followed.taken.any = true;
                state.lock(Hold { lock: Addr(lock), mode }, Addr(instruction.next_ip()));
            }
            (Callee::Locks(_) | Callee::Guards(_), ..) => {
                followed.taken.any = true;
                followed.taken.unresolved = true;
            }
            (Callee::Unlocks, Some(lock), _) => state.unlock(lock),
            (Callee::Unlocks, None, _) | (Callee::UnlocksSome, ..) => state.held.clear(),
            (Callee::Other, ..) => {}
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
        let derived = state.derived(instruction, address);
        let bound = state.copied_bound(instruction);
        self.atomics(instruction, state, address, followed);
        if instruction.rflags_modified() != 0 && instruction.mnemonic() != Mnemonic::Cmpxchg {
            state.tried = None;
        }
        if instruction.rflags_modified() != 0 {
            state.compared = compared(instruction);
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
        if let Some((register, origin)) = derived {
            state.set_origin(register, Some(origin));
        }
        if let Some((register, bound)) = bound {
            state.set_bound(register, Some(bound));
        }
        // A compare-and-exchange that fails has read the word.
        if instruction.mnemonic() == Mnemonic::Cmpxchg {
            state.set_origin(Register::RAX, Some(Origin { at: address, plus: 0 }));
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
        let tries = instruction.mnemonic() == Mnemonic::Cmpxchg;
        let from_free = tries && state.known(Register::RAX) == Some(0);
        let adds = tries && adds_to_word(instruction, state, address);
        let mode = if adds { Mode::Reading } else { Mode::Alone };
        state.tried = None;
        if from_free || adds {
            followed.taken.any = true;
            followed.taken.unresolved |= address.is_none();
            state.tried = address.map(|at| Hold { lock: Addr(at), mode });
        } else if let Some(at) = address {
            state.unlock(at);
        }
    }
}

/// The register that an instruction compares with a constant, and that.
fn compared(instruction: &Instruction) -> Option<(Register, u64)> {
    let compares = instruction.mnemonic() == Mnemonic::Cmp && instruction.op0_kind() == OpKind::Register;
    Some((instruction.op0_register(), instruction.try_immediate(1).ok().filter(|_| compares)?))
}

/// Whether a compare-and-exchange writes more than its word was when it was read: one more reader. Where the word's address
/// is not known, whether it looks so.
fn adds_to_word(instruction: &Instruction, state: &State, address: Option<u64>) -> bool {
    match (state.origin(Register::RAX), state.origin(instruction.op1_register())) {
        (Some(old), Some(new)) => old.at == address && new.at == address && old.plus == 0 && new.plus > 0,
        _ => false,
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
mod tests;
