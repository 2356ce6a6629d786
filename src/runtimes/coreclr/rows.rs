//! Where methods are in their modules' metadata.
//!
//! Input: the address of a `MethodDesc`. Output: a [`Row`].

use super::clr::Clr;
use crate::model::{Addr, Gap, Known};

// Kinds of methods: the low three bits of their flags. Source: dotnet/runtime src/coreclr/vm/method.hpp, enum MethodClassification.
const KIND: u16 = 7;
/// One of a generic method's instances.
pub(super) const INSTANTIATED: u16 = 5;
/// One that was made at run time.
pub(super) const DYNAMIC: u16 = 7;
/// Bits of a token that are in the method, those above being in its chunk. Source: method.hpp, METHOD_TOKEN_REMAINDER_BIT_COUNT.
const TOKEN_BITS: u32 = 12;
const TOKEN_MASK: u16 = 0xfff;

/// A method's place in the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The method table of its type.
    pub(super) table: Addr,
    /// Its row in the table of methods of that type's module.
    pub(super) rid: u32,
}

/// Which kind of method it is.
pub(super) fn kind(clr: &Clr, method: Addr) -> Known<u16> {
    Ok(clr.u16(method, "MethodDesc", "Flags")? & KIND)
}

/// A method's place. Those that were made at run time have none.
pub(super) fn row(clr: &Clr, method: Addr) -> Known<Row> {
    if kind(clr, method)? == DYNAMIC {
        return Err(Gap::NotRecorded("the method was made at run time".to_owned()));
    }
    let chunk = chunk(clr, method)?;
    let table = clr.ptr(chunk, "MethodDescChunk", "MethodTable")?;
    let range = u32::from(clr.u16(chunk, "MethodDescChunk", "FlagsAndTokenRange")? & TOKEN_MASK);
    let low = u32::from(clr.u16(method, "MethodDesc", "Flags3AndTokenRemainder")? & TOKEN_MASK);
    Ok(Row { table, rid: range << TOKEN_BITS | low })
}

/// Methods are in chunks: the first of each leads to the type.
pub(super) fn chunk(clr: &Clr, method: Addr) -> Known<Addr> {
    /// Methods are counted in steps of so many bytes. Source: method.hpp, MethodDesc::ALIGNMENT.
    const STEP: u64 = 8;
    let steps = u64::from(clr.u8(method, "MethodDesc", "ChunkIndex")?);
    let head = clr.layout.offset("MethodDescChunk", "!")?;
    let below = steps.saturating_mul(STEP).saturating_add(head);
    method.minus(below).ok_or_else(|| Gap::Corrupt(format!("a method at {method}")))
}
