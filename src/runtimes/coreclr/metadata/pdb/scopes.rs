//! Names of local variables, by the scopes in which they are.

use super::super::damage::corrupt;
use super::{LOCAL_SCOPE, LOCAL_VARIABLE, Pdb};
use crate::model::{Gap, Known};

/// Most scopes of a method that are looked at, and most variables of all of them.
const MAX_SCOPES: u32 = 1 << 12;
const MAX_VARIABLES: usize = 1 << 12;

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
        // Variables have names of their own: together they are no longer than all names.
        let mut room = self.metadata.streams.strings.size;
        let scopes = self.rows_of(LOCAL_SCOPE, 0, method)?;
        for scope in scopes.take(MAX_SCOPES as usize) {
            let (start, length) = (self.cell(LOCAL_SCOPE, scope, START)?, self.cell(LOCAL_SCOPE, scope, LENGTH)?);
            if il.checked_sub(start).is_none_or(|offset| offset >= length) {
                continue;
            }
            for variable in self.variables_of(scope, MAX_VARIABLES.saturating_sub(locals.len()))? {
                if self.cell(LOCAL_VARIABLE, variable, ATTRIBUTES)? & HIDDEN == 0 {
                    let name = self.metadata.string(&self.memory, LOCAL_VARIABLE, variable, NAME)?;
                    room = room.checked_sub(name.len() as u64).ok_or_else(damaged)?;
                    locals.push((self.cell(LOCAL_VARIABLE, variable, INDEX)?, name));
                }
            }
        }
        Ok(locals)
    }

    /// Rows of a scope's variables, of which so many are believed.
    fn variables_of(&self, scope: u32, most: usize) -> Known<std::ops::Range<u32>> {
        let after = self.rows(LOCAL_VARIABLE).saturating_add(1);
        let first = self.cell(LOCAL_SCOPE, scope, VARIABLES)?;
        let next = scope.saturating_add(1);
        let end = if next > self.rows(LOCAL_SCOPE) { after } else { self.cell(LOCAL_SCOPE, next, VARIABLES)? };
        let is_believed = usize::try_from(end.saturating_sub(first)).is_ok_and(|count| count <= most);
        if end > after || !is_believed {
            return Err(damaged());
        }
        Ok(first..end)
    }
}

fn damaged() -> Gap {
    corrupt("the variables of a method")
}
