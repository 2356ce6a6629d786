//! What a caller passed: the values that registers had at a call, as the compiler states them for debuggers.
//!
//! Specification: DWARF 5 §3.4.1 and §3.4.2; before version 5 the GNU extension of the same shape.

use gimli::{AttributeValue, UnitOffset};

use super::declared::Declared;
use super::file::File;
use super::place::Place;
use super::sections::Reader;
use super::unit::Unit;
use super::variables::{Expression, expression};
use crate::{Error, Svma};

/// Entries of one function beyond this many are not looked at.
const MAX_ENTRIES: usize = 4 << 20;
/// Registers of one call beyond this many are left out.
const MAX_VALUES: usize = 64;

/// A call, as its caller describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// Whom it calls.
    pub callee: Callee,
    /// Registers by DWARF number, each with the expression for the value that it had at the call, to be evaluated in the caller's frame.
    pub values: Vec<(u16, Expression)>,
}

/// Whom a call calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callee {
    /// The function that starts there, in the same module.
    Start(Svma),
    /// The function of that (mangled) name.
    Named(String),
    /// What an expression gives in the caller's frame.
    Computed(Expression),
    /// Not told.
    Unknown,
}

/// The call in `function` that returns to `returns_to`.
pub(super) fn call_site<'a>(
    file: &File<'a>,
    unit: &Unit<'a>,
    function: UnitOffset,
    returns_to: Svma,
) -> Result<Option<CallSite>, Error> {
    let parsed = unit.parsed(&file.parser)?;
    let mut entries = parsed.entries_raw(Some(function))?;
    let top = entries.next_depth();
    for _ in 0..MAX_ENTRIES {
        let (depth, offset) = (entries.next_depth(), entries.next_offset());
        if entries.is_empty() || (depth <= top && offset != function) {
            break;
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if !matches!(abbreviation.tag(), gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site) {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let mut returns_here = false;
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            // The extension calls it the low address, but it is where the call returns to as well.
            if matches!(attribute.name(), gimli::DW_AT_call_return_pc | gimli::DW_AT_low_pc) {
                returns_here |= parsed.attr_address(attribute.value())? == Some(returns_to.0);
            }
        }
        if returns_here {
            return described(Place { file, unit, at: offset }, returns_to).map(Some);
        }
    }
    Ok(None)
}

fn described(site: Place<'_, '_>, at: Svma) -> Result<CallSite, Error> {
    let mut values = Vec::new();
    site.for_children(|place, entry| {
        if matches!(entry.tag(), gimli::DW_TAG_call_site_parameter | gimli::DW_TAG_GNU_call_site_parameter) {
            let attribute = |new, old| entry.attr_value(new).or_else(|| entry.attr_value(old));
            let register = entry.attr_value(gimli::DW_AT_location).and_then(|value| register(place, value));
            let value = attribute(gimli::DW_AT_call_value, gimli::DW_AT_GNU_call_site_value);
            let value = value.and_then(|value| expression(place, value, at));
            values.extend(register.zip(value));
        }
        Ok(values.len() < MAX_VALUES)
    })?;
    Ok(CallSite { callee: callee(site, at)?, values })
}

/// The register that a location names; `None` for what is passed in memory.
fn register(place: Place<'_, '_>, location: AttributeValue<Reader<'_>>) -> Option<u16> {
    let AttributeValue::Exprloc(gimli::Expression(mut bytes)) = location else { return None };
    match gimli::Operation::parse(&mut bytes, place.parsed().ok()?.encoding()).ok()? {
        gimli::Operation::Register { register } if bytes.slice().is_empty() => Some(register.0),
        _ => None,
    }
}

fn callee(site: Place<'_, '_>, at: Svma) -> Result<Callee, Error> {
    let entry = site.entry()?;
    let origin = [gimli::DW_AT_call_origin, gimli::DW_AT_abstract_origin];
    if let Some(origin) = origin.into_iter().find_map(|name| site.linked(&entry, name)) {
        if let Some(low) = origin.entry()?.attr_value(gimli::DW_AT_low_pc)
            && let Some(start) = origin.parsed()?.attr_address(low)?
        {
            return Ok(Callee::Start(Svma(start)));
        }
        let declared = Declared::of(origin)?;
        return Ok(declared.linkage.or(declared.name).map_or(Callee::Unknown, Callee::Named));
    }
    let target = [gimli::DW_AT_call_target, gimli::DW_AT_GNU_call_site_target];
    let target = target.into_iter().find_map(|name| expression(site, entry.attr_value(name)?, at));
    Ok(target.map_or(Callee::Unknown, Callee::Computed))
}
