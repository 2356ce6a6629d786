//! What the compilers of machine code leave for debuggers: which instruction of a method's own each machine instruction was made of, and where
//! arguments and variables are.
//!
//! Input: a method's code. Output: its [`Bound`]s. Specification: dotnet/runtime src/coreclr/vm/debuginfostore.cpp, of .NET 8 and 9, and of
//! 10, which packs bounds otherwise; docs/design/coreclr/botr/readytorun-format.md, "READYTORUN_SECTION_DEBUG_INFO".

mod bits;
mod bounds;
mod damage;
mod locations;
mod native_array;
mod place;

use super::clr::{Clr, plus};
use super::code::Place;
use crate::capture::Memory;
use crate::model::{Addr, Known};

pub use self::bounds::{Bound, Packing, read as read_bounds};
pub use self::locations::{Located, Place as Location, read as read_locations};

use self::bits::Nibbles;
use self::damage::damaged;

/// Most bytes of either part of one method's.
const MAX_BYTES: u32 = 4 << 20;
/// Bytes that the two lengths in front take at most.
const HEAD: u32 = 16;

/// Where a method's parts begin.
struct Parts {
    bounds: (Addr, u32),
    variables: (Addr, u32),
    packing: Packing,
}

/// The method's own instruction that a machine instruction was made of; `Ok(None)` where none was in particular.
pub(super) fn instruction(clr: &Clr, place: &Place, code: Addr) -> Known<Option<u32>> {
    Ok(bounds::at(&of_method(clr, place)?, native(place, code)?).and_then(|bound| bound.il))
}

/// Where the arguments and variables of a method are at a machine instruction.
pub(super) fn locations(clr: &Clr, place: &Place, code: Addr) -> Known<Vec<Located>> {
    let native = native(place, code)?;
    let Parts { variables: (at, len), .. } = parts(clr, place)?;
    clr.places.debug_info.take(len.into())?;
    let all = locations::read(&bytes(clr.memory(), at, len)?)?;
    Ok(all.into_iter().filter(|located| (located.from..located.to).contains(&native)).collect())
}

/// A machine instruction, counted from the start of the method's code.
fn native(place: &Place, code: Addr) -> Known<u32> {
    code.since(place.start).and_then(|native| u32::try_from(native).ok()).ok_or_else(damaged)
}

/// The bounds of a method, ascending by machine instruction.
fn of_method(clr: &Clr, place: &Place) -> Known<Vec<Bound>> {
    let Parts { bounds: (at, len), packing, .. } = parts(clr, place)?;
    clr.places.debug_info.take(len.into())?;
    bounds::read(&bytes(clr.memory(), at, len)?, packing)
}

fn parts(clr: &Clr, place: &Place) -> Known<Parts> {
    let (at, packing) = place::of(clr, place)?;
    // What follows the last method's may not be in the dump.
    let head = (1..=HEAD).rev().find_map(|len| bytes(clr.memory(), at, len).ok()).unwrap_or_default();
    let mut head = Nibbles::new(&head);
    let (bounds, variables) = (head.number()?, head.number()?);
    let begin = plus(at, head.bytes_taken())?;
    let behind = plus(begin, bounds.into())?;
    Ok(Parts { bounds: (begin, bounds), variables: (behind, variables), packing })
}

fn bytes(memory: &Memory, at: Addr, len: u32) -> Known<Vec<u8>> {
    if len > MAX_BYTES {
        return Err(damaged());
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    memory.read(at, &mut bytes)?;
    Ok(bytes)
}
