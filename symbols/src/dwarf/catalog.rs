//! All global variables and all named structures of a module: what an address in its data is, what a type of a given name looks like.
//!
//! Made in one pass over the debug information when first asked for; that takes about a second per 200 MB.

use gimli::{DebuggingInformationEntry, UnitType};

use super::file::File;
use super::names::{declared_name, last_part};
use super::place::Place;
use super::shape::{is_aggregate, is_declaration};
use super::unit::Unit;
use super::variables::fixed_address;
use crate::Error;

/// Debug information beyond this many bytes is not searched.
const MAX_BYTES: usize = 2 << 30;
/// Variables, and types, beyond this many are left out.
const MAX_ENTRIES: usize = 4 << 20;
/// How many types of one name are compared with the one looked for.
const MAX_SAME_NAME: usize = 4096;

/// Where the entries are that stand for something outside their unit.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// By address.
    globals: Vec<Global>,
    /// By hash of the name without its scope.
    types: Vec<NamedType>,
}

/// A variable with a fixed address.
#[derive(Clone, Copy, Debug)]
struct Global {
    address: u64,
    entry: EntryId,
}

#[derive(Clone, Copy, Debug)]
struct NamedType {
    name: u64,
    entry: EntryId,
}

/// An entry by the index of its unit and its offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EntryId {
    unit: u32,
    at: usize,
}

impl Catalog {
    /// Looks through the units of one file. A unit that is damaged contributes what comes before the damage.
    pub(super) fn new(file: &File<'_>) -> Catalog {
        let mut catalog = Catalog::default();
        let mut bytes = 0usize;
        for (index, unit) in (0u32..).zip(&file.units) {
            bytes = bytes.saturating_add(unit.header.length_including_self());
            if bytes > MAX_BYTES || catalog.globals.len().max(catalog.types.len()) > MAX_ENTRIES {
                break;
            }
            if !matches!(unit.header.type_(), UnitType::Skeleton(_)) {
                // What was found before the damage stays.
                let _ = catalog.add(file, unit, index);
            }
        }
        catalog.globals.sort_by_key(|global| (global.address, global.entry));
        catalog.types.sort_by_key(|ty| (ty.name, ty.entry));
        catalog
    }

    fn add<'a>(&mut self, file: &File<'a>, unit: &Unit<'a>, index: u32) -> Result<(), Error> {
        let parsed = unit.parsed(&file.parser)?;
        let mut entries = parsed.entries_raw(None)?;
        let mut entry = DebuggingInformationEntry::null();
        while !entries.is_empty() {
            let at = entries.next_offset();
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            entry.tag = abbreviation.tag();
            if entry.tag != gimli::DW_TAG_variable && !is_aggregate(entry.tag) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            entries.read_attributes(abbreviation.attributes(), &mut entry.attrs)?;
            let entry_id = EntryId { unit: index, at: at.0 };
            if entry.tag() == gimli::DW_TAG_variable {
                let address = fixed_address(parsed, &entry).filter(|address| *address != 0);
                self.globals.extend(address.map(|address| Global { address, entry: entry_id }));
            } else if !is_declaration(&entry)
                && let Some(name) = entry.attr_value(gimli::DW_AT_name)
                && let Ok(name) = parsed.attr_string(name)
            {
                self.types.push(NamedType { name: hash(name.slice()), entry: entry_id });
            }
        }
        Ok(())
    }

    /// The variables that start at the highest address that is not above `at`, with that address.
    pub(super) fn globals_before<'f, 'a>(&self, file: &'f File<'a>, at: u64) -> Vec<(u64, Place<'f, 'a>)> {
        let count = self.globals.partition_point(|global| global.address <= at);
        let before = self.globals.get(..count).unwrap_or_default();
        let Some(start) = before.last().map(|global| global.address) else { return Vec::new() };
        let same = before.iter().rev().take_while(|global| global.address == start).take(MAX_SAME_NAME);
        same.filter_map(|global| Some((start, global.entry.place(file)?))).collect()
    }

    /// All variables with a fixed address, ascending by it.
    pub(super) fn globals<'f, 'a>(&self, file: &'f File<'a>) -> impl Iterator<Item = (u64, Place<'f, 'a>)> {
        self.globals.iter().filter_map(move |global| Some((global.address, global.entry.place(file)?)))
    }

    /// The structure of that full name.
    pub(super) fn type_named<'f, 'a>(&self, file: &'f File<'a>, name: &str) -> Option<Place<'f, 'a>> {
        let wanted = hash(last_part(name).as_bytes());
        let first = self.types.partition_point(|ty| ty.name < wanted);
        let same = self.types.get(first..)?.iter().take_while(|ty| ty.name == wanted).take(MAX_SAME_NAME);
        let mut places = same.filter_map(|ty| ty.entry.place(file));
        places.find(|place| declared_name(*place).ok().flatten().as_deref() == Some(name))
    }
}

impl EntryId {
    fn place<'f, 'a>(self, file: &'f File<'a>) -> Option<Place<'f, 'a>> {
        let unit = file.units.get(usize::try_from(self.unit).ok()?)?;
        Some(Place { file, unit, at: gimli::UnitOffset(self.at) })
    }
}

fn hash(name: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(name);
    hasher.finish()
}
