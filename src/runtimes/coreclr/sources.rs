//! Source lines of managed code.
//!
//! Input: a method and a machine instruction of it, or a state machine and its state. Output: a [`Line`], where a PDB of the assembly is at hand. As
//! the runtime prints it in stacks: for code that was made of no instruction in particular, the line of the method's first.

use std::sync::Arc;

use super::code::Place;
use super::debug_info;
use super::memo::Memo;
use super::metadata::{Line, Pdb};
use super::pdbs;
use super::rows::{self, Row};
use super::types::Types;
use crate::model::{Addr, Known};

/// Most modules whose PDBs are kept, and most lines.
const MAX_MODULES: usize = 1 << 16;
const MAX_LINES: usize = 1 << 20;

/// What is known of source lines.
pub(super) struct Sources {
    pdbs: Memo<Addr, Option<Arc<Pdb>>>,
    lines: Memo<Addr, Option<Line>>,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources { pdbs: Memo::of(MAX_MODULES), lines: Memo::of(MAX_LINES) }
    }
}

impl Sources {
    /// The line of a machine instruction; `None` where nothing tells it.
    pub(super) fn line(&self, types: Types<'_>, place: &Place, lookup: Addr) -> Option<Line> {
        self.lines.get(lookup, || self.read(types, place, lookup).ok().flatten())
    }

    fn read(&self, types: Types<'_>, place: &Place, lookup: Addr) -> Known<Option<Line>> {
        let Row { table, rid } = rows::row(types.clr, place.method)?;
        let Some(pdb) = self.pdb(types, types.module(table)?) else { return Ok(None) };
        let il = debug_info::instruction(types.clr, place, lookup)?;
        pdb.line(rid, il.unwrap_or(0))
    }

    /// The PDB of a module; `None` where none is at hand.
    pub(super) fn pdb(&self, types: Types<'_>, module: Addr) -> Option<Arc<Pdb>> {
        self.pdbs.get(module, || pdbs::find(types.clr, module).ok().flatten().map(Arc::new))
    }

    /// Where an asynchronous method is suspended: `table` is the method table of its state machine, `state` the number of the wait.
    /// `Ok(None)` where no PDB tells it.
    pub(super) fn suspended(&self, types: Types<'_>, table: Addr, state: u32) -> Known<Option<Line>> {
        let Some((pdb, move_next)) = self.move_next(types, table)? else { return Ok(None) };
        let wait = usize::try_from(state).ok().and_then(|state| pdb.waits(move_next).ok()?.get(state).copied());
        match wait {
            Some(wait) => pdb.line(wait.method, wait.yields),
            None => Ok(None),
        }
    }

    /// The row of the method as its source has it, of which a state machine was made. `Ok(None)` where no PDB tells it.
    pub(super) fn kickoff(&self, types: Types<'_>, table: Addr) -> Known<Option<u32>> {
        let Some((pdb, move_next)) = self.move_next(types, table)? else { return Ok(None) };
        pdb.kickoff(move_next)
    }

    /// The method of a state machine that goes on, by its row, and its module's PDB.
    fn move_next(&self, types: Types<'_>, table: Addr) -> Known<Option<(Arc<Pdb>, u32)>> {
        let module = types.module(table)?;
        let Some(pdb) = self.pdb(types, module) else { return Ok(None) };
        let metadata = types.modules.metadata(types.clr, module)?;
        Ok(metadata.method_named(types.clr.memory(), types.rid(table)?, "MoveNext")?.map(|row| (pdb, row)))
    }
}
