//! The variables of the function at an address: names, types, and the expressions that say where they are.

use gimli::{AttributeValue, DebuggingInformationEntry, Reader as _, UnitOffset};

use super::file::File;
use super::ids::TypeId;
use super::names::type_name;
use super::place::Place;
use super::sections::Reader;
use super::unit::{MAX_RANGES, PcRanges, Unit};
use crate::{Error, Svma};

/// Variables of one function beyond this many are left out.
const MAX_VARIABLES: usize = 4096;
/// Entries of one function beyond this many are not looked at.
const MAX_ENTRIES: usize = 4 << 20;
/// Entries of one location list beyond this many are not looked at.
const MAX_LOCATIONS: usize = 1 << 16;
/// Links from a variable of an inlined function to its declaration.
const MAX_LINKS: usize = 16;

/// The variables that are in scope at an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locals {
    /// Parameters and variables in the order of the source, the physical function's first.
    pub variables: Vec<Variable>,
    /// What `DW_OP_fbreg` counts from (`DW_AT_frame_base` of the physical function).
    pub frame_base: Option<Expression>,
}

/// A parameter or a local variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: Option<String>,
    /// Its type.
    pub ty: Option<TypeId>,
    /// The type's name.
    pub type_name: Option<String>,
    /// Where its value is at this address.
    pub location: Location,
    /// Whether it is a parameter.
    pub is_parameter: bool,
    /// Which of the frames at this address it belongs to: an index into what `frames` gives.
    pub frame: usize,
}

/// Where a variable's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A DWARF expression says where.
    Expression(Expression),
    /// The value itself, in the target's byte order; a number has as many bytes as needed and is to be extended.
    Constant(Vec<u8>),
    /// The compiler kept it nowhere at this address.
    OptimizedOut,
}

/// A DWARF expression, to be evaluated with the frame's registers and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The operations.
    pub bytes: Vec<u8>,
    /// Address size, format and version of the unit it comes from.
    pub encoding: gimli::Encoding,
    /// Whether multi-byte operands are little endian.
    pub little_endian: bool,
}

/// The variables of `function` at `at`.
pub(super) fn locals<'a>(file: &File<'a>, unit: &Unit<'a>, function: UnitOffset, at: Svma) -> Result<Locals, Error> {
    let function = Place { file, unit, at: function };
    let (mut found, inlined) = in_scope(function, at)?;
    found.sort_by_key(|(_, depth)| *depth);
    let base = attribute_along_links(function, gimli::DW_AT_frame_base)?;
    let frame_base = base.and_then(|(place, value)| expression(place, value, at));
    let mut variables = Vec::new();
    for (entry, depth) in found {
        variables.extend(variable(function.with(entry), at, inlined.saturating_sub(depth))?);
    }
    Ok(Locals { variables, frame_base })
}

/// The entries of variables in the blocks and inlined calls that hold `at`, each with the number of inlined calls around it; and how
/// many inlined calls hold `at`.
fn in_scope(function: Place<'_, '_>, at: Svma) -> Result<(Vec<(UnitOffset, usize)>, usize), Error> {
    let unit = function.parsed()?;
    let mut found = Vec::new();
    let mut entries = unit.entries_raw(Some(function.at))?;
    let top = entries.next_depth();
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok((found, 0)) };
    entries.skip_attributes(abbreviation.attributes())?;
    // The blocks that are open and hold `at`: depth, and inlined calls around their content.
    let mut open: Vec<(isize, usize)> = vec![(top, 0)];
    let mut deepest = 0;
    let mut budget = MAX_RANGES;
    for _ in 0..MAX_ENTRIES {
        let (depth, offset) = (entries.next_depth(), entries.next_offset());
        if !abbreviation.has_children() || entries.is_empty() || depth <= top {
            break;
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        while open.pop_if(|(block, _)| *block >= depth).is_some() {}
        let inside = open.last().filter(|(block, _)| block.checked_add(1) == Some(depth));
        match (abbreviation.tag(), inside) {
            (gimli::DW_TAG_variable | gimli::DW_TAG_formal_parameter, Some((_, inlined))) => {
                if found.len() < MAX_VARIABLES {
                    found.push((offset, *inlined));
                }
                entries.skip_attributes(abbreviation.attributes())?;
            }
            (tag @ (gimli::DW_TAG_inlined_subroutine | gimli::DW_TAG_lexical_block), Some((_, inlined))) => {
                let inlined = inlined.saturating_add(usize::from(tag == gimli::DW_TAG_inlined_subroutine));
                let mut pcs = PcRanges::default();
                for specification in abbreviation.attributes() {
                    pcs.take(unit, &entries.read_attribute(*specification)?)?;
                }
                if pcs.contains(unit, at.0, &mut budget)? {
                    open.push((depth, inlined));
                    deepest = deepest.max(inlined);
                }
            }
            _ => entries.skip_attributes(abbreviation.attributes())?,
        }
    }
    Ok((found, deepest))
}

