//! Locks that somebody has and nobody waits for: those of SyncBlocks, and thin ones, which only a walk of the heap finds.

use rayon::prelude::*;

use super::headers::Thin;
use super::holders::{Held, Holders};
use super::kinds;
use super::names::Names;
use super::waits::{Waits, lock};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Lock};
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::types::Types;

/// Most thin locks that are told.
const MAX_THIN: usize = 1 << 16;

/// Every Monitor that somebody has and nobody waits for, by address. `segments`: the heap, where it is in the dump.
pub(in crate::runtimes::coreclr) fn held(
    types: Types<'_>,
    waits: &Waits,
    holders: &Holders<'_>,
    segments: Option<&Segments>,
    job: &Job,
) -> Result<Vec<Lock>, Error> {
    let mut all: Vec<(Addr, Held)> = waits.held_blocks(holders);
    let thin = segments.map_or_else(|| Ok(Vec::new()), |segments| thin(types, segments, job))?;
    all.extend(thin.into_iter().map(|(object, thin)| (object, thin.held(holders))));
    let names = Names::find(types, &all.iter().map(|(object, _)| *object).collect());
    let locks = all.into_iter().map(|(object, held)| lock(object, kinds::MONITOR, held, names.of(object)));
    let mut locks: Vec<Lock> = locks.collect();
    locks.sort_by_key(|lock| lock.address);
    Ok(locks)
}

/// Objects with thin locks that somebody has.
fn thin(types: Types<'_>, segments: &Segments, job: &Job) -> Result<Vec<(Addr, Thin)>, Error> {
    let memory = types.clr.memory();
    // What fills gaps is no object: anything may stand before it.
    let filler = types.clr.global("FreeObjectMethodTable").unwrap_or(Addr(0));
    let of_segment = |segment| {
        let mut found = Vec::new();
        segments.walk(types, segment, &mut job.meter(), &mut |object| {
            if object.table != filler
                && found.len() < MAX_THIN
                && let Ok(Some(thin)) = Thin::read(memory, object.at)
            {
                found.push((object.at, thin));
            }
            Ok(())
        })?;
        Ok(found)
    };
    let found: Vec<Vec<_>> = segments.all.par_iter().map(of_segment).collect::<Result<_, Error>>()?;
    Ok(found.into_iter().flatten().collect())
}
