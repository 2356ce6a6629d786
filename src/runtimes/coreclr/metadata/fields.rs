//! Fields of types: names, types, the constants of enumerations.

use std::ops::Range;

use super::damage::corrupt;
use super::sort::Sort;
use super::{FIELD, Metadata, NESTED_CLASS, TYPE_DEF, TYPE_REF};
use crate::capture::Memory;
use crate::model::{Gap, Known};

const CONSTANT: usize = 0x0b;
/// Most fields of one type that are looked at.
const MAX_FIELDS: u32 = 1 << 16;

// Source: ECMA-335 II.23.1.5, attributes of fields.
const STATIC: u32 = 0x10;
const LITERAL: u32 = 0x40;

/// A field as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRow {
    /// Its name.
    pub name: String,
    /// Whether it belongs to the type and not to each object.
    pub is_static: bool,
    /// Whether it is a constant, which no memory holds.
    pub is_constant: bool,
    /// Its type.
    pub sort: Known<Sort>,
}

impl Metadata {
    /// A field, by its row.
    pub fn field(&self, memory: &Memory, rid: u32) -> Known<FieldRow> {
        let flags = self.tables.cell(memory, FIELD, rid, 0)?;
        let sort = self.tables.cell(memory, FIELD, rid, 2).and_then(|blob| self.blob(memory, blob));
        Ok(FieldRow {
            name: self.string(memory, FIELD, rid, 1)?,
            is_static: flags & STATIC != 0,
            is_constant: flags & LITERAL != 0,
            sort: sort.and_then(|blob| Sort::of_field(&blob)),
        })
    }

    /// The rows of a type's fields.
    pub fn fields_of(&self, memory: &Memory, of_type: u32) -> Known<Range<u32>> {
        // Source: ECMA-335 II.22.37: a run ends where the next type's begins, or with the table.
        let first = self.tables.cell(memory, TYPE_DEF, of_type, 4)?;
        let after = self.tables.rows(FIELD).saturating_add(1);
        let next = of_type.saturating_add(1);
        let end =
            if next > self.tables.rows(TYPE_DEF) { after } else { self.tables.cell(memory, TYPE_DEF, next, 4)? };
        if first > end || end > after || end.saturating_sub(first) > MAX_FIELDS {
            return Err(corrupt(&format!("fields of type {of_type}")));
        }
        Ok(first..end)
    }

    /// The number that a constant field stands for; of less than 8 bytes extended by its sign.
    pub fn constant(&self, memory: &Memory, field: u32) -> Known<Option<i64>> {
        // Source: ECMA-335 II.22.9: sorted by what it belongs to, fields have the tag 0; the value is a blob of the type's size.
        let wanted = field.checked_mul(4).ok_or_else(|| corrupt("a field's row"))?;
        let Some(row) = self.sorted(memory, CONSTANT, 1, wanted)? else { return Ok(None) };
        let blob = self.blob(memory, self.tables.cell(memory, CONSTANT, row, 2)?)?;
        let is_signed = matches!(self.tables.cell(memory, CONSTANT, row, 0)? & 0xff, 0x04 | 0x06 | 0x08 | 0x0a);
        if blob.len() > 8 {
            return Ok(None);
        }
        let is_minus = is_signed && blob.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut bytes = [if is_minus { 0xff } else { 0 }; 8];
        bytes.iter_mut().zip(&blob).for_each(|(to, from)| *to = *from);
        Ok(Some(i64::from_le_bytes(bytes)))
    }

    /// How many types there are; their rows count from 1.
    pub fn types(&self) -> u32 {
        self.tables.rows(TYPE_DEF)
    }

    /// The full name of the type that an index `TypeDefOrRef` leads to.
    pub fn full_name(&self, memory: &Memory, coded: u32) -> Known<String> {
        /// Most types that one may be nested in.
        const MAX_NESTED: usize = 32;
        match coded & 3 {
            0 => self.type_name(memory, coded >> 2),
            1 => {
                let mut rid = coded >> 2;
                let mut name = self.referred_name(memory, rid)?;
                for _ in 0..MAX_NESTED {
                    // Source: ECMA-335 II.24.2.6, ResolutionScope: the tag 3 is a type.
                    let scope = self.tables.cell(memory, TYPE_REF, rid, 0)?;
                    if scope & 3 != 3 {
                        return Ok(name);
                    }
                    rid = scope >> 2;
                    name = format!("{}+{name}", self.referred_name(memory, rid)?);
                }
                Err(corrupt("a type is nested in itself"))
            }
            _ => Err(Gap::Unsupported("a type that is told by another signature".to_owned())),
        }
    }

    /// The type that one is nested in, by their rows.
    pub(super) fn enclosed_by(&self, memory: &Memory, rid: u32) -> Known<Option<u32>> {
        // Source: ECMA-335 II.22.32: sorted by the nested type.
        let row = self.sorted(memory, NESTED_CLASS, 0, rid)?;
        row.map(|row| self.tables.cell(memory, NESTED_CLASS, row, 1)).transpose()
    }

    /// The row of a sorted table that has a value in a column. Ends at the first that is met: of a table that nobody else has searched a small dump
    /// holds the pages on that way, and not those on the way to the first row of several.
    pub(super) fn sorted(&self, memory: &Memory, table: usize, column: usize, wanted: u32) -> Known<Option<u32>> {
        let (mut low, mut high) = (1, self.tables.rows(table).saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            match self.tables.cell(memory, table, middle, column)?.cmp(&wanted) {
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}
