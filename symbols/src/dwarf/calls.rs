//! The inlined calls at an address.

use gimli::{AttributeValue, UnitOffset, UnitRef};

use super::lines::Position;
use super::sections::Reader;
use super::unit::{MAX_RANGES, PcRanges};
use crate::Error;

/// Inlined calls inside each other beyond this depth are not expanded. Compilers stop long before.
const MAX_DEPTH: usize = 256;
/// Entries of one function beyond this many are not looked at.
const MAX_ENTRIES: usize = 4 << 20;

/// A function that was inlined, and where the call stands in the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct InlinedCall {
    pub(super) entry: UnitOffset,
    pub(super) call: Position,
}

/// The inlined calls of `function` that cover `at`, outermost first.
pub(super) fn inlined_calls(
    unit: UnitRef<'_, Reader<'_>>,
    function: UnitOffset,
    at: u64,
) -> Result<Vec<InlinedCall>, Error> {
    let mut calls: Vec<InlinedCall> = Vec::new();
    let mut entries = unit.entries_raw(Some(function))?;
    let top = entries.next_depth();
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(calls) };
    entries.skip_attributes(abbreviation.attributes())?;
    if !abbreviation.has_children() {
        return Ok(calls);
    }
    // Depth of the entry whose children are passed over, and of the innermost call so far.
    let mut skipped: Option<isize> = None;
    let mut innermost = top;
    let mut budget = MAX_RANGES;
    for _ in 0..MAX_ENTRIES {
        let (depth, offset) = (entries.next_depth(), entries.next_offset());
        // Behind the last child of the innermost call nothing can be inside it.
        if entries.is_empty() || depth <= innermost {
            break;
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if skipped.is_some_and(|around| depth > around) {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        skipped = None;
        match abbreviation.tag() {
            gimli::DW_TAG_inlined_subroutine => {
                let mut pcs = PcRanges::default();
                let mut call = Position { file: None, line: None, column: None };
                for specification in abbreviation.attributes() {
                    let attribute = entries.read_attribute(*specification)?;
                    pcs.take(unit, &attribute)?;
                    note_call(&mut call, unit, &attribute);
                }
                if calls.len() < MAX_DEPTH && pcs.contains(unit, at, &mut budget)? {
                    calls.push(InlinedCall { entry: offset, call });
                    innermost = depth;
                } else {
                    skipped = Some(depth);
                }
                if !abbreviation.has_children() && innermost == depth {
                    break;
                }
            }
            // Functions and types that are local to this function have entries of their own.
            gimli::DW_TAG_subprogram | gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type => {
                entries.skip_attributes(abbreviation.attributes())?;
                skipped = Some(depth);
            }
            _ => entries.skip_attributes(abbreviation.attributes())?,
        }
    }
    Ok(calls)
}

fn note_call(call: &mut Position, unit: UnitRef<'_, Reader<'_>>, attribute: &gimli::Attribute<Reader<'_>>) {
    let number = || attribute.udata_value().and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0);
    match attribute.name() {
        gimli::DW_AT_call_file => {
            if let AttributeValue::FileIndex(index) = attribute.value() {
                // Before DWARF 5 file 0 means "none".
                call.file = (index > 0 || unit.header.version() >= 5).then_some(index);
            }
        }
        gimli::DW_AT_call_line => call.line = number(),
        gimli::DW_AT_call_column => call.column = number(),
        _ => {}
    }
}
