//! Members of structures, and texts of a fixed size.

use dumpscope::capture::Memory;
use dumpscope::model::{Addr, Gap, Known};

/// A member's address.
pub(super) fn at(base: Addr, offset: u64) -> Known<Addr> {
    base.plus(offset).ok_or_else(|| Gap::Corrupt(format!("a structure at {base} leaves the address space")))
}

/// The addresses of `count` elements of `size` bytes that a pointer and a count at `table` tell; 64 at most.
pub(super) fn elements(memory: &Memory, table: Addr, size: u64) -> Known<Vec<Addr>> {
    const MOST: u64 = 64;
    let (first, count) = (memory.ptr(table)?, memory.u64(at(table, 8)?)?);
    (0..count.min(MOST)).map(|index| at(first, index * size)).collect()
}

/// A text that ends with a zero, in a member of (offset, bytes).
pub(super) fn text(memory: &Memory, base: Addr, (offset, size): (u64, u64)) -> Known<String> {
    Ok(String::from_utf8_lossy(&memory.c_string(at(base, offset)?, size)?).into_owned())
}
