//! An assembly's metadata: the names of its module, types and methods, and methods' signatures.
//!
//! Input: the target's memory and where the metadata's root is in it. Output: names by row number (RID). Read place by place, as
//! asked for: a small dump holds only the pages that its writer has touched. Specification: ECMA-335 6th edition, partition II, 22
//! (tables), 23.2 (signatures), 24.2 (layout).

mod assembly;
mod attributes;
mod compressed;
mod damage;
mod fields;
mod heap;
mod methods;
mod pdb;
pub(super) mod signature;
mod sort;
mod streams;
mod tables;

use crate::capture::Memory;
use crate::model::{Addr, Known};

pub use self::fields::FieldRow;
pub use self::pdb::{Line, Pdb, Wait};
pub(super) use self::signature::{Names, primitive, with_arguments};
pub use self::sort::{Signature, Sort};

use self::damage::corrupt;
use self::streams::Streams;
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
    streams: Streams,
}

impl Metadata {
    /// The metadata whose root is at an address.
    pub fn read(memory: &Memory, root: Addr) -> Known<Metadata> {
        let streams = Streams::read(memory, root)?;
        let (place, size) = streams.tables;
        let tables = Tables::read(memory, place, size, &streams.referenced(memory)?)?;
        Ok(Metadata { tables, streams })
    }

    /// The module's file name, `Shop.dll`.
    pub fn module_name(&self, memory: &Memory) -> Known<String> {
        self.string(memory, MODULE, 1, 1)
    }

    /// The id that every build has its own of.
    pub fn mvid(&self, memory: &Memory) -> Known<[u8; 16]> {
        self.streams.guids.guid(memory, self.tables.cell(memory, MODULE, 1, 2)?)
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

    /// A method's parameters, `(System.Object, Int32)`, by its row; type arguments are told by their numbers.
    pub fn parameters(&self, memory: &Memory, rid: u32) -> Known<String> {
        self.parameters_with(memory, rid, &Names::NONE)
    }

    /// The same with what is called otherwise.
    pub(super) fn parameters_with(&self, memory: &Memory, rid: u32, names: &Names<'_>) -> Known<String> {
        let blob = self.blob(memory, self.tables.cell(memory, METHOD_DEF, rid, 4)?)?;
        signature::parameters(&blob, &|token| self.token_name(memory, token), names)
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
        let text = memory.c_string(self.streams.strings.place(offset.into())?, MAX_NAME)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn blob(&self, memory: &Memory, offset: u32) -> Known<Vec<u8>> {
        /// Longest signature, in bytes.
        const MAX_BLOB: u64 = 4096;
        self.streams.blobs.blob(memory, offset, MAX_BLOB)
    }
}

fn joined(namespace: String, name: String) -> String {
    if namespace.is_empty() { name } else { format!("{namespace}.{name}") }
}

#[cfg(test)]
pub(super) mod tests;
