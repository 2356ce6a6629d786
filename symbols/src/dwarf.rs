//! Functions, inlined calls and source lines of a module, from its DWARF (versions 2 to 5).
//!
//! gimli reads the bytes; this module decides what to read and when: unit headers at first, a unit's functions and lines when an address
//! falls into it, a function's inlined calls each time. Nothing recurses as deep as the file says, and several threads may ask at once.

mod calls;
mod file;
mod lines;
mod names;
mod sections;
mod split;
mod unit;

use std::sync::Arc;

use gimli::UnitOffset;
use self_cell::self_cell;

use self::calls::inlined_calls;
use self::file::{File, Place};
use self::lines::{Position, file_path};
use self::names::{Name, name_of};
use self::sections::Sections;
pub(crate) use self::split::SplitFiles;
use self::unit::Unit;
use crate::intervals::Span;
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

/// The DWARF of one module: one file, and those that it refers to.
pub(crate) struct Dwarf {
    held: Held,
    split: SplitFiles,
}

impl Dwarf {
    /// Reads the list of units. `None` where the file has no `.debug_info`. `supplementary` is the file that `dwz` made; `split` says where
    /// split units are looked for.
    pub(crate) fn new(file: &Elf, supplementary: Option<&Elf>, split: SplitFiles) -> Result<Option<Dwarf>, Error> {
        if !file.has_debug_info() {
            return Ok(None);
        }
        let supplementary = supplementary.map(Sections::of_module).transpose()?;
        let files = Files { main: Sections::of_module(file)?, supplementary };
        let held = Held::try_new(files, |files| File::new(&files.main, files.supplementary.as_ref()))?;
        Ok(Some(Dwarf { held, split }))
    }

    /// What the source has at `at`, innermost first; empty where the DWARF says nothing.
    pub(crate) fn frames(&self, at: Svma) -> Result<Vec<Described>, Error> {
        self.held.with_dependent(|files, file| {
            let mut only_line = Vec::new();
            for unit in file.units_at(at.0) {
                let line_table = LineTable { file, unit };
                let found = match unit.split(file, &files.main, &self.split) {
                    Some(split) => split.with_dependent(|_, split| match split.unit() {
                        Some(unit) => frames_in(&split.file, unit, line_table, at),
                        None => Ok(Vec::new()),
                    })?,
                    None => frames_in(file, unit, line_table, at)?,
                };
                if found.last().is_some_and(|physical| physical.frame.function.is_some()) {
                    return Ok(found);
                }
                if only_line.is_empty() {
                    only_line = found;
                }
            }
            Ok(only_line)
        })
    }
}

/// The unit with the line table: the skeleton where the functions are in a split unit.
#[derive(Clone, Copy)]
struct LineTable<'f, 'a> {
    file: &'f File<'a>,
    unit: &'f Unit<'a>,
}

impl LineTable<'_, '_> {
    fn position(self, at: Svma) -> Result<Option<Position>, Error> {
        Ok(self.unit.lines(self.file)?.and_then(|lines| lines.position(at.0)))
    }

    fn frame(self, position: Option<Position>) -> Result<SourceFrame, Error> {
        let parsed = self.unit.parsed(self.file)?;
        let path = position.and_then(|position| file_path(parsed, position.file?));
        Ok(SourceFrame {
            function: None,
            file: path.map(Arc::from),
            line: position.and_then(|position| position.line),
            column: position.and_then(|position| position.column),
            start: None,
        })
    }
}

/// The frames of the function at `at`: an inlined one is at the position of what is inside it, its caller at the position of the call.
fn frames_in<'a>(
    file: &File<'a>,
    unit: &Unit<'a>,
    lines: LineTable<'_, '_>,
    at: Svma,
) -> Result<Vec<Described>, Error> {
    let mut position = lines.position(at)?;
    let Some(function) = unit.index(file)?.functions.containing(at.0).next() else {
        return match position {
            Some(_) => Ok(vec![Described { frame: lines.frame(position)?, has_linkage_name: false }]),
            None => Ok(Vec::new()),
        };
    };
    let calls = inlined_calls(unit.parsed(file)?, function.function, at.0)?;
    let describe = |entry: UnitOffset, position| {
        let name = name_of(Place { file, unit, at: entry })?;
        let frame = SourceFrame {
            function: name.as_ref().map(|name| name.display().into()),
            start: Some(Svma(function.start())),
            ..lines.frame(position)?
        };
        Ok::<_, Error>(Described { frame, has_linkage_name: matches!(name, Some(Name::Linkage(_))) })
    };
    let mut frames = Vec::with_capacity(calls.len().saturating_add(1));
    for call in calls.iter().rev() {
        frames.push(describe(call.entry, position)?);
        position = Some(call.call);
    }
    frames.push(describe(function.function, position)?);
    Ok(frames)
}
