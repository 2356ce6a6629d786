//! The three tables of an ELF file: file header, program headers, section headers.
//!
//! Layouts: System V ABI (gABI) chapters "ELF Header", "Sections", "Program Header"; the pairs of offsets are those of the 64-bit and
//! of the 32-bit class. A table that reaches past the end of the file is read as far as it goes.

use object::elf;

use super::words::{Layout, Words, is_c_string, part};
use crate::{Error, Svma};

/// Tables longer than this are cut: a file of a real program has tens of segments and, in an object file compiled with one section
/// per function, some hundred thousand sections.
const MAX_PROGRAM_HEADERS: u64 = 1 << 16;
const MAX_SECTIONS: u64 = 1 << 20;

/// What the file header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileHeader {
    pub layout: Layout,
    pub kind: u16,
    pub machine: u16,
    pub entry: Svma,
    program_headers: Table,
    sections: Table,
    section_names: u64,
}

#[derive(Clone, Copy, Debug)]
struct Table {
    offset: u64,
    entry_size: u64,
    count: u64,
}

/// One program header, in file order. Nothing of it is checked against the file's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramHeader {
    /// One of the `PT_*` constants.
    pub kind: u32,
    /// `PF_X` 1, `PF_W` 2, `PF_R` 4.
    pub flags: u32,
    /// Where the bytes start in the file.
    pub offset: u64,
    /// Where they are to be mapped.
    pub svma: Svma,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory; what exceeds the file's bytes is zero.
    pub mem_size: u64,
    /// Alignment in memory.
    pub align: u64,
}

/// One section header. The name lies in the section of names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionHeader {
    pub name: u32,
    pub kind: u32,
    pub flags: u64,
    pub svma: Svma,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
    pub align: u64,
    pub entry_size: u64,
}

impl FileHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Result<FileHeader, Error> {
        if !bytes.starts_with(&elf::ELFMAG) {
            return Err(Error::NotElf("the first four bytes are not \\x7fELF"));
        }
        // e_ident[EI_CLASS] = 4: 1 is 32-bit, 2 is 64-bit; e_ident[EI_DATA] = 5: 1 is little, 2 is big endian.
        let wide = match bytes.get(4) {
            Some(1) => false,
            Some(2) => true,
            _ => return Err(Error::NotElf("its class is neither 32 nor 64 bits")),
        };
        let big = match bytes.get(5) {
            Some(1) => false,
            Some(2) => true,
            _ => return Err(Error::NotElf("its byte order is neither little nor big endian")),
        };
        let layout = Layout { wide, big };
        let header = FileHeader::fields(Words::new(bytes, layout));
        header.ok_or(Error::NotElf("it ends inside the file header"))
    }

    fn fields(words: Words<'_>) -> Option<FileHeader> {
        let sections = Table {
            offset: words.word_at(40, 32)?,
            entry_size: words.u16_at(58, 46)?.into(),
            count: words.u16_at(60, 48)?.into(),
        };
        let program_headers = Table {
            offset: words.word_at(32, 28)?,
            entry_size: words.u16_at(54, 42)?.into(),
            count: words.u16_at(56, 44)?.into(),
        };
        let mut header = FileHeader {
            layout: words.layout,
            kind: words.u16(16)?,
            machine: words.u16(18)?,
            entry: Svma(words.word_at(24, 24)?),
            program_headers,
            sections,
            section_names: words.u16_at(62, 50)?.into(),
        };
        header.extend(words);
        Some(header)
    }

    /// Numbers too large for the header stand in section 0 (gABI, "Extended section header": sh_size, sh_link, sh_info).
    fn extend(&mut self, words: Words<'_>) {
        let first = if self.sections.offset == 0 {
            None
        } else {
            part(words.bytes, self.sections.offset, self.sections.entry_size)
                .and_then(|bytes| SectionHeader::fields(Words::new(bytes, self.layout)))
        };
        if self.sections.count == 0 {
            self.sections.count = first.as_ref().map_or(0, |section| section.0.size);
        }
        if self.section_names == u64::from(elf::SHN_XINDEX.0) {
            self.section_names = first.as_ref().map_or(0, |section| section.0.link.into());
        }
        if self.program_headers.count == u64::from(elf::PN_XNUM)
            && let Some((_, info)) = first
            && info != 0
        {
            self.program_headers.count = info.into();
        }
    }

    pub(crate) fn program_headers(&self, bytes: &[u8]) -> Vec<ProgramHeader> {
        let parse = |entry| ProgramHeader::fields(Words::new(entry, self.layout));
        self.program_headers.entries(bytes, MAX_PROGRAM_HEADERS).map_while(parse).collect()
    }

    pub(crate) fn sections(&self, bytes: &[u8]) -> Vec<SectionHeader> {
        let parse = |entry| SectionHeader::fields(Words::new(entry, self.layout));
        self.sections.entries(bytes, MAX_SECTIONS).map_while(parse).map(|(section, _)| section).collect()
    }

    /// The section that holds the sections' names.
    pub(crate) fn section_names<'a>(&self, bytes: &'a [u8], sections: &[SectionHeader]) -> &'a [u8] {
        let section = usize::try_from(self.section_names).ok().and_then(|index| sections.get(index));
        section.and_then(|section| part(bytes, section.offset, section.size)).unwrap_or_default()
    }
}

