//! Objects of the managed heap, and structures in them: their fields by name.
//!
//! Input: the address of an object. Output: an [`Instance`], whose fields are found by the names that their declarations have.

mod brief;
mod built;
mod collections;
mod contents;
mod counts;
mod delegates;
mod elements;
mod enumerations;
mod enumerators;
mod opened;
mod paths;
mod repeated;
mod spelled;
mod spelling;
mod text;
mod values;

use std::sync::Arc;

pub(super) use self::contents::OfThread;
pub(super) use self::enumerations::Enumeration;
pub use self::opened::{DelegateTarget, OpenedArray, OpenedValue};
pub(super) use self::paths::Scope;
pub(super) use self::text::{string, units};
pub(super) use self::values::Values;

use super::clr::{Clr, plus};
use super::types::{Class, Field, Held, Types};
use crate::model::{Addr, Gap, Known};

/// Bytes before an object's first field: its method table.
pub(super) const HEADER: u64 = 8;
/// An array's first element.
pub(super) const FIRST_ELEMENT: u64 = 16;

/// Which elements of a collection are shown: from one on, so many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The first, from 0.
    pub(super) start: u64,
    /// How many, at most.
    pub(super) most: u64,
}

/// An object, or a structure that lies in something else.
#[derive(Clone)]
pub(super) struct Instance<'a> {
    pub(super) types: Types<'a>,
    pub(super) class: Arc<Class>,
    /// The object; of a structure where its first field is.
    pub(super) at: Addr,
    /// Where its first field is.
    data: Addr,
}

impl<'a> Types<'a> {
    /// The object at an address.
    pub(super) fn object(self, at: Addr) -> Known<Instance<'a>> {
        Ok(Instance { types: self, class: self.class_of(at)?, at, data: plus(at, HEADER)? })
    }

    /// The object that a slot refers to; `Ok(None)` for null.
    pub(super) fn referred(self, slot: Addr) -> Known<Option<Instance<'a>>> {
        let to = self.clr.memory().ptr(slot)?;
        if to.0 == 0 { Ok(None) } else { self.object(to).map(Some) }
    }

    /// The structure of a class at an address.
    pub(super) fn structure(self, table: Addr, at: Addr) -> Known<Instance<'a>> {
        Ok(Instance { types: self, class: self.class(table)?, at, data: at })
    }
}

impl<'a> Instance<'a> {
    /// Whether it is an object, and no structure that lies in something else.
    pub(super) fn is_object(&self) -> bool {
        self.data != self.at
    }

