//! Methods of types.

use std::ops::Range;

use super::damage::corrupt;
use super::{METHOD_DEF, Metadata, Signature, Sort, TYPE_DEF};
use crate::capture::Memory;
use crate::model::Known;

/// Most methods of one type that are looked at.
const MAX_METHODS: u32 = 1 << 16;
/// The column of a type's first method.
const METHODS: usize = 5;
const PARAM: usize = 0x08;
const STAND_ALONE_SIG: usize = 0x11;
/// Most parameters of one method.
const MAX_PARAMETERS: u32 = 1 << 12;

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
        if method > self.tables.rows(METHOD_DEF) {
            return Err(corrupt(&format!("no method {method}")));
        }
        // The types' runs of methods ascend, and may be empty: the last that does not begin behind it.
        let after = self.tables.first(memory, TYPE_DEF, METHODS, method.saturating_add(1))?;
        after.checked_sub(1).filter(|row| *row > 0).ok_or_else(|| corrupt(&format!("method {method} has no type")))
    }

    /// What a method is given.
    pub fn signature(&self, memory: &Memory, method: u32) -> Known<Signature> {
        Signature::read(&self.blob(memory, self.tables.cell(memory, METHOD_DEF, method, 4)?)?)
    }

    /// The names of a method's parameters, each with its number, which counts from 1.
    pub fn parameter_names(&self, memory: &Memory, method: u32) -> Known<Vec<(u32, String)>> {
        // Source: ECMA-335 II.22.26 and II.22.33: a run ends where the next method's begins, or with the table; Sequence 1, Name 2.
        let first = self.tables.cell(memory, METHOD_DEF, method, 5)?;
        let after = self.tables.rows(PARAM).saturating_add(1);
        let next = method.saturating_add(1);
        let is_last = next > self.tables.rows(METHOD_DEF);
        let end = if is_last { after } else { self.tables.cell(memory, METHOD_DEF, next, 5)? };
        if first > end || end > after || end.saturating_sub(first) > MAX_PARAMETERS {
            return Err(corrupt(&format!("parameters of method {method}")));
        }
        let named = |row| {
            let name = self.string(memory, PARAM, row, 2)?;
            Ok((self.tables.cell(memory, PARAM, row, 1)?, name))
        };
        (first..end).map(named).collect()
    }

    /// Where a method's own instructions are in the image; 0 for one that has none.
    pub fn body(&self, memory: &Memory, method: u32) -> Known<u32> {
        self.tables.cell(memory, METHOD_DEF, method, 0)
    }

    /// The types of local variables, by the token in the head of a method's instructions.
    pub fn locals(&self, memory: &Memory, token: u32) -> Known<Vec<Sort>> {
        const TABLE: u32 = 0x1100_0000;
        if token == 0 {
            return Ok(Vec::new());
        }
        let row = token.checked_sub(TABLE).filter(|row| *row < 1 << 24).ok_or_else(|| corrupt("no local variables"))?;
        Sort::of_locals(&self.blob(memory, self.tables.cell(memory, STAND_ALONE_SIG, row, 0)?)?)
    }
}
