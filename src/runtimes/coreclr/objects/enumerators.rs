//! Reads the names of an enumeration's values from the metadata of its module.

use std::sync::Arc;

use super::Enumeration;
use crate::model::{Addr, Known};
use crate::runtimes::coreclr::types::Types;

impl Types<'_> {
    /// The names of an enumeration.
    pub(in crate::runtimes::coreclr) fn enumeration(self, table: Addr) -> Known<Arc<Enumeration>> {
        self.classes.enumerations.get(table, || self.read_enumeration(table).map(Arc::new))
    }

    fn read_enumeration(self, table: Addr) -> Known<Enumeration> {
        let metadata = self.modules.metadata(self.clr, self.module(table)?)?;
        let (memory, rid) = (self.clr.memory(), self.rid(table)?);
        let mut values = Vec::new();
        for row in metadata.fields_of(memory, rid)? {
            let field = metadata.field(memory, row)?;
            if field.is_constant
                && let Some(number) = metadata.constant(memory, row)?
            {
                values.push((number, field.name));
            }
        }
        // Without its attribute the names are there all the same.
        let is_flags = metadata.has_attribute(memory, rid, "System.FlagsAttribute").unwrap_or(false);
        Ok(Enumeration { is_flags, values })
    }
}
