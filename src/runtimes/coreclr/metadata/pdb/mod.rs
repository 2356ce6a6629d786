//! Portable PDBs: source lines, names of local variables, where asynchronous methods wait.
//!
//! Input: a file, or what an assembly holds in its place. Output: answers by a method's row in the assembly's table of methods.
//! Specification: dotnet/runtime docs/design/specs/PortablePdb-Metadata.md.

mod points;
mod scopes;
mod steps;

use std::sync::Arc;

use symbols::FileBytes;

use super::super::budget::Budget;
use super::super::memo::Memo;
use super::Metadata;
use super::damage::corrupt;
use super::signature::compressed;
use crate::capture::{Memory, Origin, Segment};
use crate::model::{Addr, Known};

pub use self::points::Line;
pub use self::steps::Wait;

// Table numbers. Source: PortablePdb-Metadata.md, "Metadata Tables".
const DOCUMENT: usize = 0x30;
const METHOD_DEBUG_INFORMATION: usize = 0x31;
const LOCAL_SCOPE: usize = 0x32;
const LOCAL_VARIABLE: usize = 0x33;
const STATE_MACHINE_METHOD: usize = 0x36;
const CUSTOM_DEBUG_INFORMATION: usize = 0x37;

/// Longest list of lines of one method, and longest path, in bytes.
const MAX_POINTS: u64 = 16 << 20;
const MAX_PATH: usize = 4096;
/// Most parts of a path.
const MAX_PARTS: usize = 256;
/// Most paths that are kept.
const MAX_DOCUMENTS: usize = 1 << 16;
/// Most bytes of lists and paths that are read of one PDB in all: those of a large one have 10 MB.
const MAX_READ: u64 = 2 << 30;

/// A portable PDB.
pub struct Pdb {
    /// The file, from address 0 on.
    memory: Memory,
    metadata: Metadata,
    /// Which build of an assembly it belongs to: the GUID that the assembly states.
    pub id: [u8; 16],
    documents: Memo<u32, Known<Arc<str>>>,
    read: Budget,
}

impl Pdb {
    /// Reads where its tables are.
    pub fn read(bytes: FileBytes) -> Known<Pdb> {
        let segment = Segment { start: Addr(0), bytes, origin: Origin::File };
        let memory = Memory::new(vec![segment], Vec::new());
        let metadata = Metadata::read(&memory, Addr(0))?;
        let mut id = [0; 16];
        memory.read(metadata.streams.pdb.ok_or_else(|| corrupt("it is no PDB"))?, &mut id)?;
        Ok(Pdb {
            memory,
            metadata,
            id,
            documents: Memo::of(MAX_DOCUMENTS),
            read: Budget::of(MAX_READ, "bytes of a PDB"),
        })
    }

    /// The path of a source file, as the compiler recorded it, by its row in the table of documents.
    pub fn document(&self, rid: u32) -> Known<Arc<str>> {
        self.documents.get(rid, || self.path(rid).map(Arc::from))
    }

    fn path(&self, rid: u32) -> Known<String> {
        // Source: PortablePdb-Metadata.md, "Document Table", document name blob: a separator, then parts by their offsets in the heap.
        let blob = self.blob(self.cell(DOCUMENT, rid, 0)?, MAX_PATH as u64)?;
        let damaged = || corrupt("the name of a source file");
        let (separator, mut rest) = blob.split_first().ok_or_else(damaged)?;
        let mut path = Vec::new();
        for index in 0..MAX_PARTS {
            if rest.is_empty() {
                return Ok(String::from_utf8_lossy(&path).into_owned());
            }
            if index > 0 && *separator != 0 {
                path.push(*separator);
            }
            let (part, taken) = compressed(rest).ok_or_else(damaged)?;
            rest = rest.get(taken..).unwrap_or_default();
            path.extend(if part == 0 { Vec::new() } else { self.blob(part, MAX_PATH as u64)? });
            if path.len() > MAX_PATH {
                break;
            }
        }
        Err(damaged())
    }

    fn cell(&self, table: usize, rid: u32, column: usize) -> Known<u32> {
        self.metadata.tables.cell(&self.memory, table, rid, column)
    }

    fn rows(&self, table: usize) -> u32 {
        self.metadata.tables.rows(table)
    }

    /// Rows of a sorted table that have a value in a column.
    fn rows_of(&self, table: usize, column: usize, wanted: u32) -> Known<std::ops::Range<u32>> {
        let tables = &self.metadata.tables;
        let first = tables.first(&self.memory, table, column, wanted)?;
        let after = tables.first(&self.memory, table, column, wanted.saturating_add(1))?;
        Ok(first..after)
    }

    fn blob(&self, offset: u32, max: u64) -> Known<Vec<u8>> {
        let blob = self.metadata.streams.blobs.blob(&self.memory, offset, max)?;
        self.read.take(blob.len() as u64)?;
        Ok(blob)
    }
}

#[cfg(test)]
pub(super) mod tests;
