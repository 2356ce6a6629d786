//! The names of types, by their method tables.
//!
//! Input: the address of a `MethodTable` or a type handle. Output: the name as C# and ClrMD write it:
//! `System.Collections.Generic.List<System.__Canon>`.

mod class;
mod declared;
mod described;
mod find;
mod loaders;
mod room;
mod slots;
mod sorts;

use std::sync::Arc;

use rustc_hash::FxHashMap;

pub(super) use self::declared::Declared;
pub(super) use self::described::{Class, ClassKind, Field, Held, Loader};
pub(super) use self::sorts::element_name;

use self::described::{Instantiated, Rows};
use self::room::Room;
use super::clr::{Clr, plus};
use super::heap::Pattern;
use super::memo::Memo;
use super::metadata::with_arguments;
use super::modules::Modules;
use super::objects::Enumeration;
use super::statics::Statics;
use crate::model::{Addr, Gap, Known};

/// Depth of types in types, and most type arguments of one.
const MAX_DEPTH: usize = 16;
const MAX_ARGUMENTS: u16 = 64;

// Bits of MethodTable.MTFlags. Source: dotnet/runtime src/coreclr/vm/methodtable.h, enum WFLAGS_HIGH_ENUM, WFLAGS_LOW_ENUM.
const HAS_COMPONENT_SIZE: u32 = 0x8000_0000;
const CATEGORY: u32 = 0x000c_0000;
const ARRAY: u32 = 0x0008_0000;
const VECTOR: u32 = 0x0002_0000;
const GENERIC: u32 = 0x30;
/// A type handle whose second bit is set is no method table. Source: dotnet/runtime src/coreclr/vm/typehandle.h.
const TYPE_DESC: u64 = 2;

/// Names types of one runtime.
#[derive(Clone, Copy)]
pub(super) struct Types<'a> {
    pub(super) clr: &'a Clr,
    pub(super) modules: &'a Modules,
    pub(super) classes: &'a Classes,
}

/// What was read of types.
pub(super) struct Classes {
    classes: Memo<Addr, Known<Arc<Class>>>,
    fields: Memo<Addr, Known<Arc<[Field]>>>,
    rows: Memo<Addr, Known<Arc<Rows>>>,
    instantiated: Memo<(), Known<Arc<Instantiated>>>,
    pub(super) enumerations: Memo<Addr, Known<Arc<Enumeration>>>,
    /// Names of classes and of those that they derive from.
    pub(super) lineages: Memo<Addr, Arc<[Box<str>]>>,
    pub(super) patterns: Memo<Addr, Known<Option<Arc<Pattern>>>>,
    keepers: Memo<Addr, Known<Option<Loader>>>,
    pub(super) statics: Memo<(), Known<Arc<Statics>>>,
    /// What structures of one field declare.
    pub(super) repeats: Memo<Addr, Known<Option<Declared>>>,
    /// The static field that refers to an object, by the object.
    pub(super) static_to: Memo<(), Arc<FxHashMap<Addr, Arc<str>>>>,
}

impl Default for Classes {
    fn default() -> Classes {
        /// Most types that are kept, and most modules.
        const MAX_TYPES: usize = 1 << 20;
        const MAX_MODULES: usize = 1 << 16;
        Classes {
            classes: Memo::of(MAX_TYPES),
            fields: Memo::of(MAX_TYPES),
            rows: Memo::of(MAX_MODULES),
            instantiated: Memo::of(1),
            enumerations: Memo::of(MAX_TYPES),
            lineages: Memo::of(MAX_TYPES),
            patterns: Memo::of(MAX_TYPES),
            keepers: Memo::of(MAX_TYPES),
            statics: Memo::of(1),
            repeats: Memo::of(MAX_TYPES),
            static_to: Memo::of(1),
        }
    }
}

