//! The bytes of the DWARF sections of one file.

use gimli::{EndianSlice, RunTimeEndian, SectionId};

use crate::{Elf, Error, FileBytes};

/// How the crate reads DWARF: slices of the sections, in the file's byte order.
pub(super) type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// Sections as they lie in the file; decompressed ones are in memory.
#[derive(Clone)]
pub(super) struct Sections {
    endian: RunTimeEndian,
    bytes: Vec<(SectionId, FileBytes)>,
}

impl Sections {
    /// The `.debug_*` sections of an executable, library or debug file.
    pub(super) fn of_module(file: &Elf) -> Result<Sections, Error> {
        Sections::read(file, |id| Some(id.name()))
    }

    /// The `.debug_*.dwo` sections of a file of split units, and the index of a package of them.
    pub(super) fn of_split_units(file: &Elf) -> Result<Sections, Error> {
        Sections::read(file, SectionId::dwo_name)
    }

    fn read(file: &Elf, name: impl Fn(SectionId) -> Option<&'static str>) -> Result<Sections, Error> {
        let mut bytes = Vec::new();
        for id in WANTED {
            if let Some(name) = name(id)
                && let Some(section) = file.section(name)?
            {
                bytes.push((id, section.bytes));
            }
        }
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        Ok(Sections { endian, bytes })
    }

    /// The file's byte order.
    pub(super) fn endian(&self) -> RunTimeEndian {
        self.endian
    }

    /// The section; empty where the file has none.
    pub(super) fn reader(&self, id: SectionId) -> Reader<'_> {
        let bytes = self.bytes.iter().find(|(found, _)| *found == id).map_or(&[][..], |(_, bytes)| bytes);
        EndianSlice::new(bytes, self.endian)
    }
}

/// The sections that names, lines, types and variables need.
const WANTED: [SectionId; 15] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugCuIndex,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugLoc,
    SectionId::DebugLocLists,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTuIndex,
    SectionId::DebugTypes,
];