fn variable(place: Place<'_, '_>, at: Svma, frame: usize) -> Result<Option<Variable>, Error> {
    let is_parameter = place.entry()?.tag() == gimli::DW_TAG_formal_parameter;
    let name = attribute_along_links(place, gimli::DW_AT_name)?.and_then(|(place, value)| place.string(value));
    let ty = attribute_along_links(place, gimli::DW_AT_type)?.and_then(|(place, value)| place.follow(value));
    let location = match attribute_along_links(place, gimli::DW_AT_location)? {
        Some((place, value)) => expression(place, value, at).map_or(Location::OptimizedOut, Location::Expression),
        None => match attribute_along_links(place, gimli::DW_AT_const_value)? {
            Some((_, value)) => constant(&value).map_or(Location::OptimizedOut, Location::Constant),
            None => Location::OptimizedOut,
        },
    };
    let declared_elsewhere = attribute_along_links(place, gimli::DW_AT_declaration)?.is_some();
    if declared_elsewhere {
        return Ok(None);
    }
    let type_name = ty.map(|ty| type_name(Some(ty))).transpose()?;
    Ok(Some(Variable { name, ty: ty.and_then(|ty| ty.type_id()), type_name, location, is_parameter, frame }))
}

/// An attribute of the entry or of the one it is a copy of, and the entry that has it.
fn attribute_along_links<'f, 'a>(
    mut place: Place<'f, 'a>,
    name: gimli::DwAt,
) -> Result<Option<(Place<'f, 'a>, AttributeValue<Reader<'a>>)>, Error> {
    for _ in 0..MAX_LINKS {
        let entry = place.entry()?;
        if let Some(value) = entry.attr_value(name) {
            return Ok(Some((place, value)));
        }
        let next = |link| place.linked(&entry, link);
        match next(gimli::DW_AT_abstract_origin).or_else(|| next(gimli::DW_AT_specification)) {
            Some(origin) => place = origin,
            None => break,
        }
    }
    Ok(None)
}

/// The expression that holds at `at`: the only one, or the one of a location list.
pub(super) fn expression<'a>(place: Place<'_, 'a>, value: AttributeValue<Reader<'a>>, at: Svma) -> Option<Expression> {
    let unit = place.parsed().ok()?;
    let found = match value {
        AttributeValue::Exprloc(expression) => expression,
        value => {
            let mut list = place.file.locations(unit, value)?;
            let mut entries = 0..MAX_LOCATIONS;
            loop {
                entries.next()?;
                let entry = list.next_raw().ok()??;
                if let Some(entry) = list.convert_raw(entry).ok()?
                    && (entry.range.begin..entry.range.end).contains(&at.0)
                {
                    break entry.data;
                }
            }
        }
    };
    if found.0.slice().is_empty() {
        return None;
    }
    let encoding = unit.encoding();
    let little_endian = found.0.endian() == gimli::RunTimeEndian::Little;
    Some(Expression { bytes: with_addresses(unit, found)?, encoding, little_endian })
}

/// The expression's bytes with indexes into `.debug_addr` replaced by the addresses, so that it stands for itself. `None` where that
/// would shift the target of a branch, or an operation is unknown.
fn with_addresses<'a>(
    unit: gimli::UnitRef<'_, Reader<'a>>,
    expression: gimli::Expression<Reader<'a>>,
) -> Option<Vec<u8>> {
    let whole = expression.0.slice();
    let mut bytes = Vec::with_capacity(whole.len());
    let mut rest = expression.0;
    let mut branches = false;
    while !rest.slice().is_empty() {
        let before = rest.slice();
        let operation = gimli::Operation::parse(&mut rest, unit.encoding()).ok()?;
        match operation {
            gimli::Operation::AddressIndex { index } => {
                let address = unit.address(index).ok()?;
                bytes.push(gimli::DW_OP_addr.0);
                append_address(&mut bytes, address, unit.encoding().address_size, rest.endian())?;
            }
            operation => {
                branches |= matches!(operation, gimli::Operation::Bra { .. } | gimli::Operation::Skip { .. });
                let length = before.len().checked_sub(rest.slice().len())?;
                bytes.extend_from_slice(before.get(..length)?);
            }
        }
    }
    (!branches || bytes.len() == whole.len()).then_some(bytes)
}

fn append_address(bytes: &mut Vec<u8>, address: u64, size: u8, endian: gimli::RunTimeEndian) -> Option<()> {
    let little = address.to_le_bytes();
    let used = little.get(..usize::from(size))?;
    match endian {
        gimli::RunTimeEndian::Little => bytes.extend_from_slice(used),
        gimli::RunTimeEndian::Big => bytes.extend(used.iter().rev()),
    }
    Some(())
}

fn constant(value: &AttributeValue<Reader<'_>>) -> Option<Vec<u8>> {
    match value {
        AttributeValue::Block(bytes) => Some(bytes.slice().to_vec()),
        AttributeValue::String(text) => Some(text.slice().to_vec()),
        AttributeValue::Sdata(number) => Some(number.to_le_bytes().to_vec()),
        AttributeValue::Data16(number) => Some(number.to_le_bytes().to_vec()),
        value => value.udata_value().map(|number| number.to_le_bytes().to_vec()),
    }
}

/// Where a global variable is, if it is at one address.
pub(super) fn fixed_address<'a>(
    unit: gimli::UnitRef<'_, Reader<'a>>,
    entry: &DebuggingInformationEntry<Reader<'a>>,
) -> Option<u64> {
    let AttributeValue::Exprloc(mut expression) = entry.attr_value(gimli::DW_AT_location)? else { return None };
    let operation = gimli::Operation::parse(&mut expression.0, unit.encoding()).ok()?;
    let address = match operation {
        gimli::Operation::Address { address } => address,
        gimli::Operation::AddressIndex { index } => unit.address(index).ok()?,
        _ => return None,
    };
    // More operations make it something else, such as an offset into thread-local storage.
    expression.0.slice().is_empty().then_some(address)
}
