//! One row of call frame information, and its application: callee's registers and the stack give the caller's
//! registers.

use super::cfi::Tables;
use super::expression;
use super::rules::{Bytecode, Cfa, Row, Rule};
use super::words::Words;
use crate::model::{Addr, Arch, End, Register, Registers};

/// What a step up the stack found.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its registers, stack and instruction pointer among them.
    pub registers: Registers,
    /// The callee's canonical frame address.
    pub cfa: Addr,
}

/// Registers that a function must preserve, as bits by DWARF number; the others are lost in a caller.
// Sources: System V AMD64 psABI 1.0, 3.2.1 "Registers" (rbx, rbp, r12-r15); AAPCS64 6.1.1 (x19-x29; x18 is the
// platform's).
pub const fn preserved(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => (1 << 3) | (1 << 6) | (0b1111 << 12),
        Arch::Aarch64 => 0x7ff << 19,
    }
}

/// A return address without the signature bits that pointer authentication (or a tag) puts into it.
///
/// User addresses of Linux on aarch64 have at most 48 bits unless a program asks for more
/// (Documentation/arch/arm64/memory.rst); the signature lies above them
/// (Documentation/arch/arm64/pointer-authentication.rst).
pub const fn without_signature(arch: Arch, address: u64) -> u64 {
    match arch {
        Arch::Aarch64 => address & 0x0000_ffff_ffff_ffff,
        Arch::X86_64 => address,
    }
}

impl Caller {
    /// Whether another step found the same caller: the same place in the code, with the same frame pointer.
    pub fn is_same(&self, other: &Caller) -> bool {
        self.registers.pc() == other.registers.pc() && self.registers.fp() == other.registers.fp()
    }
}

impl Row {
    /// Where on the stack the return address lies; `Ok(None)`: in a register. `Err` where memory would have to be read
    /// to tell.
    pub fn return_slot(&self, callee: &Registers) -> Result<Option<Addr>, End> {
        let rule = self.rules.iter().find(|(register, _)| *register == self.return_address).map(|(_, rule)| *rule);
        match (rule, self.cfa) {
            (None | Some(Rule::SameValue), _) => Ok(None),
            (Some(Rule::Saved(offset)), Cfa::Offset(register, distance)) => {
                let base = self.base(register, distance, callee).ok_or(End::NoUnwindInfo)?;
                Ok(Some(Addr(base.0.wrapping_add_signed(offset))))
            }
            _ => Err(End::NoUnwindInfo),
        }
    }

    /// The caller's registers. Fails with the reason for the end of the stack: `Bottom` where the row says that there
    /// is no caller (or the return address is zero), `NoMemory` where the return address cannot be read, `NoUnwindInfo`
    /// where a rule is unusable.
    pub fn caller(&self, tables: &Tables, callee: &Registers, words: &Words<'_>) -> Result<Caller, End> {
        let arch = callee.arch();
        let cfa = self.cfa(tables, callee, words)?;
        let mut registers = callee.clone();
        registers.keep(preserved(arch));
        let mut return_address = None;
        let rules = Rules { tables, callee, words, cfa };
        for (register, rule) in &self.rules {
            let value = rules.value(*register, *rule);
            if *register == self.return_address {
                if *rule == Rule::Undefined {
                    return Err(End::Bottom);
                }
                return_address = Some(value?);
            }
            match value {
                Ok(value) => registers.set(*register, value),
                Err(_) => registers.forget(*register),
            }
        }
        let return_address = match return_address {
            Some(value) => value,
            // A leaf of aarch64 leaves the return address in x30.
            None => callee.get(self.return_address).ok_or(End::NoUnwindInfo)?,
        };
        let return_address = without_signature(arch, return_address);
        if return_address == 0 {
            return Err(End::Bottom);
        }
        if !self.rules.iter().any(|(register, _)| *register == arch.stack_pointer()) {
            registers.set(arch.stack_pointer(), cfa.0);
        }
        registers.set(arch.instruction_pointer(), return_address);
        Ok(Caller { registers, cfa })
    }

    /// Whether the frame address is a distance from the stack pointer, which is always known to be right.
    pub fn counts_from_stack(&self, arch: Arch) -> bool {
        matches!(self.cfa, Cfa::Offset(register, _) if register == arch.stack_pointer())
    }

    /// Whether the frame address may lie anywhere: it was read from memory and not counted from the stack pointer.
    pub fn switches_stacks(&self) -> bool {
        self.signal || matches!(self.cfa, Cfa::Expression(_))
    }

    fn cfa(&self, tables: &Tables, callee: &Registers, words: &Words<'_>) -> Result<Addr, End> {
        match self.cfa {
            Cfa::Offset(register, offset) => self.base(register, offset, callee).ok_or(End::NoUnwindInfo),
            Cfa::Expression(bytecode) => {
                let code = tables.bytecode(bytecode).ok_or(End::NoUnwindInfo)?;
                expression::evaluate(code, callee, words, None).map(Addr)
            }
        }
    }
}

impl Row {
    /// Register plus offset. Where the stack pointer of aarch64 is not known (the frame pointers of the callees led
    /// here), the frame pointer serves: it points to where its old value was saved. Source: AAPCS64 6.4.6 "The Frame
    /// Pointer".
    fn base(&self, register: Register, offset: i64, callee: &Registers) -> Option<Addr> {
        let arch = callee.arch();
        if let Some(base) = callee.get(register) {
            return Some(Addr(base.wrapping_add_signed(offset)));
        }
        if register != arch.stack_pointer() || arch != Arch::Aarch64 {
            return None;
        }
        self.rules.iter().find_map(|(saved, rule)| match rule {
            Rule::Saved(offset) if *saved == arch.frame_pointer() => {
                Some(Addr(callee.fp()?.0.wrapping_add_signed(offset.checked_neg()?)))
            }
            _ => None,
        })
    }
}

