//! What the entry of a type says by itself, without the layout of its parts: its kind, its size, its number of elements.

use gimli::{AttributeValue, DebuggingInformationEntry};

use super::place::Place;
use super::sections::Reader;
use crate::Error;

/// Typedefs, qualifiers and arrays around a type are followed to this depth.
pub(super) const MAX_DEPTH: usize = 32;
/// Dimensions of one array beyond this many are left out.
const MAX_DIMENSIONS: usize = 16;

/// The type without the typedefs and qualifiers around it.
pub(super) fn unaliased<'f, 'a>(mut place: Place<'f, 'a>) -> Result<Place<'f, 'a>, Error> {
    for _ in 0..MAX_DEPTH {
        let entry = place.entry()?;
        match place.linked(&entry, gimli::DW_AT_type) {
            Some(target) if is_alias(entry.tag()) => place = target,
            _ => break,
        }
    }
    Ok(place)
}

/// The type's size in bytes; `None` where it is not stated.
pub(super) fn size(place: Place<'_, '_>, depth: usize) -> Result<Option<u64>, Error> {
    let entry = place.entry()?;
    if let Some(size) = entry.attr_value(gimli::DW_AT_byte_size).and_then(|value| value.udata_value()) {
        return Ok(Some(size));
    }
    let Some(deeper) = depth.checked_sub(1) else { return Ok(None) };
    let target = place.linked(&entry, gimli::DW_AT_type);
    match (entry.tag(), target) {
        (gimli::DW_TAG_pointer_type | gimli::DW_TAG_reference_type | gimli::DW_TAG_rvalue_reference_type, _) => {
            Ok(Some(place.unit.header.address_size().into()))
        }
        (gimli::DW_TAG_array_type, Some(target)) => {
            let ((count, _), element) = (element_count(place)?, size(target, deeper)?);
            Ok(count.zip(element).and_then(|(count, element)| count.checked_mul(element)))
        }
        (tag, Some(target)) if is_alias(tag) => size(target, deeper),
        _ => Ok(None),
    }
}

pub(super) fn is_aggregate(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_interface_type
    )
}

pub(super) fn is_declaration(entry: &DebuggingInformationEntry<Reader<'_>>) -> bool {
    matches!(entry.attr_value(gimli::DW_AT_declaration), Some(AttributeValue::Flag(true)))
}

pub(super) fn is_alias(tag: gimli::DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
    )
}

/// The product of all dimensions, and how many they are.
pub(super) fn element_count(place: Place<'_, '_>) -> Result<(Option<u64>, usize), Error> {
    let mut total = Some(1u64);
    let mut dimensions = 0usize;
    place.for_children(|_, entry| {
        if entry.tag() == gimli::DW_TAG_subrange_type {
            let number = |name| entry.attr_value(name).and_then(|value| value.udata_value());
            let count = number(gimli::DW_AT_count).or_else(|| number(gimli::DW_AT_upper_bound)?.checked_add(1));
            total = count.zip(total).and_then(|(count, total)| total.checked_mul(count));
            dimensions = dimensions.saturating_add(1);
        }
        Ok(dimensions < MAX_DIMENSIONS)
    })?;
    Ok((total.filter(|_| dimensions > 0), dimensions))
}
