//! Methods of types.

use std::ops::Range;

use super::damage::corrupt;
use super::{METHOD_DEF, Metadata, TYPE_DEF};
use crate::capture::Memory;
use crate::model::Known;

/// Most methods of one type that are looked at.
const MAX_METHODS: u32 = 1 << 16;
/// The column of a type's first method.
const METHODS: usize = 5;

impl Metadata {
    /// The rows of a type's methods.
    pub fn methods_of(&self, memory: &Memory, of_type: u32) -> Known<Range<u32>> {
        // Source: ECMA-335 II.22.37: a run ends where the next type's begins, or with the table.
        let first = self.tables.cell(memory, TYPE_DEF, of_type, METHODS)?;
        let after = self.tables.rows(METHOD_DEF).saturating_add(1);
        let next = of_type.saturating_add(1);
        let end = if next > self.tables.rows(TYPE_DEF) {
            after
        } else {
            self.tables.cell(memory, TYPE_DEF, next, METHODS)?
        };
        if first > end || end > after || end.saturating_sub(first) > MAX_METHODS {
            return Err(corrupt(&format!("methods of type {of_type}")));
        }
        Ok(first..end)
    }

    /// A type's first method of a name, by its row; `Ok(None)` where it has none.
    pub fn method_named(&self, memory: &Memory, of_type: u32, name: &str) -> Known<Option<u32>> {
        for method in self.methods_of(memory, of_type)? {
            if self.method_name(memory, method)? == name {
                return Ok(Some(method));
            }
        }
        Ok(None)
    }

    /// The row of the type that a method belongs to.
    pub fn type_of(&self, memory: &Memory, method: u32) -> Known<u32> {
        // The types' runs of methods ascend, and may be empty: the last that does not begin behind it.
        let after = self.tables.first(memory, TYPE_DEF, METHODS, method.saturating_add(1))?;
        after.checked_sub(1).filter(|row| *row > 0).ok_or_else(|| corrupt(&format!("method {method} has no type")))
    }
}
