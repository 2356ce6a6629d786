//! What the chain of declarations of an entry says: names, before scopes are put around them.

use gimli::{AttributeValue, DwTag};

use super::place::Place;
use super::sections::Reader;
use crate::demangle::without_clone;
use crate::{Error, demangle};

/// An entry refers to its declaration, that to another: no longer chains are followed. Real ones have three links.
const MAX_LINKS: usize = 16;

/// The name of a function or variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The name that the linker knows, not demangled.
    Linkage(String),
    /// Names joined from the outermost scope inwards. Files give no linkage name to what only they see, nor to C.
    Scoped {
        /// With the scope, and the parameters of C++ functions.
        full: String,
        /// The name alone, without template arguments.
        base: String,
    },
}

impl Name {
    /// As the source has it.
    pub(super) fn display(&self) -> String {
        match self {
            Name::Linkage(raw) => without_clone(&demangle(raw)).to_owned(),
            Name::Scoped { full, .. } => full.clone(),
        }
    }
}

/// What the chain of declarations of an entry says.
pub(super) struct Declared<'f, 'a> {
    pub(super) linkage: Option<String>,
    pub(super) name: Option<String>,
    pub(super) tag: DwTag,
    pub(super) external: bool,
    /// The last entry of the chain: it stands in the scope that the source wrote it in.
    pub(super) declaration: Place<'f, 'a>,
}

impl<'f, 'a> Declared<'f, 'a> {
    /// Follows abstract origins and specifications until a linkage name, or to the end.
    pub(super) fn of(place: Place<'f, 'a>) -> Result<Declared<'f, 'a>, Error> {
        let mut found =
            Declared { linkage: None, name: None, tag: gimli::DW_TAG_null, external: false, declaration: place };
        for _ in 0..MAX_LINKS {
            let next = found.read()?;
            match next.and_then(|reference| found.declaration.follow(reference)) {
                Some(place) if found.linkage.is_none() => found.declaration = place,
                _ => break,
            }
        }
        Ok(found)
    }

    /// Reads one entry; the reference to the next one, if there is one.
    fn read(&mut self) -> Result<Option<AttributeValue<Reader<'a>>>, Error> {
        let unit = self.declaration.parsed()?;
        let mut entries = unit.entries_raw(Some(self.declaration.at))?;
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(None) };
        self.tag = abbreviation.tag();
        let mut next = None;
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            // A name that cannot be read is as good as none; the entry may have another.
            let text = |value| self.declaration.string(value);
            match attribute.name() {
                gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => self.linkage = text(attribute.value()),
                gimli::DW_AT_name if self.name.is_none() => self.name = text(attribute.value()),
                gimli::DW_AT_external => self.external |= matches!(attribute.value(), AttributeValue::Flag(true)),
                gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => next = Some(attribute.value()),
                _ => {}
            }
        }
        Ok(next)
    }
}
