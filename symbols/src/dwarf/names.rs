//! What an entry is called: its linkage name, or its name within its scope.

use gimli::{AttributeValue, DwTag};

use super::file::Place;
use super::sections::Reader;
use super::types::{MAX_DEPTH, type_name};
use crate::demangle::without_clone;
use crate::{Error, demangle};

/// An entry refers to its declaration, that to another: no longer chains are followed. Real ones have three links.
const MAX_LINKS: usize = 16;
/// Scopes around an entry beyond this many are left out.
const MAX_SCOPES: usize = 64;
/// A scope can be a function, which has a scope: no deeper nesting is followed.
const MAX_NESTING: usize = 8;
/// Children of a function beyond this many are not looked through for parameters.
const MAX_PARAMETERS: usize = 256;
/// No longer name is built.
const MAX_NAME: usize = 16 << 10;

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

/// The name of the entry at `place`; `None` where it has none.
pub(super) fn name_of(place: Place<'_, '_>) -> Result<Option<Name>, Error> {
    nested_name(place, MAX_NESTING)
}

fn nested_name(place: Place<'_, '_>, nesting: usize) -> Result<Option<Name>, Error> {
    let found = Declared::of(place)?;
    if let Some(raw) = found.linkage {
        return Ok(Some(Name::Linkage(raw)));
    }
    let Some(name) = found.name else { return Ok(None) };
    let base = name.split('<').next().unwrap_or_default().to_owned();
    let mut full = scope(found.declaration, &name, nesting)?;
    full.push_str(&name);
    // What C++ exports without a linkage name is C: it is called by its bare name.
    if found.tag == gimli::DW_TAG_subprogram && !found.external && is_cpp(found.declaration)? {
        full.push_str(&parameters(found.declaration, MAX_DEPTH)?);
    }
    Ok(Some(Name::Scoped { full, base }))
}

/// The name of a type within its scope; `None` where it has none of its own, as pointers and unnamed structures.
pub(super) fn declared_name(place: Place<'_, '_>) -> Result<Option<String>, Error> {
    let found = Declared::of(place)?;
    let Some(name) = found.name else { return Ok(None) };
    Ok(Some(scope(found.declaration, &name, MAX_NESTING)? + &name))
}

/// The types of a function's parameters in parentheses.
pub(super) fn parameters(place: Place<'_, '_>, depth: usize) -> Result<String, Error> {
    let mut types: Vec<String> = Vec::new();
    place.for_children(MAX_PARAMETERS, |child, entry| {
        let artificial = matches!(entry.attr_value(gimli::DW_AT_artificial), Some(AttributeValue::Flag(true)));
        match entry.tag() {
            gimli::DW_TAG_formal_parameter if !artificial => {
                types.push(type_name(child.linked(entry, gimli::DW_AT_type), depth)?);
            }
            gimli::DW_TAG_unspecified_parameters => types.push("...".to_owned()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(format!("({})", types.join(", ")))
}

/// What follows the last `::` that stands outside template arguments.
pub(super) fn last_part(name: &str) -> &str {
    let mut depth = 0usize;
    let mut start = 0;
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'{' => depth = depth.saturating_add(1),
            b'>' | b')' | b'}' => depth = depth.saturating_sub(1),
            b':' if depth == 0 => start = at.saturating_add(1),
            _ => {}
        }
    }
    name.get(start..).unwrap_or(name)
}

/// What the chain of declarations of an entry says.
struct Declared<'f, 'a> {
    linkage: Option<String>,
    name: Option<String>,
    tag: DwTag,
    external: bool,
    /// The last entry of the chain: it stands in the scope that the source wrote it in.
    declaration: Place<'f, 'a>,
}

impl<'f, 'a> Declared<'f, 'a> {
    /// Follows abstract origins and specifications until a linkage name, or to the end.
    fn of(place: Place<'f, 'a>) -> Result<Declared<'f, 'a>, Error> {
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
            let text = |value| unit.attr_string(value).ok().map(|text| text.to_string_lossy().into_owned());
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

/// The scopes around the entry `name`, each followed by `::`.
fn scope(place: Place<'_, '_>, name: &str, nesting: usize) -> Result<String, Error> {
    let index = place.unit.index(place.file)?;
    if index.language.is_some_and(is_c) {
        return Ok(String::new());
    }
    let mut parts: Vec<String> = Vec::new();
    for around in index.scopes_around(place.at).take(MAX_SCOPES) {
        let around = place.with(around);
        let found = Declared::of(around)?;
        if found.tag == gimli::DW_TAG_subprogram {
            // Its name has its scope in it.
            let name = match nesting.checked_sub(1) {
                Some(nesting) => nested_name(around, nesting)?.map(|name| name.display()),
                None => None,
            };
            parts.extend(name);
            break;
        }
        parts.push(match found.name {
            Some(name) => name,
            None if found.tag == gimli::DW_TAG_namespace => "(anonymous namespace)".to_owned(),
            // The closure type of a lambda has no name; its function is called as the source calls it.
            None if name == "operator()" && parts.is_empty() => "{lambda}".to_owned(),
            None => "{unnamed}".to_owned(),
        });
    }
    let mut text = String::new();
    for part in parts.iter().rev().filter(|part| part.len() <= MAX_NAME) {
        if text.len() > MAX_NAME {
            break;
        }
        text.push_str(part);
        text.push_str("::");
    }
    Ok(text)
}

/// Languages without scopes: a function inside another is named by itself.
fn is_c(language: gimli::DwLang) -> bool {
    matches!(
        language,
        gimli::DW_LANG_C89 | gimli::DW_LANG_C | gimli::DW_LANG_C99 | gimli::DW_LANG_C11 | gimli::DW_LANG_C17
    )
}

/// Languages that tell functions of one name apart by their parameters.
fn is_cpp(place: Place<'_, '_>) -> Result<bool, Error> {
    let language = place.unit.index(place.file)?.language;
    Ok(matches!(
        language,
        Some(
            gimli::DW_LANG_C_plus_plus
                | gimli::DW_LANG_C_plus_plus_03
                | gimli::DW_LANG_C_plus_plus_11
                | gimli::DW_LANG_C_plus_plus_14
                | gimli::DW_LANG_C_plus_plus_17
                | gimli::DW_LANG_C_plus_plus_20
        )
    ))
}
