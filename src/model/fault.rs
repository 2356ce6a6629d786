//! What the processor was doing when it faulted: the access, the address, what forms it, and what lies there.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::{Addr, Known};

/// What an instruction wanted from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccessKind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// Fetching the instruction itself.
    Execute,
}

/// A register that takes part in an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Term {
    /// Its name in the processor's manual, `rax`.
    pub register: &'static str,
    /// Its value; null when it is not known.
    pub value: Option<u64>,
    /// What the value is multiplied by, 1 for a base.
    pub scale: u32,
}

/// A memory operand: the sum of its terms and the displacement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Operand {
    /// Base, then index.
    pub terms: Vec<Term>,
    /// Added to the terms, in bytes.
    pub displacement: i64,
}

impl Operand {
    /// The address it forms; `None` while a register is unknown.
    pub fn address(&self) -> Option<Addr> {
        let mut sum = self.displacement.cast_unsigned();
        for term in &self.terms {
            sum = sum.wrapping_add(term.value?.wrapping_mul(u64::from(term.scale)));
        }
        Some(Addr(sum))
    }
}

/// What lies at a faulting address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "place")]
pub enum Place {
    /// The never mapped pages at zero: a member of a null pointer.
    NullPage {
        /// Bytes from zero: the member's offset, where a null pointer was followed.
        offset: u64,
    },
    /// Below the end of the thread's own stack: it is full.
    StackGuard {
        /// Lowest usable address of the stack.
        stack: Addr,
        /// Bytes of the stack, from that address to the end of its mapping.
        size: u64,
    },
    /// An address that the processor cannot form (its upper bits differ).
    NonCanonical,
    /// In the half of the address space that is the kernel's.
    Kernel,
    /// The instruction demands an alignment that the address lacks.
    Misaligned {
        /// Bytes that the address should be a multiple of.
        alignment: u32,
    },
    /// Mapped without the right to execute: data, a stack, a heap.
    NotExecutable,
    /// Mapped without the right to write.
    ReadOnly,
    /// Mapped without any right.
    NoAccess,
    /// A mapping of a file that has become shorter than the mapping.
    PastEndOfFile,
    /// Nothing is mapped there.
    Unmapped,
    /// Mapped with the right that was wanted, as the dump has it.
    Mapped,
}

/// Why heap memory is believed to be freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FreeList {
    /// A thread's cache lists it (glibc tcache).
    Tcache,
    /// Its first word is a link as only a free chunk has it (glibc 2.32 safe-linking), and it is in no list that was
    /// found.
    ProtectedLink,
    /// Its neighbours in an allocator's doubly linked bin point back to it.
    Bin,
}

/// Freed memory that the faulting pointer points to, or was loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Freed {
    /// The freed object, as `malloc` returned it; null where several could be it.
    pub object: Option<Addr>,
    /// Its size as the allocator keeps it, in bytes.
    pub bytes: Option<u64>,
    /// What says that it is free.
    pub list: FreeList,
    /// The register that holds the object's address or the link loaded from it.
    pub register: &'static str,
}

/// A fault of the processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// Read, write or execute; null when the instruction could not be read.
    #[serde(serialize_with = "or_null")]
    #[schemars(with = "Option<AccessKind>")]
    pub access: Known<AccessKind>,
    /// Bytes of the access; null when not known.
    pub bytes: Option<u32>,
    /// The address; computed from registers where the processor does not report it (general protection).
    #[serde(serialize_with = "or_null")]
    #[schemars(with = "Option<Addr>")]
    pub address: Known<Addr>,
    /// What lies there.
    #[serde(serialize_with = "or_null")]
    #[schemars(with = "Option<Place>")]
    pub place: Known<Place>,
    /// The operand of the instruction that names the address, or for a jump the one that held it; null where none does.
    pub operand: Option<Operand>,
    /// Freed memory that the pointer came from; null where nothing says so.
    pub freed: Option<Freed>,
}

