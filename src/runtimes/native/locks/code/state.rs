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
/// Cases of a `switch` beyond this many are not followed.
const MAX_CASES: u64 = 1024;
/// Places that may have taken one lock, on different ways to the same instruction, beyond this many are not remembered.
const MAX_SITES: usize = 8;

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Known(u64),
    /// What the caller left in that register.
    Entry(Register),
    /// One of the words of a table.
    Word(Table),
    /// The address that one of them leads to.
    Target(Table),
}

/// A table by which a `switch` or a `match` jumps.
// As gcc and clang write it for x86-64: words of 4 bytes, each the distance of a case from the table; or, in programs at a fixed
// address, of 8 bytes, each a case's address. Measured with gcc 12, clang 14 and rustc 1.91.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    at: u64,
    /// The index is below this.
    words: u64,
    /// Bytes of a word.
    bytes: u64,
}

impl Table {
    /// Where it leads, for every index. `None` where a word cannot be read, or there are too many.
    pub(super) fn targets(&self, memory: &Memory) -> Option<Vec<u64>> {
        let words = 0..Some(self.words).filter(|words| *words <= MAX_CASES)?;
        let target = |index: u64| {
            let at = Addr(self.at.checked_add(index.checked_mul(self.bytes)?)?);
            match self.bytes {
                4 => self.at.checked_add_signed(i64::from(memory.u32(at).ok()?.cast_signed())),
                _ => memory.u64(at).ok(),
            }
        };
        words.map(target).collect()
    }
}

/// What a comparison has told of a register's lower bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// They are below this.
    below: u64,
    /// How many.
    bytes: usize,
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::runtimes::native::locks) enum Mode {
    /// Alone: a mutex, or a writer.
    Alone,
    /// As one of several readers.
    Reading,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::runtimes::native::locks) struct Hold {
    pub(in crate::runtimes::native::locks) lock: Addr,
    pub(in crate::runtimes::native::locks) mode: Mode,
}

/// A lock that is held, and the addresses behind the instructions that took it on the ways that led here; sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) sites: Vec<Addr>,
}

/// Where a register's value was read from, and what was added since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The word's address, where it is known.
    pub(super) at: Option<u64>,
    pub(super) plus: i64,
}

/// What is known before one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: [Option<Value>; GENERAL],
    /// Of registers that hold a word of memory, perhaps with a constant added.
    pub(super) origins: [Option<Origin>; GENERAL],
    /// Of registers that were found to be small.
    pub(super) bounds: [Option<Bound>; GENERAL],
    /// A register that was compared, with what: the next conditional jump tells the outcome.
    pub(super) compared: Option<(Register, u64)>,
    /// Sorted by what is held.
    pub(super) held: Vec<Held>,
    /// A compare-and-exchange whose success the next conditional jump tells.
    pub(super) tried: Option<Hold>,
}

impl State {
    pub(super) fn new(registers: [Option<Value>; GENERAL]) -> State {
        State {
            registers,
            origins: [None; GENERAL],
            bounds: [None; GENERAL],
            compared: None,
            held: Vec::new(),
            tried: None,
        }
    }

    pub(super) fn get(&self, register: Register) -> Option<Value> {
        if !register.is_gpr() {
            return None;
        }
        *self.registers.get(register.full_register().number())?
    }

