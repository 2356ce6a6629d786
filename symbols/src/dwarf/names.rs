//! What an entry is called.

use super::declared::Name;
use super::place::Place;
use super::spell::Speller;
use crate::Error;

/// The name of the entry at `place`; `None` where it has none.
pub(super) fn name_of(place: Place<'_, '_>) -> Result<Option<Name>, Error> {
    Speller::default().name(place)
}

/// The name of a type within its scope; `None` where it has none of its own, as pointers and unnamed structures.
pub(super) fn declared_name(place: Place<'_, '_>) -> Result<Option<String>, Error> {
    Speller::default().declared_name(place)
}

/// The name of a type as c++filt would print it; a type that has a name of its own keeps it. No type is `void`.
pub(super) fn type_name(place: Option<Place<'_, '_>>) -> Result<String, Error> {
    Speller::default().type_name(place)
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
