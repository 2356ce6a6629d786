//! Names put together: scopes, parameters, and the types that have no name of their own.
//!
//! A name can need another (a function's that of its parameter's type, a local type's that of its function), in hostile files without
//! end: a speller stops at a depth, a number of names, and a length, and leaves `…` there.

use gimli::AttributeValue;

use super::declared::{Declared, Name};
use super::place::Place;
use super::shape::element_count;
use crate::Error;

/// Names inside names.
const MAX_DEPTH: usize = 24;
/// Names looked up for one name.
const MAX_LOOKUPS: usize = 1024;
/// Scopes around an entry beyond this many are left out.
const MAX_SCOPES: usize = 64;
/// Parameters of a function beyond this many are left out.
const MAX_PARAMETERS: usize = 64;
/// No longer name is built, in bytes.
const MAX_NAME: usize = 16 << 10;

const LEFT_OUT: &str = "…";

/// How much may still be read for one name.
pub(super) struct Speller {
    depth: usize,
    lookups: usize,
}

impl Default for Speller {
    fn default() -> Speller {
        Speller { depth: MAX_DEPTH, lookups: MAX_LOOKUPS }
    }
}

impl Speller {
    /// The name of a function or variable.
    pub(super) fn name(&mut self, place: Place<'_, '_>) -> Result<Option<Name>, Error> {
        let found = Declared::of(place)?;
        if let Some(raw) = found.linkage {
            return Ok(Some(Name::Linkage(raw)));
        }
        let Some(name) = found.name else { return Ok(None) };
        let base = name.split('<').next().unwrap_or_default().to_owned();
        let mut full = self.scope(found.declaration, &name)?;
        full.push_str(&name);
        // What C++ exports without a linkage name is C: it is called by its bare name.
        if found.tag == gimli::DW_TAG_subprogram && !found.external && is_cpp(found.declaration)? {
            full.push_str(&self.parameters(found.declaration)?);
        }
        Ok(Some(Name::Scoped { full, base }))
    }

    /// The name of a type within its scope, if it has one.
    pub(super) fn declared_name(&mut self, place: Place<'_, '_>) -> Result<Option<String>, Error> {
        let found = Declared::of(place)?;
        let Some(name) = found.name else { return Ok(None) };
        Ok(Some(self.scope(found.declaration, &name)? + &name))
    }

    /// The name of a type, put together where it has none.
    pub(super) fn type_name(&mut self, place: Option<Place<'_, '_>>) -> Result<String, Error> {
        let Some(place) = place else { return Ok("void".to_owned()) };
        let name = self.deeper(|speller| match speller.declared_name(place)? {
            Some(name) => Ok(name),
            None => speller.derived_name(place),
        })?;
        Ok(if name.len() > MAX_NAME { LEFT_OUT.to_owned() } else { name })
    }

    /// The name of a pointer, array and so on.
    fn derived_name(&mut self, place: Place<'_, '_>) -> Result<String, Error> {
        let entry = place.entry()?;
        let target = place.linked(&entry, gimli::DW_AT_type);
        let name = match entry.tag() {
            gimli::DW_TAG_pointer_type => self.pointer_name(target, "*")?,
            gimli::DW_TAG_reference_type => self.pointer_name(target, "&")?,
            gimli::DW_TAG_rvalue_reference_type => self.pointer_name(target, "&&")?,
            gimli::DW_TAG_const_type => self.type_name(target)? + " const",
            gimli::DW_TAG_volatile_type => self.type_name(target)? + " volatile",
            gimli::DW_TAG_restrict_type => self.type_name(target)? + " restrict",
            gimli::DW_TAG_atomic_type => format!("_Atomic({})", self.type_name(target)?),
            gimli::DW_TAG_array_type => match element_count(place)?.0 {
                Some(count) => format!("{} [{count}]", self.type_name(target)?),
                None => self.type_name(target)? + " []",
            },
            gimli::DW_TAG_subroutine_type => format!("{} {}", self.type_name(target)?, self.parameters(place)?),
            gimli::DW_TAG_ptr_to_member_type => self.type_name(target)? + " ::*",
            gimli::DW_TAG_union_type => "{unnamed union}".to_owned(),
            gimli::DW_TAG_enumeration_type => "{unnamed enum}".to_owned(),
            _ => "{unnamed}".to_owned(),
        };
        Ok(name)
    }

    fn pointer_name(&mut self, target: Option<Place<'_, '_>>, mark: &str) -> Result<String, Error> {
        if let Some(function) = target {
            let entry = function.entry()?;
            if entry.tag() == gimli::DW_TAG_subroutine_type {
                let result = self.type_name(function.linked(&entry, gimli::DW_AT_type))?;
                return Ok(format!("{result} ({mark}){}", self.parameters(function)?));
            }
        }
        Ok(self.type_name(target)? + mark)
    }

    /// The types of a function's parameters in parentheses.
    fn parameters(&mut self, function: Place<'_, '_>) -> Result<String, Error> {
        let mut types: Vec<String> = Vec::new();
        let mut length = 0usize;
        function.for_children(|child, entry| {
            let artificial = matches!(entry.attr_value(gimli::DW_AT_artificial), Some(AttributeValue::Flag(true)));
            match entry.tag() {
                gimli::DW_TAG_formal_parameter if !artificial => {
                    types.push(self.type_name(child.linked(entry, gimli::DW_AT_type))?);
                }
                gimli::DW_TAG_unspecified_parameters => types.push("...".to_owned()),
                _ => return Ok(true),
            }
            length = length.saturating_add(types.last().map_or(0, String::len));
            Ok(types.len() < MAX_PARAMETERS && length < MAX_NAME)
        })?;
        Ok(format!("({})", types.join(", ")))
    }

    /// The scopes around the entry `name`, each followed by `::`.
    fn scope(&mut self, place: Place<'_, '_>, name: &str) -> Result<String, Error> {
        let index = place.unit.index(&place.file.parser)?;
        if index.language.is_some_and(is_c) {
            return Ok(String::new());
        }
        let mut parts: Vec<String> = Vec::new();
        for around in index.scopes_around(place.at).take(MAX_SCOPES) {
            let around = place.with(around);
            let found = Declared::of(around)?;
            if found.tag == gimli::DW_TAG_subprogram {
                // Its name has its scope in it.
                parts.push(self.deeper(|speller| {
                    let name = speller.name(around)?;
                    Ok(name.map_or_else(|| LEFT_OUT.to_owned(), |name| name.display()))
                })?);
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
        for part in parts.iter().rev() {
            if text.len().saturating_add(part.len()) > MAX_NAME {
                break;
            }
            text.push_str(part);
            text.push_str("::");
        }
        Ok(text)
    }

    /// Looks up a name that another one needs, if that may still be done.
    fn deeper(&mut self, read: impl FnOnce(&mut Speller) -> Result<String, Error>) -> Result<String, Error> {
        let (Some(depth), Some(lookups)) = (self.depth.checked_sub(1), self.lookups.checked_sub(1)) else {
            return Ok(LEFT_OUT.to_owned());
        };
        (self.depth, self.lookups) = (depth, lookups);
        let name = read(self);
        self.depth = self.depth.saturating_add(1);
        name
    }
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
    let language = place.unit.index(&place.file.parser)?.language;
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