struct Rules<'a, 't> {
    tables: &'a Tables,
    callee: &'a Registers,
    words: &'a Words<'t>,
    cfa: Addr,
}

impl Rules<'_, '_> {
    fn value(&self, register: Register, rule: Rule) -> Result<u64, End> {
        match rule {
            Rule::Undefined => Err(End::NoUnwindInfo),
            Rule::SameValue => self.callee.get(register).ok_or(End::NoUnwindInfo),
            Rule::Saved(offset) => self.read(self.cfa.0.wrapping_add_signed(offset)),
            Rule::Value(offset) => Ok(self.cfa.0.wrapping_add_signed(offset)),
            Rule::Register(from) => self.callee.get(from).ok_or(End::NoUnwindInfo),
            Rule::SavedAt(bytecode) => self.expression(bytecode).and_then(|address| self.read(address)),
            Rule::ValueOf(bytecode) => self.expression(bytecode),
            Rule::Constant(value) => Ok(value),
        }
    }

    fn read(&self, address: u64) -> Result<u64, End> {
        self.words.get(Addr(address)).map_err(|_| End::NoMemory)
    }

    fn expression(&self, bytecode: Bytecode) -> Result<u64, End> {
        let code = self.tables.bytecode(bytecode).ok_or(End::NoUnwindInfo)?;
        expression::evaluate(code, self.callee, self.words, Some(self.cfa))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    fn registers(arch: Arch, values: &[(u16, u64)]) -> Registers {
        let mut registers = Registers::unknown(arch);
        for (number, value) in values {
            registers.set(Register(*number), *value);
        }
        registers
    }

    fn row(cfa: (u16, i64), rules: &[(u16, Rule)], return_address: u16) -> Row {
        Row {
            cfa: Cfa::Offset(Register(cfa.0), cfa.1),
            rules: rules.iter().map(|(register, rule)| (Register(*register), *rule)).collect(),
            return_address: Register(return_address),
            signal: false,
        }
    }

    fn caller(row: &Row, callee: &Registers, memory: &Memory) -> Result<Caller, End> {
        row.caller(&Tables::new(callee.arch(), None, None, None), callee, &Words::new(memory))
    }

    #[test]
    fn saved_registers_come_back_and_the_others_are_lost_unless_functions_preserve_them() {
        // rsp → | rbx | rbp | return address |
        let memory = Memory::of(0x7000, &[0xb, 0x7040, 0x40_1005]);
        let callee = registers(Arch::X86_64, &[(0, 1), (3, 2), (7, 0x7000), (12, 3), (16, 0x40_2000)]);
        let row = row((7, 24), &[(3, Rule::Saved(-24)), (6, Rule::Saved(-16)), (16, Rule::Saved(-8))], 16);
        let Caller { registers: up, cfa } = caller(&row, &callee, &memory).unwrap();
        assert_eq!(cfa, Addr(0x7018));
        assert_eq!(up, registers(Arch::X86_64, &[(3, 0xb), (6, 0x7040), (7, 0x7018), (12, 3), (16, 0x40_1005)]));
    }

    #[test]
    fn an_undefined_or_zero_return_address_is_the_bottom() {
        let memory = Memory::of(0x7000, &[0]);
        let callee = registers(Arch::X86_64, &[(7, 0x7000)]);
        assert_eq!(caller(&row((7, 8), &[(16, Rule::Undefined)], 16), &callee, &memory).unwrap_err(), End::Bottom);
        assert_eq!(caller(&row((7, 8), &[(16, Rule::Saved(-8))], 16), &callee, &memory).unwrap_err(), End::Bottom);
    }

    #[test]
    fn a_return_address_out_of_the_dump_says_so() {
        let memory = Memory::of(0x7000, &[0]);
        let callee = registers(Arch::X86_64, &[(7, 0x7008)]);
        let row = row((7, 8), &[(16, Rule::Saved(-8))], 16);
        assert_eq!(caller(&row, &callee, &memory).unwrap_err(), End::NoMemory);
    }

    #[test]
    fn the_signature_of_a_return_address_is_taken_off() {
        let memory = Memory::of(0x7000, &[0x7f00, 0x0031_0055_0000_0e24]);
        let callee = registers(Arch::Aarch64, &[(31, 0x7000), (32, 0x55_0000_0dc0)]);
        let row = row((31, 16), &[(29, Rule::Saved(-16)), (30, Rule::Saved(-8))], 30);
        assert_eq!(caller(&row, &callee, &memory).unwrap().registers.pc(), Some(Addr(0x55_0000_0e24)));
    }

    #[test]
    fn where_the_stack_pointer_is_unknown_the_frame_record_gives_the_frame() {
        // x29 → | x29 | x30 | local | local |, a frame of 32 bytes
        let memory = Memory::of(0x7000, &[0x7f00, 0x55_0000_0e24, 0, 0]);
        let callee = registers(Arch::Aarch64, &[(29, 0x7000), (32, 0x55_0000_0dc0)]);
        let row = row((31, 32), &[(29, Rule::Saved(-32)), (30, Rule::Saved(-24))], 30);
        let up = caller(&row, &callee, &memory).unwrap().registers;
        assert_eq!((up.sp(), up.fp(), up.pc()), (Some(Addr(0x7020)), Some(Addr(0x7f00)), Some(Addr(0x55_0000_0e24))));
    }
}