impl Table {
    /// The entries that lie in the file. An entry size of 0 gives none.
    fn entries(self, bytes: &[u8], most: u64) -> impl Iterator<Item = &[u8]> {
        let count = if self.entry_size == 0 || self.offset == 0 { 0 } else { self.count.min(most) };
        (0..count).map_while(move |index| {
            let offset = index.checked_mul(self.entry_size)?.checked_add(self.offset)?;
            part(bytes, offset, self.entry_size)
        })
    }
}

impl ProgramHeader {
    fn fields(words: Words<'_>) -> Option<ProgramHeader> {
        Some(ProgramHeader {
            kind: words.u32(0)?,
            flags: words.u32_at(4, 24)?,
            offset: words.word_at(8, 4)?,
            svma: Svma(words.word_at(16, 8)?),
            file_size: words.word_at(32, 16)?,
            mem_size: words.word_at(40, 20)?,
            align: words.word_at(48, 28)?,
        })
    }
}

impl SectionHeader {
    /// The header and its `sh_info`.
    fn fields(words: Words<'_>) -> Option<(SectionHeader, u32)> {
        let section = SectionHeader {
            name: words.u32(0)?,
            kind: words.u32(4)?,
            flags: words.word_at(8, 8)?,
            svma: Svma(words.word_at(16, 12)?),
            offset: words.word_at(24, 16)?,
            size: words.word_at(32, 20)?,
            link: words.u32_at(40, 24)?,
            align: words.word_at(48, 32)?,
            entry_size: words.word_at(56, 36)?,
        };
        Some((section, words.u32_at(44, 28)?))
    }

    /// Whether the file holds bytes for this section.
    pub(crate) fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS.0 && self.kind != elf::SHT_NULL.0
    }

    pub(crate) fn has_flag(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// Whether it occupies `svma` in memory.
    pub(crate) fn contains(&self, svma: Svma) -> bool {
        self.has_flag(ALLOC) && svma.offset_from(self.svma).is_some_and(|offset| offset < self.size)
    }

    pub(crate) fn is_named(&self, name: &str, names: &[u8]) -> bool {
        is_c_string(names, self.name.into(), name.as_bytes())
    }
}

/// `SHF_ALLOC`: the section is mapped when the program runs.
pub(crate) const ALLOC: u64 = elf::SHF_ALLOC.0;
/// `SHF_EXECINSTR`: the section holds instructions.
pub(crate) const EXECUTE: u64 = elf::SHF_EXECINSTR.0;
/// `SHF_COMPRESSED`: the section begins with a compression header.
pub(crate) const COMPRESSED: u64 = elf::SHF_COMPRESSED.0;
