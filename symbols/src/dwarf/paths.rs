//! Which part of a variable an address is: `g_cache.shards[3].mutex_`.

use super::declared::Name;
use super::ids::TypeId;
use super::names::{name_of, type_name};
use super::place::Place;
use super::shape::{MAX_DEPTH, is_aggregate, size, unaliased};
use super::types::{Member, TypeKind, layout};
use crate::Error;

/// A part of a variable or of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The variable's name with the members and indexes that lead to the part; for a part of a structure it begins with `.` or `[`, and is
    /// empty for the structure itself.
    pub path: String,
    /// The part's type.
    pub ty: TypeId,
    /// The type's name.
    pub type_name: String,
    /// How many bytes into the part the address is. Not 0 where the path ends at a library's type: its insides tell a reader nothing.
    pub offset: u64,
}

/// The part of the variable at `variable` that is `offset` bytes from its start; `None` where it is shorter than that.
pub(super) fn part_of_variable(variable: Place<'_, '_>, offset: u64) -> Result<Option<Part>, Error> {
    let Some(name) = name_of(variable)? else { return Ok(None) };
    let Some(ty) = type_of_variable(variable)? else { return Ok(None) };
    // Without a size it reaches as far as one asks: an array without a bound, or a type that only another unit completes.
    if size(ty, MAX_DEPTH)?.is_some_and(|size| offset >= size) {
        return Ok(None);
    }
    let name = match name {
        Name::Linkage(_) => name.display(),
        Name::Scoped { full, .. } => full,
    };
    part_of_type(ty, offset, name)
}

/// The type of a variable, whatever it is made of; `None` where none is stated.
pub(super) fn type_of(variable: Place<'_, '_>) -> Result<Option<TypeId>, Error> {
    Ok(type_of_variable(variable)?.and_then(|ty| ty.type_id()))
}

/// The part of a structure that is `offset` bytes from its start; its path follows `path`.
pub(super) fn part_of_type(ty: Place<'_, '_>, offset: u64, mut path: String) -> Result<Option<Part>, Error> {
    let (mut place, mut offset) = (ty, offset);
    let mut inside_wrapper = false;
    for _ in 0..MAX_DEPTH {
        let name = plain(&type_name(Some(place))?);
        let wrapper = WRAPPERS.iter().any(|wrapper| name.starts_with(wrapper));
        inside_wrapper = wrapper || (inside_wrapper && name.starts_with("std::_"));
        let whole = unaliased(place)?;
        // The name of an array begins with its elements' name, but its elements are the program's to tell apart.
        let is_array = whole.entry()?.tag() == gimli::DW_TAG_array_type;
        if is_library_type(&name) && !inside_wrapper && !is_array {
            break;
        }
        let Some((step, next)) = step(whole, offset, inside_wrapper)? else { break };
        path.push_str(&step.text);
        offset = step.rest;
        place = next;
    }
    let Some(id) = place.type_id() else { return Ok(None) };
    Ok(Some(Part { path, ty: id, type_name: type_name(Some(place))?, offset }))
}

/// The type of a variable, which a definition may leave to its declaration.
fn type_of_variable<'f, 'a>(mut place: Place<'f, 'a>) -> Result<Option<Place<'f, 'a>>, Error> {
    for _ in 0..MAX_DEPTH {
        let entry = place.entry()?;
        if let Some(ty) = place.linked(&entry, gimli::DW_AT_type) {
            return Ok(Some(ty));
        }
        match place.linked(&entry, gimli::DW_AT_specification) {
            Some(declaration) => place = declaration,
            None => break,
        }
    }
    Ok(None)
}

struct Step {
    text: String,
    rest: u64,
}

/// From a structure or array to the member or element at `offset`.
fn step<'f, 'a>(
    whole: Place<'f, 'a>,
    offset: u64,
    inside_wrapper: bool,
) -> Result<Option<(Step, Place<'f, 'a>)>, Error> {
    let entry = whole.entry()?;
    if entry.tag() == gimli::DW_TAG_array_type {
        let Some(element) = whole.linked(&entry, gimli::DW_AT_type) else { return Ok(None) };
        let index =
            size(element, MAX_DEPTH)?.and_then(|size| Some((offset.checked_div(size)?, offset.checked_rem(size)?)));
        return Ok(index.map(|(index, rest)| (Step { text: format!("[{index}]"), rest }, element)));
    }
    // The members of a named union are views of the same bytes: none of them is the right one.
    let has_name = entry.attr_value(gimli::DW_AT_name).is_some();
    if !is_aggregate(entry.tag()) || (entry.tag() == gimli::DW_TAG_union_type && has_name) {
        return Ok(None);
    }
    let members = match layout(whole)?.kind {
        TypeKind::Structure { members, .. } | TypeKind::Union(members) => members,
        _ => return Ok(None),
    };
    for member in &members {
        let Some(rest) = offset.checked_sub(member.offset) else { continue };
        let Some(ty) = whole.of_type(member.ty) else { continue };
        if size(ty, MAX_DEPTH)?.is_some_and(|size| rest < size) {
            return Ok(Some((Step { text: member_text(member, inside_wrapper), rest }, ty)));
        }
    }
    Ok(None)
}

/// Inside a library's wrapper the library's own members are left out.
fn member_text(member: &Member, inside_wrapper: bool) -> String {
    match &member.name {
        Some(name) if !(inside_wrapper && name.starts_with('_')) => format!(".{name}"),
        _ => String::new(),
    }
}

/// Types whose insides are not the program's own: a path ends there.
fn is_library_type(name: &str) -> bool {
    const LIBRARIES: [&str; 13] = [
        "std::",
        "core::",
        "alloc::",
        "lock_api::",
        "parking_lot",
        "once_cell::",
        "pthread_",
        "sem_t",
        "__",
        "boost::",
        "absl::",
        "folly::",
        "tbb::",
    ];
    LIBRARIES.iter().any(|library| name.starts_with(library))
}

/// Types of a library that only hold what the program put there: a path goes on, without the library's member names.
const WRAPPERS: [&str; 4] = ["std::array<", "std::pair<", "std::tuple<", "std::optional<"];

/// Without qualifiers, and without the versions that libraries put into their namespaces.
fn plain(name: &str) -> String {
    let name = name.strip_suffix(" const").unwrap_or(name);
    name.replacen("std::__1::", "std::", 1).replacen("std::__cxx11::", "std::", 1)
}