    pub(super) fn known(&self, register: Register) -> Option<u64> {
        match self.get(register)? {
            Value::Known(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn set(&mut self, register: Register, value: Option<Value>) {
        if !register.is_gpr() {
            return;
        }
        // Writing 8 or 16 bits leaves the rest as it was.
        let value = if register.size() >= 4 { value } else { None };
        let number = register.full_register().number();
        if let (Some(slot), Some(origin)) = (self.registers.get_mut(number), self.origins.get_mut(number)) {
            *slot = value;
            *origin = None;
        }
        self.set_bound(register, None);
        if self.compared.is_some_and(|(compared, _)| compared.full_register() == register.full_register()) {
            self.compared = None;
        }
    }

    pub(super) fn set_bound(&mut self, register: Register, bound: Option<Bound>) {
        if register.is_gpr()
            && let Some(slot) = self.bounds.get_mut(register.full_register().number())
        {
            *slot = bound;
        }
    }

    /// Learns from a conditional jump that it is taken, or not: that what was compared is small.
    pub(super) fn learn(&mut self, jump: &Instruction, taken: bool) {
        let Some((register, with)) = self.compared else { return };
        let below = match (jump.mnemonic(), taken) {
            (Mnemonic::Ja, false) | (Mnemonic::Jbe, true) => with.checked_add(1),
            (Mnemonic::Jae, false) | (Mnemonic::Jb, true) => Some(with),
            _ => None,
        };
        if let Some(below) = below {
            self.set_bound(register, Some(Bound { below, bytes: register.size() }));
        }
    }

    /// What is known of the size of a register's value.
    fn bound(&self, register: Register) -> Option<Bound> {
        if !register.is_gpr() {
            return None;
        }
        let bound = (*self.bounds.get(register.full_register().number())?)?;
        // The upper half of what was compared as 4 bytes is zero wherever compilers index with it.
        (bound.bytes == register.size() || (bound.bytes >= 4 && register.size() >= 4)).then_some(bound)
    }

    /// What an instruction that copies a register tells of the copy.
    pub(super) fn copied_bound(&self, instruction: &Instruction) -> Option<(Register, Bound)> {
        let copies = matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Movzx)
            && instruction.op0_kind() == OpKind::Register
            && instruction.op1_kind() == OpKind::Register;
        let to = instruction.op0_register();
        let bound = self.bound(instruction.op1_register()).filter(|_| copies)?;
        Some((to, Bound { bytes: to.size(), ..bound }))
    }

    /// The table that an instruction's memory operand takes a word from.
    pub(super) fn table(&self, instruction: &Instruction) -> Option<Table> {
        let bytes = u64::from(instruction.memory_index_scale());
        let bound = self.bound(instruction.memory_index()).filter(|_| matches!(bytes, 4 | 8))?;
        let base = match instruction.memory_base() {
            Register::None => 0,
            base => self.known(base)?,
        };
        Some(Table { at: base.wrapping_add(instruction.memory_displacement64()), words: bound.below, bytes })
    }

    /// Where a register's value was read from.
    pub(super) fn origin(&self, register: Register) -> Option<Origin> {
        if !register.is_gpr() || register.size() < 4 {
            return None;
        }
        *self.origins.get(register.full_register().number())?
    }

    pub(super) fn set_origin(&mut self, register: Register, origin: Option<Origin>) {
        if register.is_gpr()
            && let Some(slot) = self.origins.get_mut(register.full_register().number())
        {
            *slot = origin;
        }
    }

    /// Takes a lock by the instruction before `site`; one that is held already was taken where it was.
    pub(super) fn lock(&mut self, hold: Hold, site: Addr) {
        if let Err(place) = self.place(hold)
            && self.held.len() < MAX_HELD
        {
            self.held.insert(place, Held { hold, sites: vec![site] });
        }
    }

    pub(super) fn unlock(&mut self, address: u64) {
        self.held.retain(|held| held.hold.lock.0 != address);
    }

    fn place(&self, hold: Hold) -> Result<usize, usize> {
        self.held.binary_search_by_key(&hold, |held| held.hold)
    }

    /// Keeps what both agree on, and where each of them took it; whether that says less than before.
    pub(super) fn meet(&mut self, other: &State) -> bool {
        let before = self.clone();
        for (mine, theirs) in self.registers.iter_mut().zip(other.registers) {
            if *mine != theirs {
                *mine = None;
            }
        }
        for (mine, theirs) in self.origins.iter_mut().zip(other.origins) {
            if *mine != theirs {
                *mine = None;
            }
        }
        self.held.retain_mut(|held| {
            let Some(theirs) = other.place(held.hold).ok().and_then(|place| other.held.get(place)) else {
                return false;
            };
            for site in &theirs.sites {
                if let Err(place) = held.sites.binary_search(site)
                    && held.sites.len() < MAX_SITES
                {
                    held.sites.insert(place, *site);
                }
            }
            true
        });
        for (mine, theirs) in self.bounds.iter_mut().zip(other.bounds) {
            if *mine != theirs {
                *mine = None;
            }
        }
        if self.compared != other.compared {
            self.compared = None;
        }
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
        if instruction.op1_kind() == OpKind::Memory
            && let Some(table) = self.table(instruction)
        {
            let value = match (instruction.mnemonic(), table.bytes) {
                (Mnemonic::Movsxd, 4) => Some(Value::Word(table)),
                (Mnemonic::Mov, 8) if wide => Some(Value::Target(table)),
                _ => None,
            };
            return Some((register, value));
        }
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
        // A word of a table is added to where the table is.
        let lands = || match (self.get(register)?, source?) {
            (Value::Word(table), Value::Known(at)) | (Value::Known(at), Value::Word(table)) => {
                (at == table.at).then_some(Value::Target(table))
            }
            _ => None,
        };
        let same = instruction.op1_kind() == OpKind::Register && instruction.op1_register() == register;
        let value = match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Lea => source,
            Mnemonic::Xor | Mnemonic::Sub if same => Some(Value::Known(0)),
            Mnemonic::Add => lands().or_else(|| both().map(|(left, right)| Value::Known(left.wrapping_add(right)))),
            Mnemonic::Sub => both().map(|(left, right)| Value::Known(left.wrapping_sub(right))),
            Mnemonic::And => both().map(|(left, right)| Value::Known(left & right)),
            Mnemonic::Cmp | Mnemonic::Test => return None,
            _ => None,
        };
        // A 32-bit result clears the upper half; an argument of the caller's is not followed through that.
        let value = match value {
            Some(Value::Known(value)) if !wide => Some(Value::Known(value & 0xffff_ffff)),
            Some(_) if !wide => None,
            value => value,
        };
        Some((register, value))
    }

    /// Where the register that an instruction writes has its new value from: a word of memory, a copy of one, one with a
    /// constant added.
    pub(super) fn derived(&self, instruction: &Instruction, address: Option<u64>) -> Option<(Register, Origin)> {
        if instruction.op0_kind() != OpKind::Register || instruction.op0_register().size() < 4 {
            return None;
        }
        let register = instruction.op0_register();
        let moved = |origin: Origin, by: i64| Some(Origin { plus: origin.plus.checked_add(by)?, ..origin });
        let constant = |operand: u32| {
            let value = instruction.try_immediate(operand).ok()?;
            let half = u32::try_from(value & 0xffff_ffff).ok()?.cast_signed();
            Some(if register.size() == 4 { i64::from(half) } else { value.cast_signed() })
        };
        let origin = match (instruction.mnemonic(), instruction.op1_kind()) {
            (Mnemonic::Mov, OpKind::Memory) => Origin { at: address, plus: 0 },
            (Mnemonic::Mov, OpKind::Register) => self.origin(instruction.op1_register())?,
            (Mnemonic::Lea, OpKind::Memory) if instruction.memory_index() == Register::None => {
                moved(self.origin(instruction.memory_base())?, instruction.memory_displacement64().cast_signed())?
            }
            (Mnemonic::Inc, _) => moved(self.origin(register)?, 1)?,
            (Mnemonic::Add, _) => moved(self.origin(register)?, constant(1)?)?,
            (Mnemonic::Sub, _) => moved(self.origin(register)?, constant(1)?.checked_neg()?)?,
            _ => return None,
        };
        Some((register, origin))
    }
}
