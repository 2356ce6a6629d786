//! The ELF file header, of the core itself and of modules mapped in it.
//!
//! Specification: System V ABI (gABI) chapter "ELF Header", 64-bit class, little endian.

use super::notes;
use super::program_header::PROGRAM_HEADER_SIZE;
use super::words::Words;
use crate::model::{Arch, Problem, Subject};

/// Bytes of an `Elf64_Ehdr`.
pub(super) const FILE_HEADER_SIZE: u64 = 64;
// Source: gABI "ELF Header": e_type.
const ET_REL: u16 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const ET_CORE: u16 = 4;
// Source: gABI "ELF Header": e_machine.
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
// Source: Linux include/uapi/linux/elf.h: e_phnum holds this where the number stands in sh_info of section 0.
const PN_XNUM: u16 = 0xffff;

/// What the file header says of its program headers, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// `e_phoff`.
    pub(super) offset: u64,
    /// `e_phentsize`.
    pub(super) entry_size: u64,
    /// `e_phnum`, or what stands in its place for more than 65,534; `None` where that place is not there.
    pub(super) count: Option<u64>,
}

/// The file header of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) arch: Arch,
    pub(super) table: Table,
    /// `EI_OSABI`.
    pub(super) osabi: u8,
    /// Whether the file has section headers, as those of BFD (gdb) have.
    pub(super) sections: bool,
}

impl FileHeader {
    /// Reads the header of a core; the error says what was expected at which offset, and what to try. A damaged field
    /// is read as the rest of the file tells, and that is said in `problems`.
    pub(super) fn parse(bytes: &[u8], problems: &mut Vec<Problem>) -> Result<FileHeader, String> {
        let words = Words(bytes);
        let short = || format!("the ELF header ends at {:#x}, 0x40 bytes were expected (truncated?)", bytes.len());
        let mut mended = |what: String| problems.push(Problem::new("header-damaged", Subject::Capture, what));
        // e_ehsize and e_phentsize of a 64-bit little-endian file tell what a damaged identification does not.
        let sizes = (words.u16(52).map(u64::from), words.u16(54).map(u64::from));
        let wide_and_little = sizes == (Some(FILE_HEADER_SIZE), Some(PROGRAM_HEADER_SIZE));
        match bytes.get(4).ok_or_else(short)? {
            2 => {}
            class if wide_and_little => {
                mended(format!("at 0x4: ELF class {class}; the sizes in the header are those of 2 (64 bits)"))
            }
            1 => return Err("at 0x4: a 32-bit ELF file; cores of 64-bit processes are read".to_owned()),
            class => return Err(format!("at 0x4: ELF class {class}, 2 (64 bits) was expected; the header is damaged")),
        }
        match bytes.get(5).ok_or_else(short)? {
            1 => {}
            order if wide_and_little => {
                mended(format!("at 0x5: byte order {order}; the sizes in the header are in order 1 (little endian)"))
            }
            2 => return Err("at 0x5: a big-endian ELF file; little-endian cores are read".to_owned()),
            order => {
                return Err(format!(
                    "at 0x5: byte order {order}, 1 (little endian) was expected; the header is damaged"
                ));
            }
        }
        match words.u16(16).ok_or_else(short)? {
            ET_CORE => {}
            kind => match (what(kind), notes::arch(bytes)) {
                (None, Some(_)) => {
                    mended(format!("at 0x10: e_type {kind} is unknown; the file has the notes of a core (4)"))
                }
                (what, _) => {
                    let what = what.unwrap_or("an ELF file of unknown type");
                    return Err(format!(
                        "at 0x10: {what} (e_type {kind}), not a core (e_type 4); open the core that the program left and pass this file with --exe"
                    ));
                }
            },
        }
        let arch = match words.u16(18).ok_or_else(short)? {
            EM_X86_64 => Arch::X86_64,
            EM_AARCH64 => Arch::Aarch64,
            machine => match notes::arch(bytes) {
                Some(arch) => {
                    mended(format!("at 0x12: e_machine {machine}; the threads' notes are those of {arch}"));
                    arch
                }
                None => {
                    return Err(format!(
                        "at 0x12: a core of another processor (e_machine {machine}); x86-64 (62) and aarch64 (183) are read"
                    ));
                }
            },
        };
        Ok(FileHeader {
            arch,
            table: Table::parse(bytes).ok_or_else(short)?,
            osabi: bytes.get(7).copied().unwrap_or_default(),
            sections: words.u64(40).is_some_and(|offset| offset != 0) && words.u16(60).is_some_and(|count| count > 1),
        })
    }
}

/// What files of a type other than core are; `None` for a type that does not exist.
fn what(kind: u16) -> Option<&'static str> {
    match kind {
        ET_EXEC => Some("an executable"),
        ET_DYN => Some("a shared library or position-independent executable"),
        ET_REL => Some("an object file"),
        _ => None,
    }
}

impl Table {
    /// Reads `e_phoff`, `e_phentsize` and `e_phnum`; `None` where the header is cut short.
    pub(super) fn parse(bytes: &[u8]) -> Option<Table> {
        let words = Words(bytes);
        let count = match words.u16(56)? {
            PN_XNUM => {
                // sh_info of section header 0: offset 44 in an Elf64_Shdr. Source: gABI "Sections"; Linux
                // fs/binfmt_elf.c.
                let sections = usize::try_from(words.u64(40)?).ok().filter(|offset| *offset != 0);
                let info = sections.and_then(|offset| words.u32(offset.checked_add(44)?));
                info.filter(|count| *count > 0).map(u64::from)
            }
            count => Some(u64::from(count)),
        };
        Some(Table { offset: words.u64(32)?, entry_size: u64::from(words.u16(54)?), count })
    }
}
