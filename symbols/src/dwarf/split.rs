//! Debug information that the compiler left in files of its own: `.dwo` beside the objects, or all of them packed into one `.dwp`.
//!
//! The module keeps a skeleton unit with the address ranges and the line table; functions and types are in the split unit. Both state the
//! same id, which is checked (DWARF 5 §3.1.2 and appendix F; before version 5 the GNU extension of the same shape).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gimli::{DebugInfoOffset, DwoId, UnitRef};
use self_cell::self_cell;

use super::catalog::Catalog;
use super::file::File;
use super::ids::Space;
use super::sections::{Reader, Sections};
use super::unit::Unit;
use crate::{Elf, Error, FileBytes, Locator};

/// Where to look for split units, and the package once it was looked for.
pub(crate) struct SplitFiles {
    locator: Option<Arc<Locator>>,
    /// The module's files: split units lie beside them.
    modules: Vec<PathBuf>,
    package: OnceLock<Option<Sections>>,
}

/// What a split unit is read from: its own sections, and the module's for the addresses.
pub(super) struct Sources {
    module: Sections,
    split: Sections,
}

/// A file of split units, one of which belongs to the skeleton that it was opened for.
pub(super) struct SplitFile<'a> {
    pub(super) file: File<'a>,
    unit: usize,
    catalog: OnceLock<Catalog>,
}

self_cell!(
    pub(super) struct SplitUnit {
        owner: Sources,
        #[not_covariant]
        dependent: SplitFile,
    }
);

impl SplitFiles {
    pub(crate) fn new(locator: Option<Arc<Locator>>, modules: Vec<PathBuf>) -> SplitFiles {
        SplitFiles { locator, modules, package: OnceLock::new() }
    }

    /// The split unit of a skeleton; `None` where its file is not found or is another build's.
    pub(super) fn open(&self, module: &Sections, skeleton: UnitRef<'_, Reader<'_>>) -> Option<SplitUnit> {
        let id = skeleton.dwo_id?;
        let at = skeleton.header.debug_info_offset()?;
        if let Some(package) = self.package() {
            let sources = Sources { module: module.clone(), split: package.clone() };
            if let Ok(unit) = SplitUnit::try_new(sources, |sources| SplitFile::in_package(sources, at, id)) {
                return Some(unit);
            }
        }
        let name = skeleton.attr_string(skeleton.dwo_name().ok()??).ok()?;
        let directory = skeleton.comp_dir.map(|directory| path(&directory).to_owned());
        let locator = self.locator.as_ref()?;
        let places = locator.split_units(&self.modules, directory.as_deref(), path(&name));
        places.iter().filter_map(|place| split_sections(place)).find_map(|split| {
            let sources = Sources { module: module.clone(), split };
            SplitUnit::try_new(sources, |sources| SplitFile::alone(sources, at, id)).ok()
        })
    }

    fn package(&self) -> Option<&Sections> {
        let package = self.package.get_or_init(|| {
            let places = self.locator.as_ref()?.packages(&self.modules);
            places.iter().find_map(|place| split_sections(place))
        });
        package.as_ref()
    }
}

impl<'a> SplitFile<'a> {
    pub(super) fn unit(&self) -> Option<&Unit<'a>> {
        self.file.units.get(self.unit)
    }

    /// The variables and types of the file.
    pub(super) fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::new(&self.file))
    }

    fn in_package(sources: &'a Sources, skeleton: DebugInfoOffset, id: DwoId) -> Result<SplitFile<'a>, Error> {
        let parent = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(sources.module.reader(id)))?;
        let empty = Reader::new(&[], sources.split.endian());
        let package = gimli::DwarfPackage::load(|id| Ok::<_, gimli::Error>(sources.split.reader(id)), empty)?;
        let dwarf = package.find_cu(id, &parent)?.ok_or(gimli::Error::MissingUnitDie)?;
        SplitFile::new(dwarf, &parent, skeleton, id)
    }

    fn alone(sources: &'a Sources, skeleton: DebugInfoOffset, id: DwoId) -> Result<SplitFile<'a>, Error> {
        let parent = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(sources.module.reader(id)))?;
        let mut dwarf = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(sources.split.reader(id)))?;
        dwarf.make_dwo(&parent);
        SplitFile::new(dwarf, &parent, skeleton, id)
    }

    fn new(
        dwarf: gimli::Dwarf<Reader<'a>>,
        parent: &gimli::Dwarf<Reader<'a>>,
        skeleton: DebugInfoOffset,
        id: DwoId,
    ) -> Result<SplitFile<'a>, Error> {
        let space = Space::Split(skeleton.0);
        let skeleton = parent.unit(parent.unit_header(skeleton)?)?;
        let file = File::of(space, dwarf, None);
        for (index, unit) in file.units.iter().enumerate() {
            let Ok(mut parsed) = file.parser.parse(unit.header) else { continue };
            if parsed.dwo_id == Some(id) {
                parsed.copy_relocated_attributes(&skeleton);
                unit.set_parsed(parsed);
                return Ok(SplitFile { unit: index, file, catalog: OnceLock::new() });
            }
        }
        Err(gimli::Error::MissingUnitDie.into())
    }
}

fn path<'a>(name: &Reader<'a>) -> &'a Path {
    Path::new(OsStr::from_bytes(name.slice()))
}

fn split_sections(path: &Path) -> Option<Sections> {
    let file = Elf::parse(FileBytes::open(path).ok()?).ok()?;
    Sections::of_split_units(&file).ok()
}
