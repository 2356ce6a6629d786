//! Functions, inlined calls and source lines of a module, from its DWARF (versions 2 to 5).
//!
//! gimli reads the bytes; this module decides what to read and when: unit headers at first, a unit's functions and lines when an address
//! falls into it, a function's inlined calls each time. Nothing recurses as deep as the file says, and several threads may ask at once.

mod call_sites;
mod calls;
mod catalog;
mod declared;
mod file;
mod ids;
mod lines;
mod names;
mod parser;
mod paths;
mod place;
mod sections;
mod shape;
mod spell;
mod split;
mod types;
mod unit;
mod variables;

use std::sync::{Arc, OnceLock};

use gimli::UnitOffset;
use self_cell::self_cell;

use self::call_sites::call_site;
pub use self::call_sites::{CallSite, Callee};
use self::calls::inlined_calls;
use self::catalog::Catalog;
use self::declared::Name;
use self::file::File;
use self::ids::Space;
pub use self::ids::TypeId;
use self::lines::{Position, file_path};
use self::names::{name_of, type_name};
pub use self::paths::Part;
use self::paths::{part_of_type, part_of_variable, type_of};
use self::place::Place;
use self::sections::Sections;
pub(crate) use self::split::SplitFiles;
use self::split::SplitUnit;
pub use self::types::{Encoding, Member, TypeKind, TypeLayout, Variants};
use self::types::{layout, type_parameters};
use self::unit::Unit;
use self::variables::locals;
pub use self::variables::{Expression, Locals, Location, Variable};
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

/// What DWARF says of one frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Described {
    pub(crate) frame: SourceFrame,
    /// The function's bare name, where the name was put together from scopes: the symbol's name tells more.
    pub(crate) base: Option<String>,
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
    /// The split units of skeletons, each opened once; parallel to the units of the main file.
    opened: Vec<OnceLock<Option<Box<SplitUnit>>>>,
    catalog: OnceLock<Catalog>,
}

impl Dwarf {
    /// Reads the list of units. `None` where the file has no `.debug_info`. `supplementary` is the file that `dwz` made; `split` says where
    /// split units are looked for.
    pub(crate) fn new(
        file: &Arc<Elf>,
        supplementary: Option<&Arc<Elf>>,
        split: SplitFiles,
    ) -> Result<Option<Dwarf>, Error> {
        if !file.has_debug_info() {
            return Ok(None);
        }
        let supplementary = supplementary.map(Sections::of_module).transpose()?;
        let files = Files { main: Sections::of_module(file)?, supplementary };
        let held = Held::try_new(files, |files| File::new(Space::Main, &files.main, files.supplementary.as_ref()))?;
        let units = held.with_dependent(|_, file| file.units.len());
        let opened = std::iter::repeat_with(OnceLock::new).take(units).collect();
        Ok(Some(Dwarf { held, split, opened, catalog: OnceLock::new() }))
    }

    /// What the source has at `at`, innermost first; empty where the DWARF says nothing.
    pub(crate) fn frames(&self, at: Svma) -> Result<Vec<Described>, Error> {
        let mut only_line = Vec::new();
        let found = self.each_unit_at(at, |file, unit, lines| {
            let found = frames_in(file, unit, lines, at)?;
            if found.last().is_some_and(|physical| physical.frame.function.is_some()) {
                return Ok(Some(found));
            }
            if only_line.is_empty() {
                only_line = found;
            }
            Ok(None)
        })?;
        Ok(found.unwrap_or(only_line))
    }

    /// The variables in scope at `at`; `None` where no function is known there.
    pub(crate) fn locals(&self, at: Svma) -> Result<Option<Locals>, Error> {
        self.each_unit_at(at, |file, unit, _| {
            let function = unit.index(&file.parser)?.functions.containing(at.0).next();
            function.map(|function| locals(file, unit, function.function, at)).transpose()
        })
    }

    /// The call that returns to `returns_to`; `None` where its caller does not describe it.
    pub(crate) fn call_site(&self, returns_to: Svma) -> Result<Option<CallSite>, Error> {
        // A call that never returns may be the last instruction of its function.
        let at = Svma(returns_to.0.saturating_sub(1));
        self.each_unit_at(at, |file, unit, _| {
            let Some(function) = unit.index(&file.parser)?.functions.containing(at.0).next() else { return Ok(None) };
            call_site(file, unit, function.function, returns_to)
        })
    }

