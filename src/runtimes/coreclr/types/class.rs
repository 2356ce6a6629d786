//! What a class is: its kind, the size of its objects, its fields.
//!
//! Input: the address of a `MethodTable`. Output: a [`Class`]. Specification: dotnet/runtime docs/design/datacontracts/RuntimeTypeSystem.md,
//! src/coreclr/vm/methodtable.h, class.h, field.h.

use std::sync::Arc;

use super::described::{Class, ClassKind, Field, Held};
use super::{ARRAY, CATEGORY, HAS_COMPONENT_SIZE, Types, VECTOR};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;

/// Base classes that are looked at, and most fields of a class with those of its bases.
const MAX_BASES: usize = 64;
const MAX_FIELDS: u32 = 1 << 14;
// Bits of MethodTable.MTFlags. Source: methodtable.h, enum WFLAGS_HIGH_ENUM: value types have one of these, structures and nullable ones, numbers
// and enumerations, numbers.
const VALUE: u32 = 0x0004_0000;
const PRIMITIVE: u32 = 0x0006_0000;
const TRUE_PRIMITIVE: u32 = 0x0007_0000;
const INTERFACE: u32 = 0x000c_0000;
const KINDS: u32 = 0x000f_0000;
const REFERENCES: u32 = 0x0100_0000;

