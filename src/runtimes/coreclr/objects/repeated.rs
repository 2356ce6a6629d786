//! Structures that are one field again and again: inline arrays, and buffers of fixed size.
//!
//! Input: a structure. Output: its elements. Specification: dotnet/runtime docs/design/features/InlineArrayAttribute.md; the C# compiler makes of a
//! buffer of fixed size a structure with one field, and declares its size.

use super::values::{MAX_DEPTH, Values};
use super::{Instance, Window};
use crate::model::value::Content;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::types::{Class, ClassKind, Declared, Field, Held, Types};

/// Elements that are shown.
const SHOWN: Window = Window { start: 0, most: 100 };

impl Values<'_> {
    /// The elements of a structure that is one field again and again; `Ok(None)` of others.
    pub(super) fn repeated(&self, instance: &Instance<'_>, depth: usize) -> Known<Option<Content>> {
        if instance.class.kind != ClassKind::Structure || depth >= MAX_DEPTH {
            return Ok(None);
        }
        let fields = self.types.fields(instance.class.table)?;
        let mut own = fields.iter().filter(|field| field.held == Held::Object);
        let (Some(field), None) = (own.next(), own.next()) else { return Ok(None) };
        let Some((count, size)) = self.types.repeats(&instance.class, field)? else { return Ok(None) };
        let first = instance.place_of(field)?;
        let mut elements = Vec::new();
        for index in 0..count.min(SHOWN.most) {
            if !self.may_read() {
                break;
            }
            let at = plus(first, index.saturating_mul(size))?;
            elements.push(self.of_field(field, at, depth.saturating_add(1)));
        }
        let left_out = count.saturating_sub(elements.len() as u64);
        Ok(Some(Content::Array { elements, left_out, unread: None }))
    }
}

impl Types<'_> {
    /// How often a structure has its one field, and the bytes of each; `Ok(None)` where it has it once.
    fn repeats(self, class: &Class, field: &Field) -> Known<Option<(u64, u64)>> {
        let size = self.bytes_of(field, 0);
        let bytes = u64::from(class.base_size).saturating_sub(16);
        match self.declared(class.table) {
            Ok(None) => Ok(None),
            Ok(Some(Declared::Count(count))) => {
                let size = size?;
                let fits =
                    size.checked_mul(count).is_some_and(|all| all.next_multiple_of(8) == bytes.next_multiple_of(8));
                let damaged =
                    || Gap::Corrupt(format!("{count} fields of {size} bytes in the {bytes} of {}", class.table));
                if fits { Ok(Some((count, size))) } else { Err(damaged()) }
            }
            Ok(Some(Declared::Bytes(all))) => Ok(Some((all / size.clone()?.max(1), size?))),
            // What has no room for a second one is told without.
            Err(_) if size.is_ok_and(|size| size.next_multiple_of(8) >= bytes) => Ok(None),
            Err(gap) => Err(gap),
        }
    }

    fn declared(self, table: Addr) -> Known<Option<Declared>> {
        self.classes.repeats.get(table, || {
            let metadata = self.modules.metadata(self.clr, self.module(table)?)?;
            let (memory, rid) = (self.clr.memory(), self.rid(table)?);
            if metadata.type_name(memory, rid)?.ends_with(">e__FixedBuffer") {
                return Ok(metadata.declared_size(memory, rid)?.map(|bytes| Declared::Bytes(bytes.into())));
            }
            let count =
                metadata.attribute_number(memory, rid, "System.Runtime.CompilerServices.InlineArrayAttribute")?;
            Ok(count.map(|count| Declared::Count(count.into())))
        })
    }

    /// Bytes of a field that lies in a structure.
    fn bytes_of(self, field: &Field, depth: usize) -> Known<u64> {
        // Source: ECMA-335 II.23.1.16, ELEMENT_TYPE_VALUETYPE.
        const VALUE: u8 = 0x11;
        match field.element {
            VALUE => {
                let sort = field.sort.as_ref().map_err(Gap::clone)?;
                self.bytes_of_structure(self.class_of_values(sort, field.declared_by)?, depth).map(|(bytes, _)| bytes)
            }
            other => Ok(super::values::width(other).unwrap_or(8)),
        }
    }

    /// Bytes of a structure, and what it is aligned to.
    fn bytes_of_structure(self, table: Addr, depth: usize) -> Known<(u64, u64)> {
        let class = self.class(table)?;
        let unsure = || Gap::Unsupported(format!("the size of {table}"));
        let (mut end, mut alignment) = (1, 1);
        for field in self.fields(table)?.iter().filter(|field| field.held == Held::Object) {
            let (bytes, own) = match field.element {
                0x11 if depth >= MAX_DEPTH => return Err(unsure()),
                0x11 => {
                    let sort = field.sort.as_ref().map_err(Gap::clone)?;
                    self.bytes_of_structure(self.class_of_values(sort, field.declared_by)?, depth.saturating_add(1))?
                }
                other => super::values::width(other).map_or((8, 8), |width| (width, width)),
            };
            end = end.max(field.offset.saturating_add(bytes));
            alignment = alignment.max(own);
        }
        let bytes = end.next_multiple_of(alignment);
        // Where it was declared to have more, or is such an array itself, its fields do not tell.
        let is_it = bytes.next_multiple_of(8) == u64::from(class.base_size).saturating_sub(16).next_multiple_of(8);
        if is_it { Ok((bytes, alignment)) } else { Err(unsure()) }
    }
}
