//! Types by name: those that the runtime has loaded.
//!
//! Input: a name as C# and ClrMD write it. Output: its `MethodTable`. Specification: dotnet/runtime
//! docs/design/datacontracts/Loader.md (look-up maps); src/coreclr/vm/typehash.h (types with arguments).

use std::sync::Arc;

use super::Types;
use super::described::{Instantiated, Rows};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;

/// Most types whose names are read on the way to one, and most links of one look-up map.
const MAX_TYPES: u32 = 1 << 22;
const MAX_LINKS: usize = 64;
/// Most buckets and entries of all tables of types with arguments together.
const MAX_INSTANTIATED: u32 = 1 << 20;

impl Types<'_> {
    /// A type that has no type arguments; `Ok(None)` where none of the name was loaded. Of types of other modules than that with
    /// `System.Object` the name alone tells which it is. Fails where none was found, and a module could not be read.
    pub(in crate::runtimes::coreclr) fn find(self, name: &str) -> Known<Option<Addr>> {
        let core = self.core_module().ok();
        let all = self.modules.all(self.clr)?;
        let mut unread = all.unread.clone();
        let mut left = MAX_TYPES;
        let others = all.modules.iter().copied().filter(|module| Some(*module) != core);
        for module in core.into_iter().chain(others) {
            match self.find_in(module, name, &mut left) {
                Ok(Some(table)) => return Ok(Some(table)),
                Ok(None) => {}
                Err(gap) => unread = unread.or(Some(gap)),
            }
        }
        unread.map_or(Ok(None), Err)
    }

    /// A type of the module that has `System.Object`; `Ok(None)` where the module has none of the name, or it was not loaded.
    pub(in crate::runtimes::coreclr) fn find_in_core(self, name: &str) -> Known<Option<Addr>> {
        self.find_in(self.core_module()?, name, &mut { MAX_TYPES })
    }

    fn core_module(self) -> Known<Addr> {
        self.module(self.clr.global("ObjectMethodTable")?)
    }

    fn find_in(self, module: Addr, name: &str, left: &mut u32) -> Known<Option<Addr>> {
        let types = self.modules.metadata(self.clr, module)?.types();
        let too_many = || Gap::Unsupported(format!("more than {MAX_TYPES} types"));
        *left = left.checked_sub(types).ok_or_else(too_many)?;
        match self.rows(module)?.get(name)? {
            Some(rid) => self.defined(module, rid),
            None => Ok(None),
        }
    }

    /// A type with arguments, `System.Nullable<System.Int32>`; `Ok(None)` where none of the name was loaded.
    pub(in crate::runtimes::coreclr) fn instantiated(self, name: &str) -> Known<Option<Addr>> {
        self.all_instantiated()?.get(name)
    }

    /// Every type with arguments that the runtime has loaded.
    pub(in crate::runtimes::coreclr) fn all_instantiated(self) -> Known<Arc<Instantiated>> {
        self.classes.instantiated.get((), || {
            let loaded = self.modules.all(self.clr)?;
            let mut all = Instantiated::default();
            loaded.unread.iter().for_each(|gap| all.miss(gap.clone()));
            let mut left = MAX_INSTANTIATED;
            for module in &loaded.modules {
                // A module whose table cannot be read leaves the others.
                if let Err(gap) = self.add_instantiated(*module, &mut left, &mut all) {
                    all.miss(gap);
                }
            }
            Ok(Arc::new(all))
        })
    }

    /// The type of a row of a module; `Ok(None)` where it was not loaded.
    pub(in crate::runtimes::coreclr) fn defined(self, module: Addr, rid: u32) -> Known<Option<Addr>> {
        let clr = self.clr;
        let mut map = clr.at(module, "Module", "TypeDefToMethodTableMap")?;
        let mut index = u64::from(rid);
        for _ in 0..MAX_LINKS {
            let count = u64::from(clr.u32(map, "ModuleLookupMap", "Count")?);
            if index < count {
                let slot = plus(clr.ptr(map, "ModuleLookupMap", "TableData")?, index.saturating_mul(8))?;
                let flags = clr.ptr(map, "ModuleLookupMap", "SupportedFlagsMask")?;
                let table = Addr(clr.memory().ptr(slot)?.0 & !flags.0);
                return Ok((table.0 != 0).then_some(table));
            }
            index = index.saturating_sub(count);
            map = clr.ptr(map, "ModuleLookupMap", "Next")?;
            if map.0 == 0 {
                return Ok(None);
            }
        }
        Err(Gap::Corrupt(format!("the types of the module at {module}")))
    }

    /// The rows of a module's types by their names.
    fn rows(self, module: Addr) -> Known<Arc<Rows>> {
        self.classes.rows.get(module, || {
            let metadata = self.modules.metadata(self.clr, module)?;
            let memory = self.clr.memory();
            let mut rows = Rows::default();
            for rid in 1..=metadata.types() {
                match metadata.type_name(memory, rid) {
                    Ok(name) => rows.add(name, rid),
                    Err(gap) => rows.miss(gap),
                }
            }
            Ok(Arc::new(rows))
        })
    }

    fn add_instantiated(self, module: Addr, left: &mut u32, all: &mut Instantiated) -> Known<()> {
        let clr = self.clr;
        let memory = clr.memory();
        let hash = clr.ptr(module, "Module", "AvailableTypeParams")?;
        if hash.0 == 0 {
            return Ok(());
        }
        let mut step = || {
            let too_many = || Gap::Unsupported(format!("more than {MAX_INSTANTIATED} types with arguments"));
            *left = left.checked_sub(1).ok_or_else(too_many)?;
            Ok::<(), Gap>(())
        };
        let buckets = clr.ptr(hash, "EETypeHashTable", "Buckets")?;
        // Source: dotnet/runtime src/coreclr/vm/dacenumerablehash.h: the first slot has their number, the second leads to a larger table, chains
        // begin at the fourth; the third has what ends them, which no chain begins with.
        let count = memory.ptr(buckets)?.0;
        for index in 0..=count {
            step()?;
            let mut entry = memory.ptr(plus(buckets, index.saturating_add(2).saturating_mul(8))?)?;
            while entry.0 != 0 && entry.0 & 1 == 0 {
                step()?;
                let handle = Addr(clr.ptr(entry, "EETypeHashTable", "VolatileEntryValue")?.0 & !1);
                if handle.0 & super::TYPE_DESC == 0 {
                    match self.of_table(handle) {
                        Ok(name) => all.add(name, handle),
                        Err(gap) => all.miss(gap),
                    }
                }
                entry = clr.ptr(entry, "EETypeHashTable", "VolatileEntryNextEntry")?;
            }
        }
        Ok(())
    }
}
