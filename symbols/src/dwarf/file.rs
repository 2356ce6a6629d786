//! One file of DWARF: its units, and which of them covers an address.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrevOffset, DebugInfoOffset, LocListIter, UnitHeader, UnitRef, UnitType,
};
use rustc_hash::FxHashMap;

use super::place::Place;
use super::sections::{Reader, Sections};
use super::unit::Unit;
use crate::Error;
use crate::intervals::{Intervals, Span};

/// Units beyond this many are not read (a large browser has 50,000).
const MAX_UNITS: usize = 1 << 20;
/// Address ranges of units beyond this many are not read.
const MAX_UNIT_RANGES: usize = 8 << 20;

/// Tables of abbreviations beyond this many are read again for each unit.
const MAX_TABLES: usize = 1 << 14;

/// Which of a module's files of debug information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Space {
    Main,
    Supplementary,
    /// The one with the split unit of the skeleton at this offset.
    Split(usize),
}

/// The units of one file, in file order.
pub(super) struct File<'a> {
    pub(super) space: Space,
    pub(super) dwarf: gimli::Dwarf<Reader<'a>>,
    pub(super) units: Vec<Unit<'a>>,
    /// What `.debug_aranges` lists. Some compilers write none, or not for all units.
    listed: Intervals<UnitRange>,
    /// What the units themselves state; read when an address is not listed.
    stated: OnceLock<Intervals<UnitRange>>,
    /// The file with the entries that `dwz` moved out of several files.
    pub(super) supplementary: Option<Box<File<'a>>>,
    /// Tables of abbreviations by their offset: dwz lets hundreds of units share one.
    abbreviations: Mutex<FxHashMap<DebugAbbrevOffset, Arc<Abbreviations>>>,
    /// Where its location lists are, if not in `dwarf`.
    lists: Option<&'a Sections>,
}

#[derive(Debug)]
struct UnitRange {
    start: u64,
    end: u64,
    unit: u32,
}

