//! One entry of the debug information: reading it, what is below it, what it refers to.

use gimli::{AttributeValue, DebugInfoOffset, DebuggingInformationEntry, DwAt, UnitOffset, UnitSectionOffset};

use super::file::File;
use super::ids::TypeId;
use super::sections::Reader;
use super::unit::Unit;
use crate::Error;

/// Text of the debug information is cut at this length, in bytes.
const MAX_TEXT: usize = 16 << 10;
/// Entries below one entry beyond this many are not looked at.
const MAX_ENTRIES: usize = 4 << 20;

/// An entry of a file: its unit and where it is in it.
#[derive(Clone, Copy)]
pub(super) struct Place<'f, 'a> {
    pub(super) file: &'f File<'a>,
    pub(super) unit: &'f Unit<'a>,
    pub(super) at: UnitOffset,
}

impl<'f, 'a> Place<'f, 'a> {
    /// The entry at an offset of the file's `.debug_info`.
    pub(super) fn of(file: &'f File<'a>, at: DebugInfoOffset) -> Option<Place<'f, 'a>> {
        let unit = file.unit_around(at)?;
        Some(Place { file, unit, at: at.to_unit_offset(&unit.header)? })
    }

    /// The unit, parsed.
    pub(super) fn parsed(&self) -> Result<gimli::UnitRef<'f, Reader<'a>>, Error> {
        self.unit.parsed(&self.file.parser)
    }

    /// Another entry of the same unit.
    pub(super) fn with(&self, at: UnitOffset) -> Place<'f, 'a> {
        Place { at, ..*self }
    }

    /// A type of the same file, or of the supplementary one.
    pub(super) fn of_type(&self, id: TypeId) -> Option<Place<'f, 'a>> {
        let file = if id.space == self.file.space { self.file } else { self.file.supplementary.as_deref()? };
        Place::of(file, DebugInfoOffset(id.at))
    }

    /// The entry that an attribute of this one refers to, in this unit, another one, or the supplementary file.
    pub(super) fn follow(&self, reference: gimli::AttributeValue<Reader<'a>>) -> Option<Place<'f, 'a>> {
        match reference {
            gimli::AttributeValue::UnitRef(at) => Some(self.with(at)),
            gimli::AttributeValue::DebugInfoRef(at) => Place::of(self.file, at),
            gimli::AttributeValue::DebugInfoRefSup(at) => Place::of(self.file.supplementary.as_deref()?, at),
            _ => None,
        }
    }

    /// What names this entry as a type.
    pub(super) fn type_id(&self) -> Option<TypeId> {
        let UnitSectionOffset(at) = self.at.to_unit_section_offset(&self.unit.header);
        Some(TypeId { space: self.file.space, at })
    }

    pub(super) fn entry(&self) -> Result<DebuggingInformationEntry<Reader<'a>>, Error> {
        Ok(self.parsed()?.entry(self.at)?)
    }

    /// The entry that an attribute refers to.
    pub(super) fn linked(&self, entry: &DebuggingInformationEntry<Reader<'a>>, name: DwAt) -> Option<Place<'f, 'a>> {
        self.follow(entry.attr_value(name)?)
    }

    /// Calls `each` for the entries directly below this one, until it says that it has enough.
    pub(super) fn for_children(
        &self,
        mut each: impl FnMut(Place<'f, 'a>, &DebuggingInformationEntry<Reader<'a>>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let unit = self.parsed()?;
        let mut entries = unit.entries_raw(Some(self.at))?;
        let top = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
        entries.skip_attributes(abbreviation.attributes())?;
        if !abbreviation.has_children() {
            return Ok(());
        }
        let mut child = DebuggingInformationEntry::null();
        for _ in 0..MAX_ENTRIES {
            if entries.is_empty() || entries.next_depth() <= top {
                break;
            }
            let (depth, at) = (entries.next_depth(), entries.next_offset());
            if depth == top.saturating_add(1) {
                if entries.read_entry(&mut child)? && !each(self.with(at), &child)? {
                    break;
                }
            } else if let Some(abbreviation) = entries.read_abbreviation()? {
                entries.skip_attributes(abbreviation.attributes())?;
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, entry: &DebuggingInformationEntry<Reader<'a>>, name: DwAt) -> Option<String> {
        self.string(entry.attr_value(name)?)
    }

    /// The text of an attribute of this unit.
    pub(super) fn string(&self, value: AttributeValue<Reader<'a>>) -> Option<String> {
        let text = self.parsed().ok()?.attr_string(value).ok()?;
        let text = text.slice();
        Some(String::from_utf8_lossy(text.get(..MAX_TEXT).unwrap_or(text)).into_owned())
    }
}
