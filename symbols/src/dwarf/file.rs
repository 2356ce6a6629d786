//! One file of DWARF: its units, and which of them covers an address.

use std::sync::OnceLock;

use gimli::{AttributeValue, DebugInfoOffset, LocListIter, UnitRef, UnitType};

use super::ids::Space;
use super::parser::Parser;
use super::sections::{Reader, Sections};
use super::unit::Unit;
use crate::Error;
use crate::intervals::{Intervals, Span};

/// Units beyond this many are not read (a large browser has 50,000).
const MAX_UNITS: usize = 1 << 20;
/// Address ranges of units beyond this many are not read.
const MAX_UNIT_RANGES: usize = 8 << 20;

/// The units of one file, in file order.
pub(super) struct File<'a> {
    pub(super) space: Space,
    pub(super) parser: Parser<'a>,
    pub(super) units: Vec<Unit<'a>>,
    /// What `.debug_aranges` lists. Some compilers write none, or not for all units.
    listed: Intervals<UnitRange>,
    /// What the units themselves state; read when an address is not listed.
    stated: OnceLock<Intervals<UnitRange>>,
    /// The file with the entries that `dwz` moved out of several files.
    pub(super) supplementary: Option<Box<File<'a>>>,
    /// Where its location lists are, if not where `parser` reads.
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
            parser: Parser::new(dwarf),
            units,
            listed: Intervals::default(),
            stated: OnceLock::new(),
            supplementary,
            lists: None,
        };
        file.listed = Intervals::new(file.listed_ranges());
        file
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

    /// The unit in which an offset of `.debug_info` lies.
    pub(super) fn unit_around(&self, at: DebugInfoOffset) -> Option<&Unit<'a>> {
        let before = self.units.partition_point(|unit| unit.start() <= at.0);
        self.units.get(before.checked_sub(1)?)
    }

    /// The unit whose header is at that offset.
    pub(super) fn unit_starting_at(&self, offset: usize) -> Option<&Unit<'a>> {
        self.units.get(self.units.binary_search_by_key(&offset, Unit::start).ok()?)
    }

    /// Which of the file's units this is.
    pub(super) fn index_of(&self, unit: &Unit<'_>) -> Option<usize> {
        self.units.binary_search_by_key(&unit.start(), Unit::start).ok()
    }

    fn units_in(&self, ranges: &Intervals<UnitRange>, at: u64) -> Vec<&Unit<'a>> {
        let mut indexes: Vec<u32> = ranges.containing(at).map(|range| range.unit).collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes.iter().filter_map(|index| self.units.get(usize::try_from(*index).ok()?)).collect()
    }

    fn listed_ranges(&self) -> Vec<UnitRange> {
        let mut ranges = Vec::new();
        let mut headers = self.parser.dwarf.debug_aranges.headers();
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
            let _ = unit.stated_ranges(&self.parser, &mut budget, add);
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