impl<'a> File<'a> {
    /// Reads the unit headers and `.debug_aranges`. Damage ends the list of units; what comes before it stays.
    pub(super) fn new(
        space: Space,
        sections: &'a Sections,
        supplementary: Option<&'a Sections>,
    ) -> Result<File<'a>, Error> {
        let mut dwarf = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(sections.reader(id)))?;
        let supplementary = match supplementary {
            Some(sections) => {
                dwarf.load_sup(|id| Ok::<_, gimli::Error>(sections.reader(id)))?;
                Some(Box::new(File::new(Space::Supplementary, sections, None)?))
            }
            None => None,
        };
        Ok(File { lists: Some(sections), ..File::of(space, dwarf, supplementary) })
    }

    /// The units of sections that were put together already.
    pub(super) fn of(space: Space, dwarf: gimli::Dwarf<Reader<'a>>, supplementary: Option<Box<File<'a>>>) -> File<'a> {
        let mut headers = dwarf.units();
        let mut units = Vec::new();
        while let Ok(Some(header)) = headers.next() {
            if units.len() >= MAX_UNITS {
                break;
            }
            if header.debug_info_offset().is_some() {
                units.push(Unit::new(header));
            }
        }
        let mut file = File {
            space,
            dwarf,
            units,
            listed: Intervals::default(),
            stated: OnceLock::new(),
            supplementary,
            abbreviations: Mutex::default(),
            lists: None,
        };
        file.listed = Intervals::new(file.listed_ranges());
        file
    }

    /// Parses a unit's own entry, with its abbreviations.
    pub(super) fn parse(&self, header: UnitHeader<Reader<'a>>) -> Result<gimli::Unit<Reader<'a>>, Error> {
        let offset = header.debug_abbrev_offset();
        let known = self.abbreviations.lock().unwrap_or_else(PoisonError::into_inner).get(&offset).cloned();
        let abbreviations = match known {
            Some(known) => known,
            None => {
                let read = Arc::new(self.dwarf.debug_abbrev.abbreviations(offset)?);
                let mut tables = self.abbreviations.lock().unwrap_or_else(PoisonError::into_inner);
                if tables.len() < MAX_TABLES {
                    tables.insert(offset, Arc::clone(&read));
                }
                read
            }
        };
        Ok(gimli::Unit::new_with_abbreviations(&self.dwarf, header, abbreviations)?)
    }

    /// The units that may hold `at`, each once.
    pub(super) fn units_at(&self, at: u64) -> Vec<&Unit<'a>> {
        let mut found = self.units_in(&self.listed, at);
        if found.is_empty() {
            let stated = self.stated.get_or_init(|| Intervals::new(self.stated_ranges()));
            found = self.units_in(stated, at);
        }
        found
    }

    /// The location list that an attribute of a unit of this file refers to.
    pub(super) fn locations(
        &self,
        unit: UnitRef<'_, Reader<'a>>,
        value: AttributeValue<Reader<'a>>,
    ) -> Option<LocListIter<Reader<'a>>> {
        let Some(lists) = self.lists.map(Sections::location_lists) else { return unit.attr_locations(value).ok()? };
        let offset = match value {
            AttributeValue::DebugLocListsIndex(index) => {
                lists.get_offset(unit.encoding(), unit.loclists_base, index).ok()?
            }
            value => unit.attr_locations_offset(value).ok()??,
        };
        lists.locations(offset, unit.encoding(), unit.low_pc, &unit.dwarf.debug_addr, unit.addr_base).ok()
    }

    /// The entry at an offset of `.debug_info`.
    pub(super) fn place(&self, at: DebugInfoOffset) -> Option<Place<'_, 'a>> {
        let before = self.units.partition_point(|unit| unit.start() <= at.0);
        let unit = self.units.get(before.checked_sub(1)?)?;
        Some(Place { file: self, unit, at: at.to_unit_offset(&unit.header)? })
    }

    /// The unit whose header is at that offset.
    pub(super) fn unit_starting_at(&self, offset: usize) -> Option<&Unit<'a>> {
        let index = self.units.binary_search_by_key(&offset, Unit::start).ok()?;
        self.units.get(index)
    }

    fn units_in(&self, ranges: &Intervals<UnitRange>, at: u64) -> Vec<&Unit<'a>> {
        let mut indexes: Vec<u32> = ranges.containing(at).map(|range| range.unit).collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.iter().filter_map(|index| self.units.get(usize::try_from(*index).ok()?)).collect()
    }

    fn listed_ranges(&self) -> Vec<UnitRange> {
        let mut ranges = Vec::new();
        let mut headers = self.dwarf.debug_aranges.headers();
        while let Ok(Some(header)) = headers.next() {
            let offset = header.debug_info_offset().0;
            let Ok(index) = self.units.binary_search_by_key(&offset, Unit::start) else { continue };
            let Ok(unit) = u32::try_from(index) else { continue };
            let mut entries = header.entries();
            // An entry whose range overflows is an error that does not end the list.
            while let Some(entry) = entries.next().transpose() {
                if ranges.len() >= MAX_UNIT_RANGES {
                    return ranges;
                }
                if let Ok(entry) = entry
                    && entry.address() != 0
                {
                    ranges.push(UnitRange { start: entry.range().begin, end: entry.range().end, unit });
                }
            }
        }
        ranges
    }

    fn stated_ranges(&self) -> Vec<UnitRange> {
        let mut ranges = Vec::new();
        let mut budget = MAX_UNIT_RANGES;
        for (index, unit) in (0u32..).zip(&self.units) {
            // Partial units hold entries that others refer to, type units types.
            if !matches!(unit.header.type_(), UnitType::Compilation | UnitType::Skeleton(_)) {
                continue;
            }
            let add = |start, end| ranges.push(UnitRange { start, end, unit: index });
            // A unit that cannot be read has no ranges; the others' stay.
            let _ = unit.stated_ranges(self, &mut budget, add);
        }
        ranges
    }
}

impl Span for UnitRange {
    fn start(&self) -> u64 {
        self.start
    }

    fn end(&self) -> u64 {
        self.end
    }
}
