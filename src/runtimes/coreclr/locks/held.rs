//! Locks that somebody has and nobody waits for: those of SyncBlocks, and by a walk of the heap thin ones and objects of classes of locks.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::headers::Thin;
use super::holders::Held;
use super::holding::{Holding, lock};
use super::kinds;
use super::names::Names;
use super::sync_blocks::SyncBlocks;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Lock, LockKind};
use crate::runtimes::coreclr::heap::{Segment, Segments};
use crate::runtimes::coreclr::types::Types;

/// Most locks of a segment that are told.
const MAX_LOCKS: usize = 1 << 16;

/// Classes of locks whose objects have an owner.
const CLASSES: &[(&str, LockKind)] = &[
    ("System.Threading.Lock", kinds::LOCK),
    ("System.Threading.ReaderWriterLockSlim", kinds::RWLOCK_SLIM),
    ("System.Threading.ReaderWriterLock", kinds::RWLOCK),
];

/// What a walk of the heap finds.
#[derive(Default)]
struct Found {
    thin: Vec<(Addr, Thin)>,
    objects: Vec<(Addr, LockKind)>,
}

/// Every lock that somebody has and nobody waits for, by address. `segments`: the heap, where it is in the dump.
pub(in crate::runtimes::coreclr) fn held(
    types: Types<'_>,
    waited: &FxHashSet<Addr>,
    blocks: &SyncBlocks,
    holding: &Holding<'_>,
    segments: Option<&Segments>,
    job: &Job,
) -> Result<Vec<Lock>, Error> {
    let blocks = blocks.all.iter().map(|block| (kinds::MONITOR, block.object, block.held(&holding.holders)));
    // Of one that cannot be read it is not known whether anybody has it.
    let mut all: Vec<(LockKind, Addr, Held)> =
        blocks.filter(|(.., held)| held.is_held() && held.recursion.is_some()).collect();
    let found = segments.map_or_else(|| Ok(Vec::new()), |segments| walk(types, segments, job))?;
    for Found { thin, objects } in found {
        all.extend(thin.into_iter().map(|(object, thin)| (kinds::MONITOR, object, thin.held(&holding.holders))));
        let held =
            objects.into_iter().filter_map(|(object, kind)| Some((kind, object, holding.held(kind, object).ok()?)));
        all.extend(held.filter(|(.., held)| held.is_held()));
    }
    all.retain(|(_, object, _)| !waited.contains(object));
    let names = Names::find(types, &all.iter().map(|(_, object, _)| *object).collect());
    let locks = all.into_iter().map(|(kind, object, held)| lock(kind, object, held, names.of(object)));
    let mut locks: Vec<Lock> = locks.collect();
    locks.sort_by_key(|lock| lock.address);
    Ok(locks)
}

fn walk(types: Types<'_>, segments: &Segments, job: &Job) -> Result<Vec<Found>, Error> {
    // What fills gaps is no object: anything may stand before it.
    let filler = types.clr.global("FreeObjectMethodTable").unwrap_or(Addr(0));
    let class = |(name, kind): &(&str, LockKind)| Some((types.find(name).ok()??, *kind));
    let classes: FxHashMap<Addr, LockKind> = CLASSES.iter().filter_map(class).collect();
    let memory = types.clr.memory();
    let of_segment = |segment: &Segment| {
        let mut found = Found::default();
        segments.walk(types, segment, &mut job.meter(), &mut |object| {
            if object.table == filler {
                return Ok(());
            }
            if let Ok(Some(thin)) = Thin::read(memory, object.at)
                && found.thin.len() < MAX_LOCKS
            {
                found.thin.push((object.at, thin));
            }
            if let Some(kind) = classes.get(&object.table)
                && found.objects.len() < MAX_LOCKS
            {
                found.objects.push((object.at, *kind));
            }
            Ok(())
        })?;
        Ok(found)
    };
    segments.all.par_iter().map(of_segment).collect()
}
