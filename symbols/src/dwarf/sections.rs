//! The bytes of the DWARF sections of one file.

use std::sync::{Arc, OnceLock};

use gimli::{EndianSlice, LocationLists, RunTimeEndian, SectionId};

use crate::{Elf, Error, FileBytes};

/// How the crate reads DWARF: slices of the sections, in the file's byte order.
pub(super) type Reader<'a> = EndianSlice<'a, RunTimeEndian>;

/// Sections as they lie in the file; decompressed ones are in memory.
#[derive(Clone)]
pub(super) struct Sections {
    endian: RunTimeEndian,
    bytes: Vec<(SectionId, FileBytes)>,
    lists: Option<Arc<Lists>>,
}

/// Sections that only variables need, of a file that is read for names first: a fifth of what is to be decompressed.
struct Lists {
    file: Arc<Elf>,
    old: OnceLock<FileBytes>,
    new: OnceLock<FileBytes>,
}

impl Sections {
    /// The `.debug_*` sections of an executable, library or debug file.
    pub(super) fn of_module(file: &Arc<Elf>) -> Result<Sections, Error> {
        let lists = Lists { file: Arc::clone(file), old: OnceLock::new(), new: OnceLock::new() };
        Ok(Sections { lists: Some(Arc::new(lists)), ..Sections::read(file, &WANTED, |id| Some(id.name()))? })
    }

    /// The `.debug_*.dwo` sections of a file of split units, and the index of a package of them.
    pub(super) fn of_split_units(file: &Elf) -> Result<Sections, Error> {
        let wanted = [&WANTED[..], &[SectionId::DebugLoc, SectionId::DebugLocLists]].concat();
        Sections::read(file, &wanted, SectionId::dwo_name)
    }

    fn read(
        file: &Elf,
        wanted: &[SectionId],
        name: impl Fn(SectionId) -> Option<&'static str>,
    ) -> Result<Sections, Error> {
        let named = wanted.iter().filter_map(|id| Some((*id, name(*id)?)));
        // Decompressing is most of the work on a debug file of the C library, and its sections have nothing to do with each other.
        // Threads of their own: a pool's would take up other work while they wait, which may wait for this.
        let (large, small): (Vec<_>, Vec<_>) = named.partition(|(_, name)| file.compressed_size(name) >= LARGE);
        let mut sections = std::thread::scope(|scope| {
            let spawned: Vec<_> =
                large.into_iter().map(|(id, name)| (id, scope.spawn(move || file.section(name)))).collect();
            let mut sections: Vec<_> = small.into_iter().map(|(id, name)| (id, file.section(name))).collect();
            sections.extend(
                spawned
                    .into_iter()
                    .map(|(id, thread)| (id, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))),
            );
            sections
        });
        let mut bytes = Vec::with_capacity(sections.len());
        for (id, section) in sections.drain(..) {
            bytes.extend(section?.map(|section| (id, section.bytes)));
        }
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        Ok(Sections { endian, bytes, lists: None })
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

    /// Where variables are at which address, of the sections of a module; decompressed on the first call. Empty where the file
    /// has none, or they are damaged.
    pub(super) fn location_lists(&self) -> LocationLists<Reader<'_>> {
        let section = |of: fn(&Lists) -> &OnceLock<FileBytes>, id: SectionId| {
            let lists = self.lists.as_deref();
            let bytes = lists.map_or(&[][..], |lists| {
                of(lists).get_or_init(|| match lists.file.section(id.name()) {
                    Ok(Some(section)) => section.bytes,
                    Ok(None) | Err(_) => FileBytes::from_vec(Vec::new()),
                })
            });
            EndianSlice::new(bytes, self.endian)
        };
        LocationLists::new(
            section(|lists| &lists.old, SectionId::DebugLoc).into(),
            section(|lists| &lists.new, SectionId::DebugLocLists).into(),
        )
    }
}

/// Compressed sections of at least this many bytes are decompressed at once.
const LARGE: u64 = 128 << 10;

/// The sections that names, lines and types need.
const WANTED: [SectionId; 13] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugCuIndex,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTuIndex,
    SectionId::DebugTypes,
];
