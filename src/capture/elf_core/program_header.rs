//! Program headers, of the core itself and of modules mapped in it.
//!
//! Specification: System V ABI (gABI) chapter "Program Header", 64-bit class, little endian.

use super::words::Words;

/// Bytes of an `Elf64_Phdr`.
pub(super) const PROGRAM_HEADER_SIZE: u64 = 56;

/// Program header types. Source: gABI "Program Header": p_type.
pub(super) const PT_LOAD: u32 = 1;
pub(super) const PT_DYNAMIC: u32 = 2;
pub(super) const PT_NOTE: u32 = 4;
pub(super) const PT_PHDR: u32 = 6;

/// One program header. Nothing of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProgramHeader {
    /// `PT_*`.
    pub(super) kind: u32,
    /// `PF_X` 1, `PF_W` 2, `PF_R` 4.
    pub(super) flags: u32,
    /// Where its bytes start in the file.
    pub(super) offset: u64,
    /// Its address: in the target for a core, as stated in the file for a module.
    pub(super) address: u64,
    /// Bytes in the file.
    pub(super) file_size: u64,
    /// Bytes in memory.
    pub(super) mem_size: u64,
    /// Alignment in memory.
    pub(super) align: u64,
}

impl ProgramHeader {
    /// Reads the header at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Option<ProgramHeader> {
        let words = Words(bytes);
        Some(ProgramHeader {
            kind: words.u32(0)?,
            flags: words.u32(4)?,
            offset: words.u64(8)?,
            address: words.u64(16)?,
            file_size: words.u64(32)?,
            mem_size: words.u64(40)?,
            align: words.u64(48)?,
        })
    }

    /// One past its last byte in the file; `None` where that overflows.
    pub(super) fn file_end(&self) -> Option<u64> {
        self.offset.checked_add(self.file_size)
    }

    /// One past its last address; `None` where that overflows.
    pub(super) fn end(&self) -> Option<u64> {
        self.address.checked_add(self.mem_size)
    }
}
