//! An assembly's metadata: the names of its module, types and methods, and methods' signatures.
//!
//! Input: the target's memory and where the metadata's root is in it. Output: names by row number (RID). Read place by place, as
//! asked for: a small dump holds only the pages that its writer has touched. Specification: ECMA-335 6th edition, partition II, 22
//! (tables), 23.2 (signatures), 24.2 (layout).

mod attributes;
mod damage;
mod fields;
mod signature;
mod sort;
mod tables;

use crate::capture::Memory;
use crate::model::{Addr, Known};

pub use self::fields::FieldRow;
pub(super) use self::signature::primitive;
pub use self::sort::Sort;

use self::damage::corrupt;
use self::tables::Tables;

/// Longest name, in bytes.
const MAX_NAME: u64 = 4096;
/// Most types that one may be nested in.
const MAX_NESTED: usize = 32;

// Table numbers. Source: ECMA-335 II.22.
const MODULE: usize = 0x00;
const TYPE_REF: usize = 0x01;
const TYPE_DEF: usize = 0x02;
const FIELD: usize = 0x04;
const METHOD_DEF: usize = 0x06;
const NESTED_CLASS: usize = 0x29;

/// The metadata of one module.
#[derive(Clone, Debug)]
pub struct Metadata {
    tables: Tables,
    strings: Heap,
    blobs: Heap,
}

/// A heap of names or blobs.
#[derive(Clone, Copy, Debug, Default)]
struct Heap {
    at: Addr,
    size: u64,
}

impl Heap {
    fn place(self, offset: u64) -> Known<Addr> {
        let place = (offset < self.size).then(|| self.at.plus(offset)).flatten();
        place.ok_or_else(|| corrupt("a name or signature is outside its heap"))
    }
}

impl Metadata {
    /// The metadata whose root is at an address.
    pub fn read(memory: &Memory, root: Addr) -> Known<Metadata> {
        // Source: ECMA-335 II.24.2.1 (root), II.24.2.2 (stream headers).
        const SIGNATURE: u32 = 0x424a_5342;
        const MAX_STREAMS: u16 = 64;
        let at = |base: Addr, offset: u64| base.plus(offset).ok_or_else(|| corrupt("it leaves the address space"));
        if memory.u32(root)? != SIGNATURE {
            return Err(corrupt(&format!("none at {root}")));
        }
        let version = u64::from(memory.u32(at(root, 12)?)?).min(256);
        let streams = at(root, 16)?.plus(version).ok_or_else(|| corrupt("its version is too long"))?;
        let count = memory.u16(at(streams, 2)?)?.min(MAX_STREAMS);
        let mut header = at(streams, 4)?;
        let (mut tables, mut strings, mut blobs) = (None, Heap::default(), Heap::default());
        for _ in 0..count {
            let place = at(root, memory.u32(header)?.into())?;
            let size = memory.u32(at(header, 4)?)?.into();
            let name = memory.c_string(at(header, 8)?, 32)?;
            match name.as_slice() {
                b"#~" | b"#-" => tables = Some((place, size)),
                b"#Strings" => strings = Heap { at: place, size },
                b"#Blob" => blobs = Heap { at: place, size },
                _ => {}
            }
            let name = (name.len() as u64).saturating_add(1).next_multiple_of(4);
            header = at(header, name.saturating_add(8))?;
        }
        let (place, size) = tables.ok_or_else(|| corrupt("it has no tables"))?;
        Ok(Metadata { tables: Tables::read(memory, place, size)?, strings, blobs })
    }

    /// The module's file name, `Shop.dll`.
    pub fn module_name(&self, memory: &Memory) -> Known<String> {
        self.string(memory, MODULE, 1, 1)
    }

    /// A type's full name, `Shop.Orders+Row`, by its row in the table of types.
    pub fn type_name(&self, memory: &Memory, rid: u32) -> Known<String> {
        let mut name = self.plain_name(memory, rid)?;
        let mut rid = rid;
        for _ in 0..MAX_NESTED {
            let Some(outer) = self.enclosing(memory, rid)? else { return Ok(name) };
            name = format!("{}+{name}", self.plain_name(memory, outer)?);
            rid = outer;
        }
        Err(corrupt("a type is nested in itself"))
    }

    /// Namespace and name of a type, without what it is nested in.
    fn plain_name(&self, memory: &Memory, rid: u32) -> Known<String> {
        Ok(joined(self.string(memory, TYPE_DEF, rid, 2)?, self.string(memory, TYPE_DEF, rid, 1)?))
    }

    /// The same of a type of another module.
    fn referred_name(&self, memory: &Memory, rid: u32) -> Known<String> {
        Ok(joined(self.string(memory, TYPE_REF, rid, 2)?, self.string(memory, TYPE_REF, rid, 1)?))
    }

    /// The row of the type that one is nested in.
    fn enclosing(&self, memory: &Memory, rid: u32) -> Known<Option<u32>> {
        // Source: ECMA-335 II.23.1.15: visibility is bits 0 to 2, 2 and above are nested.
        if self.tables.cell(memory, TYPE_DEF, rid, 0)? & 7 < 2 {
            return Ok(None);
        }
        self.enclosed_by(memory, rid)
    }

    /// A method's name, by its row.
    pub fn method_name(&self, memory: &Memory, rid: u32) -> Known<String> {
        self.string(memory, METHOD_DEF, rid, 3)
    }

    /// A method's parameters, `(System.Object, Int32)`, by its row.
    pub fn parameters(&self, memory: &Memory, rid: u32) -> Known<String> {
        let blob = self.blob(memory, self.tables.cell(memory, METHOD_DEF, rid, 4)?)?;
        signature::parameters(&blob, &|token| self.token_name(memory, token))
    }

    /// The name of the type that an index `TypeDefOrRef` leads to.
    fn token_name(&self, memory: &Memory, coded: u32) -> Known<String> {
        // Source: ECMA-335 II.24.2.6: two bits tell the table.
        match coded & 3 {
            0 => self.plain_name(memory, coded >> 2),
            1 => self.referred_name(memory, coded >> 2),
            _ => Err(corrupt("a signature refers to no type")),
        }
    }

    fn string(&self, memory: &Memory, table: usize, rid: u32, column: usize) -> Known<String> {
        let offset = self.tables.cell(memory, table, rid, column)?;
        let text = memory.c_string(self.strings.place(offset.into())?, MAX_NAME)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn blob(&self, memory: &Memory, offset: u32) -> Known<Vec<u8>> {
        /// Longest signature, in bytes.
        const MAX_BLOB: usize = 4096;
        let start = self.blobs.place(offset.into())?;
        let mut head = [0; 4];
        // The last blob may end less than four bytes behind its start.
        let at_hand = memory.slice_up_to(start, 4)?;
        head.iter_mut().zip(at_hand).for_each(|(to, from)| *to = *from);
        let (len, taken) = signature::compressed(&head).ok_or_else(|| corrupt("a blob's length"))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > MAX_BLOB {
            return Err(corrupt("a signature is too long"));
        }
        let mut bytes = vec![0; len];
        let body = start.plus(taken as u64).ok_or_else(|| corrupt("a blob leaves the address space"))?;
        memory.read(body, &mut bytes)?;
        Ok(bytes)
    }
}

fn joined(namespace: String, name: String) -> String {
    if namespace.is_empty() { name } else { format!("{namespace}.{name}") }
}

#[cfg(test)]
pub(super) mod tests;