    fn clr(&self) -> &'a Clr {
        self.types.clr
    }

    /// The name of its class; empty where that cannot be read.
    pub(super) fn name(&self) -> &str {
        self.class.name.as_deref().unwrap_or("")
    }

    /// A field of it, by its name: of several that of the class nearest to its own.
    pub(super) fn field(&self, name: &str) -> Known<Field> {
        let fields = self.types.fields(self.class.table)?;
        let mut own = fields.iter().rev().filter(|field| field.held == Held::Object);
        // What a property without code keeps has the property's name in it.
        let is_it = |field: &&Field| &*field.name == name || property(&field.name) == Some(name);
        own.find(is_it).cloned().ok_or_else(|| Gap::NoLayout(format!("{}.{name}", self.name())))
    }

    /// Where a field's value is.
    pub(super) fn place(&self, name: &str) -> Known<Addr> {
        plus(self.data, self.field(name)?.offset)
    }

    /// Where the value of a field that was looked up is.
    pub(super) fn place_of(&self, field: &Field) -> Known<Addr> {
        plus(self.data, field.offset)
    }

    /// The object that a field refers to; `Ok(None)` for null.
    pub(super) fn reference(&self, name: &str) -> Known<Option<Instance<'a>>> {
        self.types.referred(self.place(name)?)
    }

    /// The address that a field holds; 0 for null.
    pub(super) fn address(&self, name: &str) -> Known<Addr> {
        Ok(self.clr().memory().ptr(self.place(name)?)?)
    }

    /// A structure that lies in a field.
    pub(super) fn inner(&self, name: &str) -> Known<Instance<'a>> {
        let field = self.field(name)?;
        let table = self.types.class_of_values(field.sort.as_ref().map_err(Gap::clone)?, field.declared_by)?;
        self.types.structure(table, self.place_of(&field)?)
    }

    /// A number of one byte.
    pub(super) fn u8(&self, name: &str) -> Known<u8> {
        Ok(self.clr().memory().u8(self.place(name)?)?)
    }

    /// A number of two bytes.
    pub(super) fn u16(&self, name: &str) -> Known<u16> {
        Ok(self.clr().memory().u16(self.place(name)?)?)
    }

    /// A number of four bytes.
    pub(super) fn u32(&self, name: &str) -> Known<u32> {
        Ok(self.clr().memory().u32(self.place(name)?)?)
    }

    /// A number of four bytes with a sign.
    pub(super) fn i32(&self, name: &str) -> Known<i32> {
        self.u32(name).map(u32::cast_signed)
    }

    /// A number of eight bytes.
    pub(super) fn u64(&self, name: &str) -> Known<u64> {
        Ok(self.clr().memory().u64(self.place(name)?)?)
    }

    /// A number of eight bytes with a sign.
    pub(super) fn i64(&self, name: &str) -> Known<i64> {
        self.u64(name).map(u64::cast_signed)
    }

    /// The text that a field refers to; `Ok(None)` for null.
    pub(super) fn text(&self, name: &str) -> Known<Option<String>> {
        let to = self.address(name)?;
        if to.0 == 0 { Ok(None) } else { string(self.clr(), to).map(Some) }
    }

    /// How many elements an array has, or characters a text.
    pub(super) fn len(&self) -> Known<u32> {
        self.clr().u32(self.at, "Array", "m_NumComponents")
    }

    /// Where an element of an array of one dimension is; fails beyond the last.
    pub(super) fn element(&self, index: u32) -> Known<Addr> {
        if index >= self.len()? {
            return Err(Gap::Corrupt(format!("element {index} of the array at {}", self.at)));
        }
        let offset = u64::from(index).saturating_mul(self.class.component.into()).saturating_add(FIRST_ELEMENT);
        plus(self.at, offset)
    }

    /// Whether its class is, or derives from, one of a name. Type arguments are left out: `System.Threading.Tasks.Task`.
    pub(super) fn is_a(&self, wanted: &str) -> bool {
        self.lineage().iter().any(|name| &**name == wanted)
    }

    /// The names of its class and of those that it derives from, without type arguments. Read once for each class.
    pub(super) fn lineage(&self) -> Arc<[Box<str>]> {
        self.types.classes.lineages.get(self.class.table, || {
            /// Base classes that are looked at.
            const MAX_BASES: usize = 64;
            let mut names = Vec::new();
            let mut class = Arc::clone(&self.class);
            for _ in 0..MAX_BASES {
                names.extend(class.name.as_deref().ok().map(|name| without_arguments(name).into_boxed_str()));
                match self.types.class(class.parent) {
                    Ok(parent) if class.parent.0 != 0 => class = parent,
                    _ => break,
                }
            }
            Arc::from(names)
        })
    }
}

/// `Name` of `<Name>k__BackingField`. Source: dotnet/roslyn src/Compilers/CSharp/Portable/Symbols/Synthesized/GeneratedNames.cs, MakeBackingFieldName.
pub(super) fn property(field: &str) -> Option<&str> {
    field.strip_prefix('<')?.strip_suffix(">k__BackingField")
}

/// `Ns.Map+Entry` of `Ns.Map<System.String>+Entry`.
fn without_arguments(name: &str) -> String {
    let mut depth = 0u32;
    let mut plain = String::new();
    for letter in name.chars() {
        match letter {
            '<' => depth = depth.saturating_add(1),
            '>' => depth = depth.saturating_sub(1),
            letter if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::without_arguments;

    #[test]
    fn type_arguments_are_no_part_of_a_plain_name() {
        assert_eq!(without_arguments("N.Map<N.List<A>, B[]>+Entry"), "N.Map+Entry");
        assert_eq!(without_arguments("N.List<A>+Enumerator<B>"), "N.List+Enumerator");
    }
}