    /// The global variable that holds `at`, and which part of it that is.
    pub(crate) fn global_at(&self, at: Svma) -> Result<Option<Part>, Error> {
        self.held.with_dependent(|files, file| {
            for (start, variable) in self.catalog(file).globals_before(file, at.0) {
                let offset = at.0.saturating_sub(start);
                if let Some(part) = part_of_variable(variable, offset)? {
                    return Ok(Some(part));
                }
            }
            self.each_split_unit(files, file, |split, catalog| {
                for (start, variable) in catalog.globals_before(split, at.0) {
                    if let Some(part) = part_of_variable(variable, at.0.saturating_sub(start))? {
                        return Ok(Some(part));
                    }
                }
                Ok(None)
            })
        })
    }

    /// The type of the global variable that begins at `at`.
    pub(crate) fn global_type(&self, at: Svma) -> Result<Option<TypeId>, Error> {
        self.held.with_dependent(|files, file| {
            let begins = |(start, _): &(u64, _)| *start == at.0;
            for (_, variable) in self.catalog(file).globals_before(file, at.0).into_iter().filter(begins) {
                if let Some(ty) = type_of(variable)? {
                    return Ok(Some(ty));
                }
            }
            self.each_split_unit(files, file, |split, catalog| {
                for (start, variable) in catalog.globals_before(split, at.0) {
                    if let Some(ty) = type_of(variable)?.filter(|_| start == at.0) {
                        return Ok(Some(ty));
                    }
                }
                Ok(None)
            })
        })
    }

    /// The global variables whose type is stated, ascending by address, one of those at the same.
    pub(crate) fn globals(&self) -> Result<Vec<(Svma, TypeId)>, Error> {
        let typed = |(at, variable): (u64, Place<'_, '_>)| Some((Svma(at), type_of(variable).ok()??));
        self.held.with_dependent(|files, file| {
            let mut all: Vec<(Svma, TypeId)> = self.catalog(file).globals(file).filter_map(typed).collect();
            self.each_split_unit(files, file, |split, catalog| {
                all.extend(catalog.globals(split).filter_map(typed));
                Ok(None::<()>)
            })?;
            all.sort();
            all.dedup_by_key(|(at, _)| *at);
            Ok(all)
        })
    }

    /// The structure of that full name.
    pub(crate) fn type_named(&self, name: &str) -> Result<Option<TypeId>, Error> {
        self.held.with_dependent(|files, file| {
            if let Some(place) = self.catalog(file).type_named(file, name) {
                return Ok(place.type_id());
            }
            self.each_split_unit(files, file, |split, catalog| {
                Ok(catalog.type_named(split, name).and_then(|place| place.type_id()))
            })
        })
    }

    /// The layout of a type that this module gave out.
    pub(crate) fn layout(&self, id: TypeId) -> Result<Option<TypeLayout>, Error> {
        let found = self.with_type(id, layout)?;
        // What one unit only declares another defines.
        if let Some(TypeLayout { kind: TypeKind::Opaque, name, .. }) = &found
            && let Some(definition) = self.type_named(name)?
        {
            return self.with_type(definition, layout);
        }
        Ok(found)
    }

    /// What a type is called.
    pub(crate) fn type_name(&self, id: TypeId) -> Result<Option<String>, Error> {
        self.with_type(id, |place| type_name(Some(place)))
    }

    /// The types that a template was given, in order, each with the parameter's name.
    pub(crate) fn type_parameters(&self, id: TypeId) -> Result<Vec<(String, TypeId)>, Error> {
        Ok(self.with_type(id, type_parameters)?.unwrap_or_default())
    }

    /// The type whose objects have this one as vtable.
    pub(crate) fn containing_type(&self, id: TypeId) -> Result<Option<TypeId>, Error> {
        let containing = |place: Place<'_, '_>| {
            let found = place.linked(&place.entry()?, gimli::DW_AT_containing_type);
            Ok(found.and_then(|found| found.type_id()))
        };
        Ok(self.with_type(id, containing)?.flatten())
    }

