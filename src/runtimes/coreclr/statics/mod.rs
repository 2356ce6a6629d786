//! Where static fields are.
//!
//! Input: a class and a field of it. Output: the address of its value. Specification: dotnet/runtime
//! docs/design/datacontracts/RuntimeTypeSystem.md and Thread.md (9 and later); src/coreclr/vm/appdomain.hpp, DomainLocalModule, and
//! threadstatics.h of release/8.0.

mod all;
mod named;
#[cfg(test)]
mod tests;

pub(super) use self::named::Statics;

use super::clr::plus;
use super::types::{Field, Held, Types};
use crate::model::{Addr, Gap, Known};

/// Bits of `MTFlags2`. Source: methodtable.h, enum_flag_HasDynamicStatics of 9 and 10.
const HAS_STATICS: u32 = 2;
/// An array's first element. Source: dotnet/runtime src/coreclr/vm/object.h, ArrayBase.
const FIRST_ELEMENT: u64 = 16;

impl Types<'_> {
    /// Where a static field's value is; for structures behind the reference to what holds them. Fails where the class has none yet.
    pub(super) fn static_place(self, table: Addr, field: &Field) -> Known<Addr> {
        self.place_if_any(table, field)?.ok_or_else(|| unallocated(field))
    }

    /// A static field of a class of the runtime's own library, by the names of both; `Ok(None)` where the class was not used yet.
    pub(super) fn static_named(self, class: &str, field: &str) -> Known<Option<Addr>> {
        let Some(table) = self.find_in_core(class)? else { return Ok(None) };
        let fields = self.fields(table)?;
        let found = fields.iter().find(|known| known.held == Held::Class && &*known.name == field);
        let found = found.ok_or_else(|| Gap::NoLayout(format!("{class}.{field} of this version of .NET")))?;
        self.place_if_any(table, found)
    }

    fn place_if_any(self, table: Addr, field: &Field) -> Known<Option<Addr>> {
        match self.static_slot(table, field)? {
            Some(slot) => self.value_place(slot, field),
            None => Ok(None),
        }
    }

    /// Where a static field is, of a structure the reference to what it is boxed in; `Ok(None)` where the class has none yet.
    fn static_slot(self, table: Addr, field: &Field) -> Known<Option<Addr>> {
        if field.held != Held::Class {
            return Err(Gap::Unsupported(format!("{} is no static field of memory", field.name)));
        }
        let base = match self.clr.layout.offset("DynamicStaticsInfo", "GCStatics") {
            Ok(_) => self.base(table, field)?,
            Err(_) => self.base_of_8(table, field)?,
        };
        base.map(|base| plus(base, field.offset)).transpose()
    }

    /// Where a thread's value of a field is that each thread has; `Ok(None)` where the thread has none yet.
    pub(super) fn thread_static_place(self, thread: Addr, table: Addr, field: &Field) -> Known<Option<Addr>> {
        let base = match self.clr.layout.offset("ThreadStaticsInfo", "GCTlsIndex") {
            Ok(_) => self.thread_base(thread, table, field)?,
            Err(_) => self.thread_base_of_8(thread, table, field)?,
        };
        match base {
            Some(base) => self.value_place(plus(base, field.offset)?, field),
            None => Ok(None),
        }
    }

    /// A structure is boxed behind its slot.
    fn value_place(self, slot: Addr, field: &Field) -> Known<Option<Addr>> {
        /// Source: ECMA-335 II.23.1.16, ELEMENT_TYPE_VALUETYPE.
        const VALUE: u8 = 0x11;
        if field.element != VALUE {
            return Ok(Some(slot));
        }
        unless_null(self.clr.memory().ptr(slot)?).map(|object| plus(object, 8)).transpose()
    }

    /// Where a class keeps statics of a field's kind.
    fn base(self, table: Addr, field: &Field) -> Known<Option<Addr>> {
        let clr = self.clr;
        if clr.u32(table, "MethodTable", "MTFlags2")? & HAS_STATICS == 0 {
            return Ok(None);
        }
        let info = self.before_auxiliary(table, "DynamicStaticsInfo")?;
        let member = if field.is_collected() { "GCStatics" } else { "NonGCStatics" };
        // The low bit says that the class is not initialised.
        Ok(unless_null(Addr(clr.ptr(info, "DynamicStaticsInfo", member)?.0 & !1)))
    }

    /// What stands before a class's auxiliary data.
    fn before_auxiliary(self, table: Addr, kind: &str) -> Known<Addr> {
        let auxiliary = self.clr.ptr(table, "MethodTable", "AuxiliaryData")?;
        let size = self.clr.layout.offset(kind, "!")?;
        auxiliary.minus(size).ok_or_else(|| Gap::Corrupt(format!("the statics of {table}")))
    }

    fn thread_base(self, thread: Addr, table: Addr, field: &Field) -> Known<Option<Addr>> {
        // Source: dotnet/runtime src/coreclr/vm/threadstatics.h, TLSIndex: the place in 24 bits, above it the kind; threadstatics.cpp: places are held
        // against the count as they are, and the first two have no slot in an array.
        const NOT_COLLECTIBLE: u32 = 0;
        const COLLECTIBLE: u32 = 1;
        const DIRECT: u32 = 2;
        const UNUSED: u64 = 2;
        let clr = self.clr;
        let info = self.before_auxiliary(table, "ThreadStaticsInfo")?;
        let member = if field.is_collected() { "GCTlsIndex" } else { "NonGCTlsIndex" };
        let index = clr.u32(info, "ThreadStaticsInfo", member)?;
        let data = clr.ptr(thread, "Thread", "ThreadLocalDataPtr")?;
        if data.0 == 0 {
            return Ok(None);
        }
        let place = u64::from(index & 0x00ff_ffff);
        // What an array has in a place; null beyond its end.
        let kept = |array: &str, count: &str, slot: Option<u64>, first: u64| {
            let count = u64::from(clr.u32(data, "ThreadLocalData", count)?);
            let Some(slot) = slot.filter(|_| place < count) else { return Ok(Addr(0)) };
            let list = clr.ptr(data, "ThreadLocalData", array)?;
            Ok::<Addr, Gap>(clr.memory().ptr(plus(list, slot.saturating_mul(8).saturating_add(first))?)?)
        };
        let base = match index >> 24 {
            NOT_COLLECTIBLE => {
                let slot = place.checked_sub(UNUSED);
                kept("NonCollectibleTlsArrayData", "NonCollectibleTlsDataCount", slot, FIRST_ELEMENT)?
            }
            COLLECTIBLE => {
                let handle = kept("CollectibleTlsArrayData", "CollectibleTlsDataCount", Some(place), 0)?;
                if handle.0 == 0 { handle } else { clr.memory().ptr(handle)? }
            }
            DIRECT => plus(data, place)?,
            other => return Err(Gap::Corrupt(format!("thread statics of kind {other}"))),
        };
        Ok(unless_null(base))
    }

    /// .NET 8 keeps statics by module.
    fn base_of_8(self, table: Addr, field: &Field) -> Known<Option<Addr>> {
        let clr = self.clr;
        let module = clr.ptr(self.module(table)?, "Module", "ModuleID")?;
        let Some(id) = self.dynamic_id(table)? else {
            let base = if field.is_collected() { clr.ptr(module, "DomainLocalModule", "GCStatics")? } else { module };
            return Ok(unless_null(base));
        };
        let entries = clr.ptr(module, "DomainLocalModule", "DynamicEntries")?.0;
        let Some((entry, is_collectible)) = self.dynamic_entry(module, "DomainLocalModule", id, entries)? else {
            return Ok(None);
        };
        if is_collectible {
            return self.collectible_base(table, entry, field);
        }
        // Source: appdomain.hpp, NormalDynamicEntry: where references are, then the others themselves.
        Ok(unless_null(if field.is_collected() { clr.memory().ptr(entry)? } else { entry }))
    }

    fn thread_base_of_8(self, thread: Addr, table: Addr, field: &Field) -> Known<Option<Addr>> {
        let clr = self.clr;
        let block = clr.at(thread, "Thread", "ThreadLocalBlock")?;
        let index = u64::from(clr.u32(self.module(table)?, "Module", "ModuleIndex")?);
        if index >= clr.ptr(block, "ThreadLocalBlock", "TLMTableSize")?.0 {
            return Ok(None);
        }
        let slot = plus(clr.ptr(block, "ThreadLocalBlock", "TLMTable")?, index.saturating_mul(8))?;
        let Some(module) = unless_null(clr.memory().ptr(slot)?) else { return Ok(None) };
        let handle = match self.dynamic_id(table)? {
            None if field.is_collected() => clr.ptr(module, "ThreadLocalModule", "GCStaticsHandle")?,
            None => return Ok(Some(module)),
            Some(id) => {
                let entries = clr.ptr(module, "ThreadLocalModule", "DynamicEntries")?.0;
                let Some((entry, is_collectible)) = self.dynamic_entry(module, "ThreadLocalModule", id, entries)?
                else {
                    return Ok(None);
                };
                if is_collectible {
                    return Err(Gap::Unsupported(
                        "thread statics of a class that can be unloaded, in .NET 8".to_owned(),
                    ));
                }
                if !field.is_collected() {
                    return Ok(Some(entry));
                }
                clr.memory().ptr(entry)?
            }
        };
        let array = if handle.0 == 0 { handle } else { clr.memory().ptr(handle)? };
        unless_null(array).map(|array| plus(array, FIRST_ELEMENT)).transpose()
    }

    /// The number of a class that has statics of its own: one with type arguments, or made at run time. Of .NET 8.
    fn dynamic_id(self, table: Addr) -> Known<Option<u64>> {
        // Source: methodtable.h of release/8.0: enum_flag_StaticsMask_Dynamic, _Generics, _CrossModuleGenerics.
        const KIND: u32 = 6;
        const GENERIC: u32 = 4;
        // The fixed part of a method table, then its table of virtual methods by eights, then two slots beyond what the table itself has room for.
        const FIXED: u64 = 64;
        const SLOTS_PER_CHUNK: u64 = 8;
        let clr = self.clr;
        match clr.u32(table, "MethodTable", "MTFlags")? & KIND {
            0 => Ok(None),
            kind if kind & GENERIC != 0 => {
                let virtuals = u64::from(clr.u16(table, "MethodTable", "NumVirtuals")?).div_ceil(SLOTS_PER_CHUNK);
                let flags = clr.u16(table, "MethodTable", "MTFlags2")?;
                let taken = (flags & 1).saturating_add(flags >> 1 & 1);
                let over = u64::from((flags & 0x1c).count_ones()).saturating_sub(2 - u64::from(taken));
                let info = plus(table, FIXED.saturating_add(virtuals.saturating_add(over).saturating_mul(8)))?;
                Ok(Some(clr.ptr(info, "GenericsStaticsInfo", "DynamicTypeID")?.0))
            }
            _ => {
                let class = clr.ptr(table, "MethodTable", "EEClassOrCanonMT")?;
                let optional = clr.ptr(class, "EEClass", "OptionalFields")?;
                // None yet: beyond all that have one.
                if optional.0 == 0 {
                    return Ok(Some(u64::MAX));
                }
                Ok(Some(clr.u32(optional, "EEClassOptionalFields", "ModuleDynamicID")?.into()))
            }
        }
    }

    /// Where a class that can be unloaded keeps statics, in .NET 8: its loader's object has them.
    fn collectible_base(self, table: Addr, entry: Addr, field: &Field) -> Known<Option<Addr>> {
        // Source: appdomain.hpp of release/8.0, CollectibleDynamicEntry: handles of an array of references, then of one of the others; loaderallocator.cpp,
        // LoaderAllocator::GetHandleValue: a handle counts slots from 1, above a bit that marks others.
        let (at, first) = if field.is_collected() { (entry, FIRST_ELEMENT) } else { (plus(entry, 8)?, 8) };
        let handle = self.clr.memory().u64(at)?;
        let Some(loader) = self.loader(table)?.filter(|_| handle != 0) else { return Ok(None) };
        let corrupt = || Gap::Corrupt(format!("the statics of {table}"));
        let index = (handle >> 1).checked_sub(1).filter(|_| handle & 1 == 0).ok_or_else(corrupt)?;
        let fields = self.fields(self.table_of(loader.object)?)?;
        let slots = fields.iter().find(|field| &*field.name == "m_slots").ok_or_else(corrupt)?;
        let slots = self.clr.memory().ptr(plus(loader.object, slots.offset.saturating_add(8))?)?;
        if index >= u64::from(self.clr.u32(slots, "Array", "m_NumComponents")?) {
            return Err(corrupt());
        }
        let array = self.clr.memory().ptr(plus(slots, index.saturating_mul(8).saturating_add(FIRST_ELEMENT))?)?;
        unless_null(array).map(|array| plus(array, first)).transpose()
    }

    /// What a class without a number of its own in its module has, and whether it can be unloaded.
    fn dynamic_entry(self, module: Addr, kind: &str, id: u64, entries: u64) -> Known<Option<(Addr, bool)>> {
        /// Of the flags: its statics can be collected. Source: appdomain.hpp, ClassInitFlags::COLLECTIBLE_FLAG.
        const COLLECTIBLE: u32 = 8;
        let clr = self.clr;
        if id >= entries {
            return Ok(None);
        }
        let size = clr.layout.offset("DynamicClassInfo", "!")?;
        let entry = plus(clr.ptr(module, kind, "DynamicClassTable")?, id.saturating_mul(size))?;
        let is_collectible = clr.u32(entry, "DynamicClassInfo", "Flags")? & COLLECTIBLE != 0;
        Ok(unless_null(clr.ptr(entry, "DynamicClassInfo", "DynamicEntry")?).map(|entry| (entry, is_collectible)))
    }
}

fn unless_null(at: Addr) -> Option<Addr> {
    Some(at).filter(|at| at.0 != 0)
}

fn unallocated(field: &Field) -> Gap {
    Gap::NotRecorded(format!("{} has no value yet: its class was not initialised", field.name))
}