pub(super) fn or_null<T: Serialize, S: Serializer>(known: &Known<T>, serializer: S) -> Result<S::Ok, S::Error> {
    known.as_ref().ok().serialize(serializer)
}

impl fmt::Display for AccessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccessKind::Read => "reading",
            AccessKind::Write => "writing",
            AccessKind::Execute => "executing",
        })
    }
}

/// `[rdi + rcx*8 + 0x10]`
impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, term) in self.terms.iter().enumerate() {
            let plus = if index == 0 { "" } else { " + " };
            write!(f, "{plus}{}", term.register)?;
            if term.scale != 1 {
                write!(f, "*{}", term.scale)?;
            }
        }
        match (self.terms.is_empty(), self.displacement) {
            (false, 0) => {}
            (true, displacement) => write!(f, "{displacement:#x}")?,
            (false, displacement) if displacement < 0 => write!(f, " - {:#x}", displacement.unsigned_abs())?,
            (false, displacement) => write!(f, " + {displacement:#x}")?,
        }
        f.write_str("]")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::NullPage { offset: 0 } => f.write_str("a null pointer"),
            Place::NullPage { offset } => write!(f, "offset {offset:#x} from a null pointer"),
            Place::StackGuard { stack, .. } => write!(f, "past the end of the thread's stack, which ends at {stack}"),
            Place::NonCanonical => f.write_str("not an address that the processor can form"),
            Place::Kernel => f.write_str("an address of the kernel's, which no program may touch"),
            Place::Misaligned { alignment } => write!(f, "not a multiple of {alignment}"),
            Place::NotExecutable => f.write_str("mapped, but not executable"),
            Place::ReadOnly => f.write_str("mapped read-only"),
            Place::NoAccess => f.write_str("mapped without any access"),
            Place::PastEndOfFile => f.write_str("past the end of the mapped file"),
            Place::Unmapped => f.write_str("not mapped"),
            Place::Mapped => f.write_str("mapped"),
        }
    }
}

/// `reading 8 bytes at 0x10: offset 0x10 from a null pointer; [rdi + 0x10], rdi = 0x0`
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.access {
            Ok(access) => access.fmt(f)?,
            Err(_) => f.write_str("accessing")?,
        }
        if let (Some(bytes), Ok(AccessKind::Read | AccessKind::Write)) = (self.bytes, &self.access) {
            write!(f, " {bytes} {}", if bytes == 1 { "byte at" } else { "bytes at" })?;
        }
        match &self.address {
            Ok(address) => write!(f, " {address}")?,
            Err(gap) => write!(f, " an unknown address ({gap})")?,
        }
        if let Ok(place) = &self.place {
            write!(f, ": {place}")?;
        }
        if let Some(operand) = &self.operand {
            write!(f, "; {operand}")?;
            for term in &operand.terms {
                match term.value {
                    Some(value) => write!(f, ", {} = {value:#x}", term.register)?,
                    None => write!(f, ", {} unknown", term.register)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operand(value: Option<u64>, displacement: i64) -> Operand {
        Operand { terms: vec![Term { register: "rdi", value, scale: 1 }], displacement }
    }

    #[test]
    fn an_operand_sums_its_terms_and_wraps_as_the_processor_does() {
        assert_eq!(operand(Some(0), 0x10).address(), Some(Addr(0x10)));
        assert_eq!(operand(Some(0x10), -0x20).address(), Some(Addr(u64::MAX - 0xf)));
        assert_eq!(operand(None, 0x10).address(), None, "an unknown register gives no address");
    }

    #[test]
    fn a_fault_is_told_with_its_operand_and_registers() {
        let fault = Fault {
            access: Ok(AccessKind::Read),
            bytes: Some(4),
            address: Ok(Addr(0x10)),
            place: Ok(Place::NullPage { offset: 0x10 }),
            operand: Some(operand(Some(0), 0x10)),
            freed: None,
        };
        assert_eq!(
            fault.to_string(),
            "reading 4 bytes at 0x10: offset 0x10 from a null pointer; [rdi + 0x10], rdi = 0x0"
        );
    }
}
