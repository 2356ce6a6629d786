//! One unit: which functions it defines, where, and in which scope. Read in one pass over its entries when first asked for.

use std::sync::OnceLock;

use gimli::{AttributeValue, DwLang, UnitHeader, UnitOffset, UnitRef};

use super::lines::Lines;
use super::parser::Parser;
use super::sections::Reader;
use crate::Error;
use crate::intervals::{Intervals, Span};

/// Range list entries beyond this many are not read for one unit, or for one question: a hostile unit can let each of its entries refer to
/// one long list.
pub(super) const MAX_RANGES: usize = 1 << 20;

/// A unit and what has been read of it. Of thousands of units few are read: what is read lies apart.
pub(super) struct Unit<'a> {
    pub(super) header: UnitHeader<Reader<'a>>,
    parsed: OnceLock<Result<Box<gimli::Unit<Reader<'a>>>, Error>>,
    index: OnceLock<Result<Box<Index>, Error>>,
    lines: OnceLock<Result<Option<Box<Lines>>, Error>>,
}

/// What one pass over a unit's entries finds.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) language: Option<DwLang>,
    pub(super) functions: Intervals<FunctionRange>,
    /// By offset; a scope comes before those inside it.
    scopes: Vec<Scope>,
}

/// One range of a function's instructions. A function has several where the compiler moved its unlikely parts away.
#[derive(Clone, Copy, Debug)]
pub(super) struct FunctionRange {
    start: u64,
    end: u64,
    pub(super) function: UnitOffset,
}

/// An entry that gives those inside it a scope: a namespace, a type, a function.
#[derive(Clone, Copy, Debug)]
struct Scope {
    start: usize,
    end: usize,
    parent: Option<u32>,
}

/// The attributes that state which addresses an entry covers.
#[derive(Clone, Copy, Default)]
pub(super) struct PcRanges<'a> {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    ranges: Option<AttributeValue<Reader<'a>>>,
}

impl<'a> Unit<'a> {
    pub(super) fn new(header: UnitHeader<Reader<'a>>) -> Unit<'a> {
        Unit { header, parsed: OnceLock::new(), index: OnceLock::new(), lines: OnceLock::new() }
    }

    /// Where the unit starts in `.debug_info`.
    pub(super) fn start(&self) -> usize {
        self.header.debug_info_offset().map_or(0, |offset| offset.0)
    }

    /// The unit with its abbreviations and bases.
    pub(super) fn parsed<'f>(&'f self, parser: &'f Parser<'a>) -> Result<UnitRef<'f, Reader<'a>>, Error> {
        let parsed = self.parsed.get_or_init(|| Ok(Box::new(parser.parse(self.header)?)));
        let unit = parsed.as_ref().map_err(Clone::clone)?;
        Ok(UnitRef::new(&parser.dwarf, unit))
    }

    /// Puts the unit in place where parsing alone does not give all of it. Too late once it was parsed.
    pub(super) fn set_parsed(&self, unit: gimli::Unit<Reader<'a>>) {
        // A unit that is there already stays.
        let _ = self.parsed.set(Ok(Box::new(unit)));
    }

    /// The functions and scopes.
    pub(super) fn index(&self, parser: &Parser<'a>) -> Result<&Index, Error> {
        let index = self.index.get_or_init(|| Ok(Box::new(Index::new(self.parsed(parser)?)?)));
        index.as_deref().map_err(Clone::clone)
    }

    /// The line table; `None` where the unit has none.
    pub(super) fn lines(&self, parser: &Parser<'a>) -> Result<Option<&Lines>, Error> {
        let lines = self.lines.get_or_init(|| Ok(Lines::new(self.parsed(parser)?)?.map(Box::new)));
        lines.as_ref().map(Option::as_deref).map_err(Clone::clone)
    }

    /// The ranges that the unit's own entry states; where it states none, those of its line table.
    pub(super) fn stated_ranges(
        &self,
        parser: &Parser<'a>,
        budget: &mut usize,
        mut add: impl FnMut(u64, u64),
    ) -> Result<(), Error> {
        let unit = self.parsed(parser)?;
        let mut entries = unit.entries_raw(None)?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
        let mut pcs = PcRanges::default();
        for specification in abbreviation.attributes() {
            pcs.take(unit, &entries.read_attribute(*specification)?)?;
        }
        if pcs.for_each(unit, budget, &mut add)? == 0
            && let Some(lines) = self.lines(parser)?
        {
            lines.ranges().take(*budget).for_each(|(start, end)| add(start, end));
        }
        Ok(())
    }
}

