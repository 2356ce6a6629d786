//! Functions, inlined calls and source lines of a module, from its DWARF.

use std::sync::{Arc, Mutex, PoisonError};

use gimli::{EndianSlice, RunTimeEndian, SectionId};
use self_cell::self_cell;

use crate::{Elf, Error, FileBytes, Svma, demangle};

/// Inlined calls at one address beyond this many are not expanded.
const MAX_INLINED: usize = 256;

/// One function at an address: the physical one, or one inlined into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// The full demangled name with its scope.
    pub function: Option<Arc<str>>,
    /// The source file as the compiler knew it: an absolute path, or one relative to nothing known.
    pub file: Option<Arc<str>>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The column in it, from 1.
    pub column: Option<u32>,
    /// Where the physical function starts.
    pub start: Option<Svma>,
}

/// The sections are kept as they are in the file, compressed ones in memory.
struct Sections {
    little_endian: bool,
    bytes: Vec<(SectionId, FileBytes)>,
}

type Reader<'a> = EndianSlice<'a, RunTimeEndian>;
type Context<'a> = Mutex<addr2line::Context<Reader<'a>>>;

self_cell!(
    struct Held {
        owner: Sections,
        #[not_covariant]
        dependent: Context,
    }
);

/// The DWARF of one file.
pub(crate) struct Dwarf {
    held: Held,
}

impl Dwarf {
    /// Reads the list of units; functions and lines are read when an address of their unit is asked for. `None` where the file has no
    /// `.debug_info`.
    pub(crate) fn new(file: &Elf) -> Result<Option<Dwarf>, Error> {
        if !file.has_debug_info() {
            return Ok(None);
        }
        let held = Held::try_new(Sections::read(file)?, |sections| {
            let dwarf = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(sections.reader(id)))?;
            Ok::<_, Error>(Mutex::new(addr2line::Context::from_dwarf(dwarf)?))
        })?;
        Ok(Some(Dwarf { held }))
    }

    /// What the source has at `at`, innermost first.
    pub(crate) fn frames(&self, at: Svma) -> Result<Vec<SourceFrame>, Error> {
        self.held.with_dependent(|_, context| {
            let context = context.lock().unwrap_or_else(PoisonError::into_inner);
            let mut found = context.find_frames(at.0).skip_all_loads()?;
            let mut frames = Vec::new();
            while frames.len() < MAX_INLINED
                && let Some(frame) = found.next()?
            {
                let raw = frame.function.as_ref().map(|name| name.raw_name()).transpose()?;
                let place = frame.location.as_ref();
                frames.push(SourceFrame {
                    function: raw.map(|raw| demangle(&raw).into()),
                    file: place.and_then(|place| place.file).map(Arc::from),
                    line: place.and_then(|place| place.line),
                    column: place.and_then(|place| place.column).filter(|column| *column > 0),
                    start: None,
                });
            }
            Ok(frames)
        })
    }
}

impl Sections {
    fn read(file: &Elf) -> Result<Sections, Error> {
        let mut bytes = Vec::new();
        for id in WANTED {
            if let Some(section) = file.section(id.name())? {
                bytes.push((id, section.bytes));
            }
        }
        Ok(Sections { little_endian: file.is_little_endian(), bytes })
    }

    fn reader(&self, id: SectionId) -> Reader<'_> {
        let endian = if self.little_endian { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let bytes = self.bytes.iter().find(|(found, _)| *found == id).map_or(&[][..], |(_, bytes)| bytes);
        EndianSlice::new(bytes, endian)
    }
}

/// The sections that names and lines need.
const WANTED: [SectionId; 11] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTypes,
];
