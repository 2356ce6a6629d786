//! Names of local variables, by the scopes in which they are.

use super::super::damage::corrupt;
use super::{LOCAL_SCOPE, LOCAL_VARIABLE, Pdb};
use crate::model::Known;

/// Most scopes of a method, and variables of one, that are looked at.
const MAX_SCOPES: u32 = 1 << 12;
const MAX_VARIABLES: u32 = 1 << 12;

// Columns. Source: PortablePdb-Metadata.md, "LocalScope Table", "LocalVariable Table".
const VARIABLES: usize = 2;
const START: usize = 4;
const LENGTH: usize = 5;
const ATTRIBUTES: usize = 0;
const INDEX: usize = 1;
const NAME: usize = 2;
/// The bit of a variable that the compiler made for itself.
const HIDDEN: u32 = 1;

impl Pdb {
    /// The local variables of a method that its source has at an instruction: the number of each and its name.
    pub fn locals(&self, method: u32, il: u32) -> Known<Vec<(u32, String)>> {
        let mut locals = Vec::new();
        let scopes = self.rows_of(LOCAL_SCOPE, 0, method)?;
        for scope in scopes.take(MAX_SCOPES as usize) {
            let (start, length) = (self.cell(LOCAL_SCOPE, scope, START)?, self.cell(LOCAL_SCOPE, scope, LENGTH)?);
            if il.checked_sub(start).is_none_or(|offset| offset >= length) {
                continue;
            }
            for variable in self.variables_of(scope)? {
                if self.cell(LOCAL_VARIABLE, variable, ATTRIBUTES)? & HIDDEN == 0 {
                    let name = self.metadata.string(&self.memory, LOCAL_VARIABLE, variable, NAME)?;
                    locals.push((self.cell(LOCAL_VARIABLE, variable, INDEX)?, name));
                }
            }
        }
        Ok(locals)
    }

    /// Rows of a scope's variables.
    fn variables_of(&self, scope: u32) -> Known<std::ops::Range<u32>> {
        let after = self.rows(LOCAL_VARIABLE).saturating_add(1);
        let first = self.cell(LOCAL_SCOPE, scope, VARIABLES)?;
        let next = scope.saturating_add(1);
        let end = if next > self.rows(LOCAL_SCOPE) { after } else { self.cell(LOCAL_SCOPE, next, VARIABLES)? };
        if end > after || end.saturating_sub(first) > MAX_VARIABLES {
            return Err(corrupt("the variables of a method"));
        }
        Ok(first..end)
    }
}
