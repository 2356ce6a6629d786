//! The collector's variables, by their places in the table that it makes for debuggers.
//!
//! Specification: dotnet/runtime docs/design/datacontracts/GC.md; src/coreclr/gc/gcinterface.dacvars.def, dac_generation_fields.h,
//! dac_gcheap_fields.h.

use crate::capture::Memory;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::{Clr, plus};

/// Most heaps of a server's collector.
const MAX_HEAPS: u64 = 1 << 12;

// Positions of pointers in `GcDacVars`. Source: dotnet/runtime src/coreclr/gc/gcinterface.dacvars.def, the same in 8, 9 and 10.
pub(super) const GENERATION_TABLE: u64 = 3;
const FINALIZE_QUEUE: u64 = 15;
const HANDLE_TABLE_MAP: u64 = 26;
pub(super) const EPHEMERAL_SEGMENT: u64 = 7;
pub(super) const ALLOC_ALLOCATED: u64 = 12;
pub(super) const HEAPS: u64 = 20;
pub(super) const HEAP_COUNT: u64 = 19;
pub(super) const INVALID_COUNT: u64 = 21;
pub(super) const HEAP_OFFSETS: u64 = 27;
pub(super) const GENERATION_OFFSETS: u64 = 28;
// Fields of a server's heap in the table of their offsets. Source: dac_gcheap_fields.h.
pub(super) const OOM_INFO: u64 = 14;
pub(super) const HEAP_ALLOC_ALLOCATED: u64 = 0;
pub(super) const HEAP_EPHEMERAL_SEGMENT: u64 = 1;
const HEAP_FINALIZE_QUEUE: u64 = 2;
pub(super) const HEAP_OOM_INFO: u64 = 3;
pub(super) const HEAP_GENERATION_TABLE: u64 = 18;
// Fields of a generation. Source: dac_generation_fields.h; the first is where it allocates.
pub(super) const START_SEGMENT: u64 = 1;
pub(super) const ALLOCATION_START: u64 = 2;

/// The collector's table of its variables.
pub(in crate::runtimes::coreclr) struct Variables<'a> {
    pub(super) clr: &'a Clr,
    at: Addr,
    pub(super) generation_size: u64,
}

impl<'a> Variables<'a> {
    pub(in crate::runtimes::coreclr) fn of(clr: &'a Clr) -> Known<Variables<'a>> {
        let at = clr.global("GcDacVars")?;
        // 5 is what the source says of later ones.
        let major = clr.u8(at, "GcDacVars", "Major")?;
        if ![2, 5].contains(&major) {
            return Err(Gap::NoLayout(format!("the collector's variables of version {major}")));
        }
        let generation_size = clr.ptr(at, "GcDacVars", "GenerationSize")?.0;
        if !(64..1 << 16).contains(&generation_size) {
            return Err(Gap::Corrupt(format!("generations of {generation_size} bytes")));
        }
        Ok(Variables { clr, at, generation_size })
    }

    /// The address of a variable; 0 where the collector has none.
    pub(super) fn variable(&self, index: u64) -> Known<Addr> {
        let first = self.clr.at(self.at, "GcDacVars", "Pointers")?;
        Ok(self.clr.memory().ptr(plus(first, index.saturating_mul(8))?)?)
    }

    pub(super) fn pointer(&self, index: u64) -> Known<Addr> {
        Ok(self.clr.memory().ptr(self.variable(index)?)?)
    }

    /// A field's offset in the table that a variable is.
    pub(super) fn offset(&self, table: u64, field: u64) -> Known<Option<u64>> {
        let at = plus(self.variable(table)?, field.saturating_mul(4))?;
        // -1: it has none such.
        Ok(Some(self.clr.memory().u32(at)?).filter(|offset| *offset != u32::MAX).map(u64::from))
    }

    pub(super) fn known_offset(&self, table: u64, field: u64) -> Known<u64> {
        self.offset(table, field)?.ok_or_else(|| Gap::NoLayout("a field of the collector's".to_owned()))
    }

    /// The heaps of a server's collector; `None` where there is one whose fields are variables.
    pub(super) fn server_heaps(&self) -> Known<Option<Vec<Known<Addr>>>> {
        if !self.clr.is_server()? {
            return Ok(None);
        }
        let memory = self.clr.memory();
        let count = u64::from(memory.u32(self.variable(HEAP_COUNT)?)?);
        if count > MAX_HEAPS {
            return Err(Gap::Corrupt(format!("{count} heaps")));
        }
        let list = self.pointer(HEAPS)?;
        let heap = |index: u64| Ok(memory.ptr(plus(list, index.saturating_mul(8))?)?);
        Ok(Some((0..count).map(heap).collect()))
    }

    /// The dump's memory.
    pub(in crate::runtimes::coreclr) fn memory(&self) -> &'a Memory {
        self.clr.memory()
    }

    /// How many heaps the collector has.
    pub(in crate::runtimes::coreclr) fn heap_count(&self) -> Known<u64> {
        Ok(self.server_heaps()?.map_or(1, |heaps| heaps.len() as u64))
    }

    /// The first of the maps of handle tables.
    pub(in crate::runtimes::coreclr) fn handle_table_map(&self) -> Known<Addr> {
        self.variable(HANDLE_TABLE_MAP)
    }

    /// The list of objects with finalizers of each heap.
    pub(in crate::runtimes::coreclr) fn finalize_queues(&self) -> Known<Vec<Addr>> {
        let Some(heaps) = self.server_heaps()? else { return Ok(vec![self.pointer(FINALIZE_QUEUE)?]) };
        let queue = |heap: Known<Addr>| Ok(self.memory().ptr(self.field(heap?, HEAP_FINALIZE_QUEUE)?)?);
        heaps.into_iter().map(queue).collect()
    }

    /// Where a field of a server's heap is.
    pub(super) fn field(&self, heap: Addr, field: u64) -> Known<Addr> {
        plus(heap, self.known_offset(HEAP_OFFSETS, field)?)
    }
}
