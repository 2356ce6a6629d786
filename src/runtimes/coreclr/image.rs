//! Windows images, which assemblies are: where the metadata and the records for debuggers are in one.
//!
//! Input: an image in the target's memory, as its file or section by section, or a file. Specification: Microsoft PE/COFF, "Optional Header
//! Data Directories", "Section Table", "The .debug Section"; ECMA-335 II.25.3.3 (CLI header).

use std::ops::Range;

use super::clr::plus;
use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};

/// Places in the list of data directories. Source: PE/COFF, "Optional Header Data Directories".
const DEBUG: u64 = 6;
const CLI: u64 = 14;
/// Most sections, and records for debuggers, that are looked at.
const MAX_SECTIONS: u16 = 96;
const MAX_RECORDS: u32 = 64;

/// How an image lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// Its sections where their addresses say.
    Mapped,
    /// As in its file.
    Flat,
}

/// An image.
#[derive(Clone, Copy, Debug)]
pub struct Image<'m> {
    pub(super) memory: &'m Memory,
    base: Addr,
    placing: Placing,
    directories: Addr,
    sections: Addr,
    count: u16,
}

/// A record for debuggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// 2 names a PDB, 17 holds one.
    pub kind: u32,
    /// Its bytes.
    pub at: Addr,
    /// How many they are.
    pub size: u32,
}

impl<'m> Image<'m> {
    /// The image that begins at an address.
    pub fn read(memory: &'m Memory, base: Addr, placing: Placing) -> Known<Image<'m>> {
        // Sources: Microsoft PE/COFF: e_lfanew 0x3c; behind the signature the COFF header of 20 bytes with NumberOfSections 2,
        // SizeOfOptionalHeader 16; data directories at 96 (PE32) or 112 (PE32+) of the optional header.
        let not_one = || Gap::Corrupt(format!("no image of an assembly at {base}"));
        if memory.u16(base)? != 0x5a4d {
            return Err(not_one());
        }
        let header = plus(base, memory.u32(plus(base, 0x3c)?)?.into())?;
        if memory.u32(header)? != 0x4550 {
            return Err(not_one());
        }
        let coff = plus(header, 4)?;
        let optional = plus(coff, 20)?;
        let directories = match memory.u16(optional)? {
            0x10b => plus(optional, 96)?,
            0x20b => plus(optional, 112)?,
            _ => return Err(not_one()),
        };
        let sections = plus(optional, memory.u16(plus(coff, 16)?)?.into())?;
        let count = memory.u16(plus(coff, 2)?)?.min(MAX_SECTIONS);
        Ok(Image { memory, base, placing, directories, sections, count })
    }

    /// The root of its metadata.
    pub fn metadata(&self) -> Known<Addr> {
        let (rva, _) = self.directory(CLI)?;
        let cli = self.place(rva)?;
        // Source: ECMA-335 II.25.3.3: Cb 0 (72), MetaData 8.
        if self.memory.u32(cli)? != 72 {
            return Err(Gap::Corrupt(format!("no image of an assembly at {}", self.base)));
        }
        self.place(self.memory.u32(plus(cli, 8)?)?)
    }

    /// The memory that it takes, to the end of its last section's last page.
    pub(super) fn range(&self) -> Known<Range<Addr>> {
        const PAGE: u64 = 4096;
        let mut bytes = 0;
        for index in 0..self.count {
            let section = plus(self.sections, u64::from(index).saturating_mul(40))?;
            let word = |offset: u64| Ok::<u64, Gap>(self.memory.u32(plus(section, offset)?)?.into());
            let end = match self.placing {
                Placing::Mapped => word(12)?.saturating_add(word(8)?),
                Placing::Flat => word(20)?.saturating_add(word(16)?),
            };
            bytes = bytes.max(end);
        }
        Ok(self.base..plus(self.base, bytes.saturating_add(PAGE - 1) & !(PAGE - 1))?)
    }

    /// Its records for debuggers.
    pub fn records(&self) -> Known<Vec<Record>> {
        // Source: PE/COFF, "Debug Directory": entries of 28 bytes; Type 12, SizeOfData 16, AddressOfRawData 20, PointerToRawData 24.
        const ENTRY: u32 = 28;
        let (rva, size) = self.directory(DEBUG)?;
        let entries = if rva == 0 { 0 } else { size / ENTRY };
        let record = |index: u32| {
            let entry = plus(self.place(rva)?, u64::from(index).saturating_mul(ENTRY.into()))?;
            let word = |offset: u64| Ok::<u32, Gap>(self.memory.u32(plus(entry, offset)?)?);
            let at = match self.placing {
                Placing::Mapped => plus(self.base, word(20)?.into())?,
                Placing::Flat => plus(self.base, word(24)?.into())?,
            };
            Ok(Record { kind: word(12)?, at, size: word(16)? })
        };
        (0..entries.min(MAX_RECORDS)).map(record).collect()
    }

    /// The address and size of one of its data directories.
    fn directory(&self, index: u64) -> Known<(u32, u32)> {
        let entry = plus(self.directories, index.saturating_mul(8))?;
        Ok((self.memory.u32(entry)?, self.memory.u32(plus(entry, 4)?)?))
    }

    /// Where an address of the image is.
    pub(super) fn place(&self, rva: u32) -> Known<Addr> {
        match self.placing {
            Placing::Mapped => plus(self.base, rva.into()),
            Placing::Flat => self.flat(rva),
        }
    }

    /// Where an address of the image is in its file.
    fn flat(&self, rva: u32) -> Known<Addr> {
        // Source: Microsoft PE/COFF, "Section Table": 40 bytes; VirtualSize 8, VirtualAddress 12, SizeOfRawData 16, PointerToRawData 20.
        let memory = self.memory;
        for index in 0..self.count {
            let section = plus(self.sections, u64::from(index).saturating_mul(40))?;
            let address = memory.u32(plus(section, 12)?)?;
            let size = memory.u32(plus(section, 16)?)?;
            if let Some(offset) = rva.checked_sub(address).filter(|offset| *offset < size) {
                let start = memory.u32(plus(section, 20)?)?;
                return plus(self.base, u64::from(start).saturating_add(offset.into()));
            }
        }
        Err(Gap::Corrupt(format!("address {rva:#x} is in no section of the image at {}", self.base)))
    }
}