impl Types<'_> {
    /// What a class is.
    pub(in crate::runtimes::coreclr) fn class(self, table: Addr) -> Known<Arc<Class>> {
        self.classes.classes.get(table, || self.read_class(table).map(Arc::new))
    }

    /// The class of an object.
    pub(in crate::runtimes::coreclr) fn class_of(self, object: Addr) -> Known<Arc<Class>> {
        self.class(self.table_of(object)?)
    }

    /// Whether a class is, or derives from, one of a name. Type arguments are left out: `System.Threading.Tasks.Task`.
    pub(in crate::runtimes::coreclr) fn derives(self, table: Addr, wanted: &str) -> bool {
        let mut next = table;
        for _ in 0..MAX_BASES {
            let Ok(class) = self.class(next) else { return false };
            if class.name.as_deref().is_ok_and(|name| name.split('<').next() == Some(wanted)) {
                return true;
            }
            if class.parent.0 == 0 {
                return false;
            }
            next = class.parent;
        }
        false
    }

    /// The fields of a class and of its bases, those of the bases first; statics are its own alone.
    pub(in crate::runtimes::coreclr) fn fields(self, table: Addr) -> Known<Arc<[Field]>> {
        self.classes.fields.get(table, || self.read_fields(table).map(Arc::from))
    }

    fn read_class(self, table: Addr) -> Known<Class> {
        let clr = self.clr;
        let flags = clr.u32(table, "MethodTable", "MTFlags")?;
        let component = if flags & HAS_COMPONENT_SIZE != 0 { flags & 0xffff } else { 0 };
        let base_size = clr.u32(table, "MethodTable", "BaseSize")?;
        // The least is a text's; there are no objects of an interface.
        let is_interface = flags & CATEGORY == INTERFACE && base_size == 0;
        if !is_interface && !(16..1 << 26).contains(&base_size) {
            return Err(Gap::Corrupt(format!("no class at {table}: objects of {base_size} bytes")));
        }
        let parent = clr.ptr(table, "MethodTable", "ParentMethodTable")?;
        let kind = if flags & CATEGORY == ARRAY {
            let of = clr.ptr(table, "MethodTable", "PerInstInfo")?;
            let rank = (flags & VECTOR == 0).then(|| (base_size.saturating_sub(24) / 8).clamp(1, 32));
            ClassKind::Array { of, rank }
        } else if component != 0 {
            ClassKind::Text
        } else {
            match flags & KINDS {
                PRIMITIVE => ClassKind::Enumeration(self.element(table)?),
                TRUE_PRIMITIVE => ClassKind::Primitive(self.element(table)?),
                other if other & CATEGORY == VALUE => ClassKind::Structure,
                _ => ClassKind::Reference,
            }
        };
        let name = self.of_table(table).map(Arc::from);
        let has_references = flags & REFERENCES != 0;
        Ok(Class { table, name, kind, base_size, component, parent, has_references })
    }

    fn element(self, table: Addr) -> Known<u8> {
        self.clr.u8(self.described(table)?, "EEClass", "InternalCorElementType")
    }

    /// Whether there is a method table at an address: what describes it leads back to it, or to the type whose code it shares.
    pub(in crate::runtimes::coreclr) fn is_table(self, table: Addr) -> Known<bool> {
        if table.0 == 0 || !table.is_aligned(8) {
            return Ok(false);
        }
        // Source: dotnet/runtime docs/design/datacontracts/RuntimeTypeSystem.md, "ValidateMethodTablePointer". Arrays share what describes them.
        let described = self.described(table)?;
        let back = self.clr.ptr(described, "EEClass", "MethodTable")?;
        Ok(back == table || self.described(back)? == described)
    }

    /// The `EEClass` of a method table: that of the type with shared code.
    fn described(self, table: Addr) -> Known<Addr> {
        let of = |table| self.clr.ptr(table, "MethodTable", "EEClassOrCanonMT");
        let first = of(table)?;
        let described = if first.0 & 1 != 0 { of(Addr(first.0 & !1))? } else { first };
        if described.0 & 1 != 0 { Err(Gap::Corrupt(format!("the class of {table}"))) } else { Ok(described) }
    }

    /// How many fields an object has, with those of the bases, and how many the class.
    fn counts(self, table: Addr) -> Known<(u32, u32)> {
        let clr = self.clr;
        let class = self.described(table)?;
        // .NET 8 keeps them behind the class, packed where they are small.
        let Ok(place) = clr.u8(class, "EEClass", "FixedEEClassFields") else {
            let of = |member| clr.u16(class, "EEClass", member).map(u32::from);
            return Ok((of("NumInstanceFields")?, of("NumStaticFields")?));
        };
        if clr.u8(class, "EEClass", "FieldsArePacked")? != 0 {
            return Err(Gap::Unsupported(format!("packed counts of fields of {table}")));
        }
        let counts = plus(class, place.into())?;
        let of = |member| clr.u32(counts, "EEClassPackedFields", member);
        Ok((of("NumInstanceFields")?, of("NumStaticFields")?))
    }

    fn read_fields(self, table: Addr) -> Known<Vec<Field>> {
        let clr = self.clr;
        let mut chain = Vec::new();
        let mut next = table;
        while next.0 != 0 {
            if chain.len() >= MAX_BASES {
                return Err(Gap::Unsupported(format!("more than {MAX_BASES} base classes of {table}")));
            }
            chain.push(next);
            next = clr.ptr(next, "MethodTable", "ParentMethodTable")?;
        }
        let mut fields = Vec::new();
        let mut inherited = 0;
        for class in chain.into_iter().rev() {
            let (all, statics) = self.counts(class)?;
            let own = all.saturating_sub(inherited);
            inherited = all;
            let count = own.saturating_add(if class == table { statics } else { 0 });
            let known = u32::try_from(fields.len()).unwrap_or(u32::MAX);
            if known.saturating_add(count) > MAX_FIELDS {
                return Err(Gap::Corrupt(format!("{count} fields of {class}, besides {known} of its bases")));
            }
            let list = clr.ptr(self.described(class)?, "EEClass", "FieldDescList")?;
            for index in 0..count {
                fields.push(self.field(class, list, index)?);
            }
        }
        Ok(fields)
    }

    fn field(self, class: Addr, list: Addr, index: u32) -> Known<Field> {
        // Source: dotnet/runtime src/coreclr/vm/field.h, FieldDesc: row 24 bits, static, for each thread, in the image; offset 27 bits, element type 5.
        const STATIC: u32 = 1 << 24;
        const OF_THREAD: u32 = 1 << 25;
        const IN_IMAGE: u32 = 1 << 26;
        let clr = self.clr;
        let size = clr.layout.offset("FieldDesc", "!")?;
        let at = plus(list, size.saturating_mul(index.into()))?;
        let (first, second) = (clr.u32(at, "FieldDesc", "DWord1")?, clr.u32(at, "FieldDesc", "DWord2")?);
        let held = match first {
            bits if bits & STATIC == 0 => Held::Object,
            bits if bits & OF_THREAD != 0 => Held::Thread,
            bits if bits & IN_IMAGE != 0 => Held::Image,
            _ => Held::Class,
        };
        let row = self.modules.metadata(clr, self.module(class)?)?.field(clr.memory(), first & 0x00ff_ffff)?;
        Ok(Field {
            name: row.name.into(),
            declared_by: class,
            sort: row.sort,
            element: u8::try_from(second >> 27).unwrap_or(0),
            offset: (second & 0x07ff_ffff).into(),
            held,
        })
    }
}