impl Types<'_> {
    /// The name of an object's type.
    pub(super) fn of_object(self, object: Addr) -> Known<String> {
        self.of_table(self.table_of(object)?)
    }

    /// The method table of an object.
    pub(super) fn table_of(self, object: Addr) -> Known<Addr> {
        // The collector marks objects in these bits. Source: dotnet/runtime src/coreclr/vm/object.h.
        Ok(Addr(self.clr.ptr(object, "Object", "m_pMethTab")?.0 & !7))
    }

    /// The name of a method table's type.
    pub(super) fn of_table(self, table: Addr) -> Known<String> {
        self.table(table, 0, &Room::default())
    }

    /// The type arguments of a method table's type; none where it is not generic.
    pub(super) fn arguments_of(self, table: Addr) -> Known<Vec<String>> {
        let flags = self.clr.u32(table, "MethodTable", "MTFlags")?;
        let is_generic = flags & HAS_COMPONENT_SIZE == 0 && flags & GENERIC != 0;
        if is_generic { self.own_arguments(table, 0, &Room::default()) } else { Ok(Vec::new()) }
    }

    /// The module of a method table.
    pub(super) fn module(self, table: Addr) -> Known<Addr> {
        self.clr.ptr(table, "MethodTable", "Module")
    }

    /// The name of a type handle.
    pub(super) fn handle_name(self, handle: Addr) -> Known<String> {
        self.handle(handle, 0, &Room::default())
    }

    /// Whether a type handle leads to no class: a pointer's type, a type parameter.
    pub(super) fn is_described(self, handle: Addr) -> bool {
        handle.0 & TYPE_DESC != 0
    }

    /// One of the type arguments of a generic type, as a type handle.
    pub(super) fn argument(self, table: Addr, index: u32) -> Known<Addr> {
        let (arguments, count) = self.argument_list(table)?;
        if index >= u32::from(count) {
            return Err(Gap::Corrupt(format!("type argument {index} of {table}, which has {count}")));
        }
        Ok(self.clr.memory().ptr(plus(arguments, u64::from(index).saturating_mul(8))?)?)
    }

    fn handle(self, handle: Addr, depth: usize, room: &Room) -> Known<String> {
        room.take(1)?;
        if depth > MAX_DEPTH {
            return Err(Gap::Corrupt(format!("types around {handle} are nested too deep")));
        }
        if handle.0 & TYPE_DESC == 0 {
            return self.table(handle, depth, room);
        }
        let described = Addr(handle.0 & !TYPE_DESC);
        // Source: ECMA-335 II.23.1.16, element types: pointer, by reference, type parameters, function pointer.
        let element = self.clr.u32(described, "TypeDesc", "TypeAndFlags")? & 0xff;
        let inner = || self.handle(self.clr.ptr(described, "ParamTypeDesc", "TypeArg")?, depth.saturating_add(1), room);
        match element {
            0x0f => Ok(format!("{}*", inner()?)),
            0x10 => Ok(format!("{} ByRef", inner()?)),
            0x13 | 0x1e => Ok("T".to_owned()),
            0x1b => Ok("IntPtr".to_owned()),
            other => Err(Gap::Corrupt(format!("a type of element type {other:#x} at {handle}"))),
        }
    }

    fn table(self, table: Addr, depth: usize, room: &Room) -> Known<String> {
        let inner = depth.saturating_add(1);
        let flags = self.clr.u32(table, "MethodTable", "MTFlags")?;
        if flags & CATEGORY == ARRAY {
            let element = self.handle(self.clr.ptr(table, "MethodTable", "PerInstInfo")?, inner, room)?;
            // An array with bounds has 8 bytes for each dimension behind the 24 of any array.
            let dimensions = self.clr.u32(table, "MethodTable", "BaseSize")?.saturating_sub(24) / 8;
            let commas = ",".repeat(usize::try_from(dimensions.clamp(1, 32).saturating_sub(1)).unwrap_or(0));
            return Ok(match flags & VECTOR {
                // One dimension that need not begin at 0, as reflection writes it.
                0 if commas.is_empty() => format!("{element}[*]"),
                0 => format!("{element}[{commas}]"),
                _ => format!("{element}[]"),
            });
        }
        let rid = self.rid(table)?;
        if rid == 0 {
            return Ok("DynamicClass".to_owned());
        }
        let metadata = self.modules.metadata(self.clr, self.module(table)?)?;
        let name = metadata.type_name(self.clr.memory(), rid)?;
        room.take(name.len())?;
        if flags & HAS_COMPONENT_SIZE != 0 || flags & GENERIC == 0 {
            return Ok(name);
        }
        Ok(with_arguments(&name, &self.own_arguments(table, inner, room)?))
    }

    /// Row of a type in its module's table of types.
    pub(super) fn rid(self, table: Addr) -> Known<u32> {
        // .NET 8 keeps 16 bits of it apart.
        match self.clr.u16(table, "MethodTable", "Token") {
            Err(Gap::NoLayout(_)) => Ok(self.clr.u32(table, "MethodTable", "MTFlags2")? >> 8),
            rid => rid.map(u32::from),
        }
    }

    /// The type arguments of a generic type.
    fn own_arguments(self, table: Addr, depth: usize, room: &Room) -> Known<Vec<String>> {
        let (arguments, count) = self.argument_list(table)?;
        self.handles(arguments, count, depth, room)
    }

    /// Where they are, and how many.
    fn argument_list(self, table: Addr) -> Known<(Addr, u16)> {
        let clr = self.clr;
        let info = clr.ptr(table, "MethodTable", "PerInstInfo")?;
        // The counts stand before the list of dictionaries, which has one for each generic type that this one derives from.
        let counts = info.minus(8).ok_or_else(|| Gap::Corrupt(format!("type arguments at {info}")))?;
        let dictionaries = clr.u16(counts, "GenericsDictInfo", "NumDicts")?;
        let count = clr.u16(counts, "GenericsDictInfo", "NumTypeArgs")?;
        let last = u64::from(dictionaries.saturating_sub(1)).saturating_mul(8);
        Ok((clr.memory().ptr(plus(info, last)?)?, count))
    }

    fn handles(self, at: Addr, count: u16, depth: usize, room: &Room) -> Known<Vec<String>> {
        if count > MAX_ARGUMENTS {
            return Err(Gap::Corrupt(format!("{count} type arguments at {at}")));
        }
        let handle =
            |index: u16| self.clr.memory().ptr(plus(at, u64::from(index).saturating_mul(8))?).map_err(Gap::from);
        (0..count).map(|index| self.handle(handle(index)?, depth.saturating_add(1), room)).collect()
    }
}
