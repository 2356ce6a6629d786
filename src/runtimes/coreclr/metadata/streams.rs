//! The streams of metadata: where tables and heaps are.

use super::damage::corrupt;
use super::heap::Heap;
use crate::capture::Memory;
use crate::model::{Addr, Known};

/// Most streams; there are six.
const MAX_STREAMS: u16 = 64;

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) tables: (Addr, u64),
    pub(super) strings: Heap,
    pub(super) blobs: Heap,
    pub(super) guids: Heap,
    /// What a portable PDB has besides.
    pub(super) pdb: Option<Addr>,
}

impl Streams {
    /// Those of the metadata whose root is at an address.
    pub(super) fn read(memory: &Memory, root: Addr) -> Known<Streams> {
        // Source: ECMA-335 II.24.2.1 (root), II.24.2.2 (stream headers).
        const SIGNATURE: u32 = 0x424a_5342;
        let at = |base: Addr, offset: u64| base.plus(offset).ok_or_else(|| corrupt("it leaves the address space"));
        if memory.u32(root)? != SIGNATURE {
            return Err(corrupt(&format!("none at {root}")));
        }
        let version = u64::from(memory.u32(at(root, 12)?)?).min(256);
        let streams = at(root, 16)?.plus(version).ok_or_else(|| corrupt("its version is too long"))?;
        let count = memory.u16(at(streams, 2)?)?.min(MAX_STREAMS);
        let mut header = at(streams, 4)?;
        let (mut tables, mut pdb) = (None, None);
        let (mut strings, mut blobs, mut guids) = (Heap::default(), Heap::default(), Heap::default());
        for _ in 0..count {
            let place = at(root, memory.u32(header)?.into())?;
            let size = memory.u32(at(header, 4)?)?.into();
            let name = memory.c_string(at(header, 8)?, 32)?;
            match name.as_slice() {
                b"#~" | b"#-" => tables = Some((place, size)),
                b"#Strings" => strings = Heap { at: place, size },
                b"#Blob" => blobs = Heap { at: place, size },
                b"#GUID" => guids = Heap { at: place, size },
                b"#Pdb" => pdb = Some(place),
                _ => {}
            }
            let name = (name.len() as u64).saturating_add(1).next_multiple_of(4);
            header = at(header, name.saturating_add(8))?;
        }
        let tables = tables.ok_or_else(|| corrupt("it has no tables"))?;
        Ok(Streams { tables, strings, blobs, guids, pdb })
    }

    /// Rows of tables that are not here but in the assembly: those that a portable PDB refers to.
    pub(super) fn referenced(&self, memory: &Memory) -> Known<[u32; 64]> {
        // Source: dotnet/runtime docs/design/specs/PortablePdb-Metadata.md, "#Pdb stream": id of 20 bytes, entry point 20,
        // ReferencedTypeSystemTables 24, TypeSystemTableRows 32.
        let mut rows = [0; 64];
        let Some(pdb) = self.pdb else { return Ok(rows) };
        let part = |offset: u64| pdb.plus(offset).ok_or_else(|| corrupt("it leaves the address space"));
        let valid = memory.u64(part(24)?)?;
        let mut offset = 32u64;
        for (_, rows) in rows.iter_mut().enumerate().filter(|(number, _)| valid >> number & 1 != 0) {
            *rows = memory.u32(part(offset)?)?;
            offset = offset.saturating_add(4);
        }
        Ok(rows)
    }
}
