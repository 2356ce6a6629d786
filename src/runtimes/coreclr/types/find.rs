//! Types by name: those that the runtime has loaded.
//!
//! Input: a name as C# and ClrMD write it. Output: its `MethodTable`. Specification: dotnet/runtime
//! docs/design/datacontracts/Loader.md (look-up maps); src/coreclr/vm/typehash.h (types with arguments).

use std::sync::Arc;

use super::Types;
use super::described::{Instantiated, Rows};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;

/// Most types with arguments of one module, most links of one look-up map.
const MAX_INSTANTIATED: u32 = 1 << 20;
const MAX_LINKS: usize = 64;

impl Types<'_> {
    /// A type that has no type arguments; `Ok(None)` where none of the name was loaded. Of types of other modules than that with
    /// `System.Object` the name alone tells which it is.
    pub(in crate::runtimes::coreclr) fn find(self, name: &str) -> Known<Option<Addr>> {
        let object = self.clr.global("ObjectMethodTable").and_then(|table| self.module(table));
        let first = object.into_iter();
        let modules = self.modules.all(self.clr)?;
        for module in
            first.clone().chain(modules.iter().copied().filter(|module| Some(*module) != first.clone().next()))
        {
            let Ok(rows) = self.rows(module) else { continue };
            if let Some(table) = rows.get(name).and_then(|rid| self.defined(module, *rid).ok()) {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    /// A type with arguments, `System.Nullable<System.Int32>`.
    pub(in crate::runtimes::coreclr) fn instantiated(self, name: &str) -> Known<Option<Addr>> {
        Ok(self.all_instantiated()?.get(name).copied())
    }

    /// Every type with arguments that the runtime has loaded.
    pub(in crate::runtimes::coreclr) fn all_instantiated(self) -> Known<Arc<Instantiated>> {
        self.classes.instantiated.get((), || {
            let mut all = Instantiated::default();
            for module in self.modules.all(self.clr)?.iter() {
                // A module whose table cannot be read leaves the others.
                let _ = self.add_instantiated(*module, &mut all);
            }
            Ok(Arc::new(all))
        })
    }

    /// The type of a row of a module; fails where it was not loaded.
    pub(in crate::runtimes::coreclr) fn defined(self, module: Addr, rid: u32) -> Known<Addr> {
        let clr = self.clr;
        let mut map = clr.at(module, "Module", "TypeDefToMethodTableMap")?;
        let mut index = u64::from(rid);
        for _ in 0..MAX_LINKS {
            let count = u64::from(clr.u32(map, "ModuleLookupMap", "Count")?);
            if index < count {
                let slot = plus(clr.ptr(map, "ModuleLookupMap", "TableData")?, index.saturating_mul(8))?;
                let flags = clr.ptr(map, "ModuleLookupMap", "SupportedFlagsMask")?;
                let table = Addr(clr.memory().ptr(slot)?.0 & !flags.0);
                let loaded = (table.0 != 0).then_some(table);
                return loaded.ok_or_else(|| Gap::NotRecorded(format!("type {rid} was not loaded")));
            }
            index = index.saturating_sub(count);
            map = clr.ptr(map, "ModuleLookupMap", "Next")?;
            if map.0 == 0 {
                break;
            }
        }
        Err(Gap::NotRecorded(format!("type {rid} was not loaded")))
    }

    /// The rows of a module's types by their names.
    fn rows(self, module: Addr) -> Known<Arc<Rows>> {
        self.classes.rows.get(module, || {
            let metadata = self.modules.metadata(self.clr, module)?;
            let memory = self.clr.memory();
            let name = |rid| Some((metadata.type_name(memory, rid).ok()?, rid));
            Ok(Arc::new((1..=metadata.types()).filter_map(name).collect()))
        })
    }

    fn add_instantiated(self, module: Addr, all: &mut Instantiated) -> Known<()> {
        let clr = self.clr;
        let memory = clr.memory();
        let hash = clr.ptr(module, "Module", "AvailableTypeParams")?;
        if hash.0 == 0 {
            return Ok(());
        }
        let mut left = clr.u32(hash, "EETypeHashTable", "Count")?.min(MAX_INSTANTIATED);
        let buckets = clr.ptr(hash, "EETypeHashTable", "Buckets")?;
        // Source: dotnet/runtime src/coreclr/vm/dacenumerablehash.h: the first slot has their number, the second leads to a larger table, chains
        // begin at the fourth; the third has what ends them, which no chain begins with.
        let count = memory.ptr(buckets)?.0.min(MAX_INSTANTIATED.into());
        for index in 0..=count {
            let mut entry = memory.ptr(plus(buckets, index.saturating_add(2).saturating_mul(8))?)?;
            while entry.0 != 0 && entry.0 & 1 == 0 && left > 0 {
                left = left.saturating_sub(1);
                let handle = Addr(clr.ptr(entry, "EETypeHashTable", "VolatileEntryValue")?.0 & !1);
                if handle.0 & super::TYPE_DESC == 0
                    && let Ok(name) = self.of_table(handle)
                {
                    all.insert(name, handle);
                }
                entry = clr.ptr(entry, "EETypeHashTable", "VolatileEntryNextEntry")?;
            }
        }
        Ok(())
    }
}