    /// The part of a type at an offset.
    pub(crate) fn part(&self, id: TypeId, offset: u64) -> Result<Option<Part>, Error> {
        Ok(self.with_type(id, |place| part_of_type(place, offset, String::new()))?.flatten())
    }

    fn catalog(&self, file: &File<'_>) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::new(file))
    }

    /// Calls `each` for the units that may hold `at` until it has an answer; for a skeleton with the unit that has the functions. The third
    /// argument is where the lines are.
    fn each_unit_at<T>(
        &self,
        at: Svma,
        mut each: impl for<'f, 'a, 'm> FnMut(&'f File<'a>, &'f Unit<'a>, LineTable<'f, 'm>) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        self.held.with_dependent(|files, file| {
            for unit in file.units_at(at.0) {
                let lines = LineTable { file, unit };
                let found = match self.split_of(files, file, unit) {
                    Some(split) => split.with_dependent(|_, split| match split.unit() {
                        Some(unit) => each(&split.file, unit, lines),
                        None => Ok(None),
                    })?,
                    None => each(file, unit, lines)?,
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }

    /// The unit with the functions, where this one is only a skeleton.
    fn split_of<'a>(&self, files: &Files, file: &File<'a>, unit: &Unit<'a>) -> Option<&SplitUnit> {
        let split = self.opened.get(file.index_of(unit)?)?.get_or_init(|| {
            let skeleton = unit.parsed(&file.parser).ok()?;
            self.split.open(&files.main, skeleton).map(Box::new)
        });
        split.as_deref()
    }

    /// Calls `each` for the split units until it has an answer.
    fn each_split_unit<T>(
        &self,
        files: &Files,
        file: &File<'_>,
        mut each: impl FnMut(&File<'_>, &Catalog) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        for unit in &file.units {
            let Some(split) = self.split_of(files, file, unit) else { continue };
            let found = split.with_dependent(|_, split| each(&split.file, split.catalog()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn with_type<T>(
        &self,
        id: TypeId,
        read: impl for<'f, 'a> FnOnce(Place<'f, 'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let at = gimli::DebugInfoOffset(id.at);
        self.held.with_dependent(|files, file| match id.space {
            Space::Main => Place::of(file, at).map(read).transpose(),
            Space::Supplementary => match &file.supplementary {
                Some(file) => Place::of(file, at).map(read).transpose(),
                None => Ok(None),
            },
            Space::Split(skeleton) => {
                let skeleton = file.unit_starting_at(skeleton);
                match skeleton.and_then(|unit| self.split_of(files, file, unit)) {
                    Some(split) => split.with_dependent(|_, split| Place::of(&split.file, at).map(read).transpose()),
                    None => Ok(None),
                }
            }
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
        Ok(self.unit.lines(&self.file.parser)?.and_then(|lines| lines.position(at.0)))
    }

    fn frame(self, position: Option<Position>) -> Result<SourceFrame, Error> {
        let parsed = self.unit.parsed(&self.file.parser)?;
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
    let Some(function) = unit.index(&file.parser)?.functions.containing(at.0).next() else {
        return match position {
            Some(_) => Ok(vec![Described { frame: lines.frame(position)?, base: None }]),
            None => Ok(Vec::new()),
        };
    };
    let calls = inlined_calls(unit.parsed(&file.parser)?, function.function, at.0)?;
    let describe = |entry: UnitOffset, position| {
        let name = name_of(Place { file, unit, at: entry })?;
        let frame = SourceFrame {
            function: name.as_ref().map(|name| name.display().into()),
            start: Some(Svma(function.start())),
            ..lines.frame(position)?
        };
        let base = match name {
            Some(Name::Scoped { base, .. }) => Some(base),
            _ => None,
        };
        Ok::<_, Error>(Described { frame, base })
    };
    let mut frames = Vec::with_capacity(calls.len().saturating_add(1));
    for call in calls.iter().rev() {
        frames.push(describe(call.entry, position)?);
        position = Some(call.call);
    }
    frames.push(describe(function.function, position)?);
    Ok(frames)
}
