//! Functions, inlined calls and source lines of a module, from its DWARF (versions 2 to 5).
//!
//! gimli reads the bytes; this module decides what to read and when: unit headers at first, a unit's functions and lines when an address
//! falls into it, a function's inlined calls each time. Nothing recurses as deep as the file says, and several threads may ask at once.

mod calls;
mod file;
mod lines;
mod names;
mod sections;
mod unit;

use std::sync::Arc;

use gimli::UnitOffset;
use self_cell::self_cell;

use self::calls::inlined_calls;
use self::file::{File, Place};
use self::lines::{Position, file_path};
use self::names::{Name, name_of};
use self::sections::Sections;
use self::unit::Unit;
use crate::{Elf, Error, Svma};

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
    /// Where the physical function starts; for a part that the compiler moved away, where that part starts.
    pub start: Option<Svma>,
}

/// What DWARF says of one frame, and whether the name is the one that the linker knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    pub(crate) frame: SourceFrame,
    pub(crate) has_linkage_name: bool,
}

struct Files {
    main: Sections,
    supplementary: Option<Sections>,
}

self_cell!(
    struct Held {
        owner: Files,
        #[not_covariant]
        dependent: File,
    }
);

/// The DWARF of one file.
pub(crate) struct Dwarf {
    held: Held,
}

impl Dwarf {
    /// Reads the list of units. `None` where the file has no `.debug_info`. `supplementary` is the file that `dwz` made.
    pub(crate) fn new(file: &Elf, supplementary: Option<&Elf>) -> Result<Option<Dwarf>, Error> {
        if !file.has_debug_info() {
            return Ok(None);
        }
        let supplementary = supplementary.map(Sections::of_module).transpose()?;
        let files = Files { main: Sections::of_module(file)?, supplementary };
        let held = Held::try_new(files, |files| File::new(&files.main, files.supplementary.as_ref()))?;
        Ok(Some(Dwarf { held }))
    }

    /// What the source has at `at`, innermost first; empty where the DWARF says nothing.
    pub(crate) fn frames(&self, at: Svma) -> Result<Vec<Described>, Error> {
        self.held.with_dependent(|_, file| {
            let mut only_line = Vec::new();
            for unit in file.units_at(at.0) {
                let position = unit.lines(file)?.and_then(|lines| lines.position(at.0));
                let function = unit.index(file)?.functions.containing(at.0).next();
                match (function, position) {
                    (Some(range), _) => {
                        let start = Svma(crate::intervals::Span::start(range));
                        return expand(file, unit, range.function, position, at, start);
                    }
                    (None, Some(position)) if only_line.is_empty() => {
                        only_line.push(described(file, unit, None, Some(position), None)?);
                    }
                    _ => {}
                }
            }
            Ok(only_line)
        })
    }
}

/// The frames of a function: an inlined one is at the position of what is inside it, its caller at the position of the call.
fn expand<'a>(
    file: &File<'a>,
    unit: &Unit<'a>,
    function: UnitOffset,
    position: Option<Position>,
    at: Svma,
    start: Svma,
) -> Result<Vec<Described>, Error> {
    let calls = inlined_calls(unit.parsed(file)?, function, at.0)?;
    let mut frames = Vec::with_capacity(calls.len().saturating_add(1));
    let mut position = position;
    for call in calls.iter().rev() {
        frames.push(described(file, unit, Some(call.entry), position, Some(start))?);
        position = Some(call.call);
    }
    frames.push(described(file, unit, Some(function), position, Some(start))?);
    Ok(frames)
}

fn described<'a>(
    file: &File<'a>,
    unit: &Unit<'a>,
    entry: Option<UnitOffset>,
    position: Option<Position>,
    start: Option<Svma>,
) -> Result<Described, Error> {
    let name = match entry {
        Some(at) => name_of(Place { file, unit, at })?,
        None => None,
    };
    let parsed = unit.parsed(file)?;
    let path = position.and_then(|position| file_path(parsed, position.file?));
    let frame = SourceFrame {
        function: name.as_ref().map(|name| name.display().into()),
        file: path.map(Arc::from),
        line: position.and_then(|position| position.line),
        column: position.and_then(|position| position.column),
        start,
    };
    Ok(Described { frame, has_linkage_name: matches!(name, Some(Name::Linkage(_))) })
}