impl Index {
    fn new(unit: UnitRef<'_, Reader<'_>>) -> Result<Index, Error> {
        let mut language = None;
        let mut functions = Vec::new();
        let mut scopes: Vec<Scope> = Vec::new();
        // The scopes around the current entry: depth and index.
        let mut open: Vec<(isize, u32)> = Vec::new();
        let mut budget = MAX_RANGES;
        let mut entries = unit.entries_raw(None)?;
        while !entries.is_empty() {
            let (depth, offset) = (entries.next_depth(), entries.next_offset());
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            while let Some((_, index)) = open.pop_if(|(around, _)| *around >= depth) {
                close(&mut scopes, index, offset.0);
            }
            let tag = abbreviation.tag();
            if abbreviation.has_children() && is_scope(tag) {
                let parent = open.last().map(|(_, index)| *index);
                let Ok(index) = u32::try_from(scopes.len()) else { break };
                scopes.push(Scope { start: offset.0, end: usize::MAX, parent });
                open.push((depth, index));
            }
            if tag == gimli::DW_TAG_subprogram {
                let mut pcs = PcRanges::default();
                for specification in abbreviation.attributes() {
                    pcs.take(unit, &entries.read_attribute(*specification)?)?;
                }
                pcs.for_each(unit, &mut budget, |start, end| {
                    functions.push(FunctionRange { start, end, function: offset })
                })?;
            } else if offset == unit.header.root_offset() {
                for specification in abbreviation.attributes() {
                    let attribute = entries.read_attribute(*specification)?;
                    if let (gimli::DW_AT_language, AttributeValue::Language(found)) =
                        (attribute.name(), attribute.value())
                    {
                        language = Some(found);
                    }
                }
            } else {
                entries.skip_attributes(abbreviation.attributes())?;
            }
        }
        Ok(Index { language, functions: Intervals::new(functions), scopes })
    }

    /// The scopes around the entry at `offset`, innermost first.
    pub(super) fn scopes_around(&self, offset: UnitOffset) -> impl Iterator<Item = UnitOffset> {
        let before = self.scopes.partition_point(|scope| scope.start < offset.0);
        let mut next = before.checked_sub(1).and_then(|index| u32::try_from(index).ok());
        let scope = |index: u32| self.scopes.get(usize::try_from(index).ok()?);
        // Parents come first in the list, so that each step goes down.
        std::iter::from_fn(move || {
            loop {
                let found = scope(next?)?;
                next = found.parent;
                if offset.0 < found.end {
                    return Some(UnitOffset(found.start));
                }
            }
        })
    }
}

fn close(scopes: &mut [Scope], index: u32, end: usize) {
    if let Some(scope) = usize::try_from(index).ok().and_then(|index| scopes.get_mut(index)) {
        scope.end = end;
    }
}

fn is_scope(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_namespace
            | gimli::DW_TAG_module
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_structure_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_enumeration_type
            | gimli::DW_TAG_interface_type
            | gimli::DW_TAG_subprogram
    )
}

impl<'a> PcRanges<'a> {
    /// Notes the attribute if it states addresses.
    pub(super) fn take(
        &mut self,
        unit: UnitRef<'_, Reader<'a>>,
        attribute: &gimli::Attribute<Reader<'a>>,
    ) -> Result<(), Error> {
        match attribute.name() {
            gimli::DW_AT_low_pc => self.low = unit.attr_address(attribute.value())?,
            gimli::DW_AT_high_pc => match attribute.value() {
                AttributeValue::Udata(size) => self.size = Some(size),
                value => self.high = unit.attr_address(value)?,
            },
            gimli::DW_AT_ranges => self.ranges = Some(attribute.value()),
            _ => {}
        }
        Ok(())
    }

    /// Calls `each` for the ranges that are not empty; how many those were. Every entry read is taken off `budget`, and none is read once that
    /// is used up. A range at address 0 belongs to a function that the linker dropped.
    pub(super) fn for_each(
        &self,
        unit: UnitRef<'_, Reader<'a>>,
        budget: &mut usize,
        mut each: impl FnMut(u64, u64),
    ) -> Result<usize, Error> {
        let mut count = 0usize;
        let mut add = |start: u64, end: u64| {
            if start != 0 && start < end {
                each(start, end);
                count = count.saturating_add(1);
            }
        };
        if let Some(value) = self.ranges {
            if let Some(mut list) = unit.attr_ranges(value)? {
                // Entry by entry: `next` passes over any number of empty ranges in one step.
                while let Some(left) = budget.checked_sub(1)
                    && let Some(entry) = list.next_raw()?
                {
                    *budget = left;
                    if let Some(range) = list.convert_raw(entry)? {
                        add(range.begin, range.end);
                    }
                }
            }
        } else if let Some(start) = self.low
            && let Some(left) = budget.checked_sub(1)
        {
            *budget = left;
            let end = self.high.or_else(|| start.checked_add(self.size?));
            add(start, end.unwrap_or(start));
        }
        Ok(count)
    }

    /// Whether `at` is one of the addresses.
    pub(super) fn contains(&self, unit: UnitRef<'_, Reader<'a>>, at: u64, budget: &mut usize) -> Result<bool, Error> {
        let mut found = false;
        self.for_each(unit, budget, |start, end| found |= (start..end).contains(&at))?;
        Ok(found)
    }
}

impl Span for FunctionRange {
    fn start(&self) -> u64 {
        self.start
    }

    fn end(&self) -> u64 {
        self.end
    }
}
