//! What a place within an object is called.

use super::Types;
use super::described::{ClassKind, Field, Held};
use crate::model::Addr;

/// Structures within structures.
const DEPTH: usize = 8;
const WORD: u64 = 8;
/// Source: ECMA-335 II.23.1.16, ELEMENT_TYPE_VALUETYPE.
const VALUE: u8 = 0x11;

impl Types<'_> {
    /// What is so many bytes into an object of a class: `_items`, `[3]`, `[3].value`. `None` where that is not known.
    pub(in crate::runtimes::coreclr) fn slot_name(self, table: Addr, offset: u64) -> Option<String> {
        let class = self.class(table).ok()?;
        let ClassKind::Array { of, .. } = class.kind else {
            return self.field_name(table, offset.checked_sub(WORD)?, DEPTH);
        };
        // The base size counts the header of the next object.
        let first = u64::from(class.base_size).checked_sub(WORD)?;
        let within = offset.checked_sub(first)?;
        let component = u64::from(class.component).max(1);
        let (index, rest) = (within / component, within % component);
        let inner = self.class(of).ok().filter(|inner| inner.kind == ClassKind::Structure);
        match inner.and_then(|inner| self.field_name(inner.table, rest, DEPTH)) {
            Some(field) => Some(format!("[{index}].{field}")),
            None => Some(format!("[{index}]")),
        }
    }

    /// The same within the fields of an object or structure.
    fn field_name(self, table: Addr, offset: u64, depth: usize) -> Option<String> {
        let fields = self.fields(table).ok()?;
        let is_before = |field: &&Field| field.held == Held::Object && field.offset <= offset;
        let field = fields.iter().filter(is_before).max_by_key(|field| field.offset)?;
        if field.element != VALUE {
            return (field.offset == offset).then(|| field.name.to_string());
        }
        let inner = field.sort.as_ref().ok().and_then(|sort| self.class_of_values(sort, field.declared_by).ok());
        let rest = offset.checked_sub(field.offset)?;
        match inner.filter(|_| depth > 0).and_then(|inner| self.field_name(inner, rest, depth.checked_sub(1)?)) {
            Some(inner) => Some(format!("{}.{inner}", field.name)),
            None => Some(field.name.to_string()),
        }
    }
}
