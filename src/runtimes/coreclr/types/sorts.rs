//! Types as signatures spell them, made exact: their names, and the classes of values.
//!
//! Input: a [`Sort`] and the class whose type arguments it means. Output: a name as C# writes it, or a `MethodTable`.

use super::Types;
use super::room::Room;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::metadata::{Sort, primitive};

/// Depth of types in types.
const MAX_DEPTH: usize = 16;

impl Types<'_> {
    /// The name of a type, as C# writes it. `of`: the class whose type arguments are meant.
    pub(in crate::runtimes::coreclr) fn sort_name(self, sort: &Sort, of: Addr) -> Known<String> {
        self.sort_name_at(sort, of, 0, &Room::default())
    }

    fn sort_name_at(self, sort: &Sort, of: Addr, depth: usize, room: &Room) -> Known<String> {
        room.take(1)?;
        let inner = depth.saturating_add(1);
        if inner > MAX_DEPTH {
            return Err(Gap::Corrupt("types are nested too deep".to_owned()));
        }
        let commas = |rank: &Option<u32>| ",".repeat(usize::try_from(rank.unwrap_or(1).clamp(1, 32)).unwrap_or(1) - 1);
        Ok(match sort {
            Sort::Primitive(element) => element_name(*element).to_owned(),
            Sort::Named { coded, .. } => {
                let name = self.modules.metadata(self.clr, self.module(of)?)?.full_name(self.clr.memory(), *coded)?;
                room.take(name.len())?;
                name
            }
            Sort::Argument(index) => self.handle(self.argument(of, *index)?, depth, room)?,
            Sort::MethodArgument(index) => format!("!!{index}"),
            Sort::Pointer { to, is_reference } => {
                let to = self.sort_name_at(to, of, inner, room)?;
                if *is_reference { format!("ref {to}") } else { format!("{to}*") }
            }
            Sort::Array { of: element, rank } => {
                format!("{}[{}]", self.sort_name_at(element, of, inner, room)?, commas(rank))
            }
            Sort::Generic { of: generic, arguments } => {
                let name = self.sort_name_at(generic, of, inner, room)?;
                let arguments = arguments
                    .iter()
                    .map(|argument| self.sort_name_at(argument, of, inner, room))
                    .collect::<Known<Vec<_>>>()?;
                super::with_arguments(&name, &arguments)
            }
            Sort::Function { .. } => "void*".to_owned(),
            Sort::Handle(handle) => self.handle(*handle, depth, room)?,
        })
    }

    /// The class of values of a type that lie in what holds them; fails where none of its name was loaded.
    pub(in crate::runtimes::coreclr) fn class_of_values(self, sort: &Sort, of: Addr) -> Known<Addr> {
        match sort {
            Sort::Argument(index) => {
                let handle = self.argument(of, *index)?;
                let is_class = handle.0 & super::TYPE_DESC == 0;
                is_class.then_some(handle).ok_or_else(|| Gap::Unsupported(format!("values of the type at {handle}")))
            }
            Sort::Handle(handle) => Ok(*handle),
            Sort::Named { coded, .. } if coded & 3 == 0 => {
                let name = || self.sort_name(sort, of).unwrap_or_else(|_| format!("type {}", coded >> 2));
                self.defined(self.module(of)?, coded >> 2)?.ok_or_else(|| absent(&name()))
            }
            Sort::Generic { .. } => {
                let name = self.sort_name(sort, of)?;
                self.instantiated(&name)?.ok_or_else(|| absent(&name))
            }
            Sort::Named { .. } | Sort::Primitive(_) => {
                let name = self.sort_name(sort, of)?;
                self.find(&name)?.ok_or_else(|| absent(&name))
            }
            _ => Err(Gap::Unsupported("values of a pointer's type".to_owned())),
        }
    }
}

fn absent(name: &str) -> Gap {
    Gap::NotRecorded(format!("the runtime has not loaded {name}"))
}

/// What C# programs call a type that has no token: `System.Int32`.
pub(in crate::runtimes::coreclr) fn element_name(element: u8) -> &'static str {
    match element {
        0x01 => "void",
        0x02 => "System.Boolean",
        0x03 => "System.Char",
        0x04 => "System.SByte",
        0x05 => "System.Byte",
        0x06 => "System.Int16",
        0x07 => "System.UInt16",
        0x08 => "System.Int32",
        0x09 => "System.UInt32",
        0x0a => "System.Int64",
        0x0b => "System.UInt64",
        0x0c => "System.Single",
        0x0d => "System.Double",
        0x18 => "System.IntPtr",
        0x19 => "System.UIntPtr",
        other => primitive(other).unwrap_or("?"),
    }
}
