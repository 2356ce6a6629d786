//! A thread's registers, each with a known bit. Numbers are DWARF register numbers.

use std::fmt;

use super::Addr;

/// The processor of the dumped process (not of the host).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// AMD64, System V ABI.
    X86_64,
    /// ARM 64-bit, AAPCS64, little endian.
    Aarch64,
}

/// A DWARF register number of the target's architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register(pub u16);

impl Arch {
    /// Registers that an unwinder tracks: general ones, stack pointer, instruction pointer.
    pub const fn register_count(self) -> u16 {
        match self {
            Arch::X86_64 => 17,
            Arch::Aarch64 => 33,
        }
    }

    /// The stack pointer.
    // Sources: System V AMD64 psABI 1.0 figure 3.36 (rsp 7); AADWARF64 "DWARF register names" (sp 31).
    pub const fn stack_pointer(self) -> Register {
        match self {
            Arch::X86_64 => Register(7),
            Arch::Aarch64 => Register(31),
        }
    }

    /// The frame pointer by convention (rbp, x29).
    pub const fn frame_pointer(self) -> Register {
        match self {
            Arch::X86_64 => Register(6),
            Arch::Aarch64 => Register(29),
        }
    }

    /// The instruction pointer: the psABI's return address column 16 on x86-64, 32 (`ELR_mode`'s neighbour, unused by
    /// CFI here) for `pc` on aarch64.
    pub const fn instruction_pointer(self) -> Register {
        match self {
            Arch::X86_64 => Register(16),
            Arch::Aarch64 => Register(32),
        }
    }

    /// Bytes of a pointer.
    pub const fn pointer_size(self) -> u64 {
        8
    }

    /// The register's name in the processor's manual, `rax`, `x19`.
    pub fn register_name(self, register: Register) -> Option<&'static str> {
        let names: &[&str] = match self {
            Arch::X86_64 => &X86_64_NAMES,
            Arch::Aarch64 => &AARCH64_NAMES,
        };
        names.get(usize::from(register.0)).copied()
    }
}

// Source: System V AMD64 psABI 1.0, figure 3.36 "DWARF Register Number Mapping".
const X86_64_NAMES: [&str; 17] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
];

// Source: DWARF for the Arm 64-bit Architecture (AADWARF64), "DWARF register names".
const AARCH64_NAMES: [&str; 33] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
    "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30", "sp", "pc",
];

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86-64",
            Arch::Aarch64 => "aarch64",
        })
    }
}

/// Registers of x86-64, and as many of aarch64, stand in the value itself.
const INLINE: usize = 17;
/// The rest of aarch64's 33.
const REST: usize = 16;

/// Register values in one frame; a register that could not be recovered is unknown, not zero.
#[derive(Clone)]
pub struct Registers {
    arch: Arch,
    known: u64,
    values: [u64; INLINE],
    /// Made for aarch64 only: stacks keep tens of thousands of these.
    rest: Option<Box<[u64; REST]>>,
}

impl Registers {
    /// All unknown.
    pub fn unknown(arch: Arch) -> Registers {
        let rest = match arch {
            Arch::X86_64 => None,
            Arch::Aarch64 => Some(Box::new([0; REST])),
        };
        Registers { arch, known: 0, values: [0; INLINE], rest }
    }

    /// The architecture they belong to.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The value, or `None` when it was not recovered (or is no register of this architecture).
    pub fn get(&self, register: Register) -> Option<u64> {
        let bit = 1u64.checked_shl(u32::from(register.0))?;
        if self.known & bit == 0 {
            return None;
        }
        let slot = usize::from(register.0);
        let beyond = || self.rest.as_ref()?.get(slot.checked_sub(INLINE)?);
        self.values.get(slot).or_else(beyond).copied()
    }

    /// Which are known, by bits of their DWARF numbers.
    pub fn known_bits(&self) -> u64 {
        self.known
    }

    /// Sets a value; numbers beyond the architecture's registers are ignored.
    pub fn set(&mut self, register: Register, value: u64) {
        if register.0 >= self.arch.register_count() {
            return;
        }
        let slot = usize::from(register.0);
        let place = match slot.checked_sub(INLINE) {
            None => self.values.get_mut(slot),
            Some(beyond) => self.rest.as_mut().and_then(|rest| rest.get_mut(beyond)),
        };
        if let Some(place) = place {
            *place = value;
            self.known |= 1 << register.0;
        }
    }

    /// Marks a register as not recovered.
    pub fn forget(&mut self, register: Register) {
        if register.0 < self.arch.register_count() {
            self.known &= !(1 << register.0);
        }
    }

    /// Marks every register as not recovered but those whose bit (by DWARF number) is set.
    pub fn keep(&mut self, bits: u64) {
        self.known &= bits;
    }

    /// The stack pointer.
    pub fn sp(&self) -> Option<Addr> {
        self.get(self.arch.stack_pointer()).map(Addr)
    }

    /// The instruction pointer.
    pub fn pc(&self) -> Option<Addr> {
        self.get(self.arch.instruction_pointer()).map(Addr)
    }

    /// The frame pointer register's value, whether or not the code uses it as one.
    pub fn fp(&self) -> Option<Addr> {
        self.get(self.arch.frame_pointer()).map(Addr)
    }

    /// Every register of the architecture in DWARF order: name and value, `None` for one that is unknown.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<u64>)> + '_ {
        (0..self.arch.register_count()).filter_map(|number| {
            let register = Register(number);
            Some((self.arch.register_name(register)?, self.get(register)))
        })
    }
}

/// Equal where the same registers are known, with the same values; what an unknown one once held does not count.
impl PartialEq for Registers {
    fn eq(&self, other: &Registers) -> bool {
        self.arch == other.arch && self.iter().eq(other.iter())
    }
}

impl Eq for Registers {}

impl fmt::Debug for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().filter_map(|(name, value)| Some((name, format_args!("{:#x}", value?).to_string()))))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_unknown_until_it_is_set_and_again_after_it_is_forgotten() {
        let mut registers = Registers::unknown(Arch::X86_64);
        assert_eq!(registers.sp(), None);
        registers.set(Register(7), 0);
        assert_eq!(registers.sp(), Some(Addr(0)));
        registers.forget(Register(7));
        assert_eq!(registers.sp(), None);
    }

    #[test]
    fn every_register_of_either_architecture_keeps_its_value() {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let mut registers = Registers::unknown(arch);
            (0..arch.register_count()).for_each(|number| registers.set(Register(number), u64::from(number) + 100));
            let values: Vec<Option<u64>> = registers.iter().map(|(_, value)| value).collect();
            let expected: Vec<Option<u64>> =
                (0..u64::from(arch.register_count())).map(|number| Some(number + 100)).collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn numbers_outside_the_architecture_are_ignored() {
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(17), 1);
        registers.set(Register(500), 1);
        assert_eq!(registers.get(Register(17)), None);
        assert_eq!(registers.get(Register(500)), None);
    }
}
