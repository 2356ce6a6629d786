//! Source lines of managed code.
//!
//! Input: a method and a machine instruction of it, or a state machine and its state. Output: a [`Line`], where a PDB of the assembly is at hand. As
//! the runtime prints it in stacks: for code that was made of no instruction in particular, the line of the method's first, which is marked.

use std::sync::Arc;

use super::budget::Budget;
use super::code::Place;
use super::debug_info;
use super::memo::Memo;
use super::metadata::{Line, Pdb};
use super::modules;
use super::pdbs;
use super::rows::{self, Row};
use super::types::Types;
use crate::model::{Addr, Known};

/// Most modules whose PDBs are kept, and most lines.
const MAX_MODULES: usize = 1 << 16;
const MAX_LINES: usize = 1 << 20;
/// Most bytes of all PDBs that assemblies hold, unpacked: in memory.
const MAX_UNPACKED: u64 = 1 << 30;

/// What is known of source lines.
pub(super) struct Sources {
    /// By where their assemblies lie: modules of one image share one.
    pdbs: Memo<Addr, Known<Option<Arc<Pdb>>>>,
    unpacked: Budget,
    lines: Memo<Addr, Option<Line>>,
}

impl Default for Sources {
    fn default() -> Sources {
        let unpacked = Budget::of(MAX_UNPACKED, "bytes of PDBs in assemblies");
        Sources { pdbs: Memo::of(MAX_MODULES), unpacked, lines: Memo::of(MAX_LINES) }
    }
}

impl Sources {
    /// The line of a machine instruction; `None` where nothing tells it.
    pub(super) fn line(&self, types: Types<'_>, place: &Place, lookup: Addr) -> Option<Line> {
        self.lines.get(lookup, || self.read(types, place, lookup).ok().flatten())
    }

    fn read(&self, types: Types<'_>, place: &Place, lookup: Addr) -> Known<Option<Line>> {
        let Row { table, rid } = rows::row(types.clr, place.method)?;
        let Some(pdb) = self.pdb(types, types.module(table)?)? else { return Ok(None) };
        let il = debug_info::instruction(types.clr, place, lookup)?;
        let line = pdb.line(rid, il.unwrap_or(0))?;
        Ok(line.map(|line| Line { approximate: il.is_none(), ..line }))
    }

    /// The PDB of a module; `Ok(None)` where none is at hand. Fails where one is, and cannot be used.
    pub(super) fn pdb(&self, types: Types<'_>, module: Addr) -> Known<Option<Arc<Pdb>>> {
        let base = modules::base(types.clr, module)?;
        if base.0 == 0 {
            return Ok(None);
        }
        self.pdbs.get(base, || Ok(pdbs::find(types.clr, module, &self.unpacked)?.map(Arc::new)))
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

    /// The method of a state machine that goes on, by its row, and its module's PDB.
    fn move_next(&self, types: Types<'_>, table: Addr) -> Known<Option<(Arc<Pdb>, u32)>> {
        let module = types.module(table)?;
        let Some(pdb) = self.pdb(types, module)? else { return Ok(None) };
        let metadata = types.modules.metadata(types.clr, module)?;
        Ok(metadata.method_named(types.clr.memory(), types.rid(table)?, "MoveNext")?.map(|row| (pdb, row)))
    }
}
