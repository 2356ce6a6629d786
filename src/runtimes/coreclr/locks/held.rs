//! Locks that somebody has and nobody waits for: those of SyncBlocks, and by a walk of the heap thin ones and objects of classes of locks;
//! what of them could not be read is said.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::headers::{Header, Thin};
use super::holders::Held;
use super::holding::Holding;
use super::kinds;
use super::lock::lock;
use super::names::Names;
use super::sync_blocks::SyncBlocks;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, Lock, LockKind, Owner, Partial, Problem, Subject};
use crate::runtimes::coreclr::heap::{Broken, Segment, Segments};
use crate::runtimes::coreclr::types::Types;

/// Most locks of a segment that are told.
const MAX_LOCKS: usize = 1 << 16;

/// Classes of locks whose objects have an owner.
const CLASSES: &[(&str, LockKind)] = &[
    ("System.Threading.Lock", kinds::LOCK),
    ("System.Threading.ReaderWriterLockSlim", kinds::RWLOCK_SLIM),
    ("System.Threading.ReaderWriterLock", kinds::RWLOCK),
];

/// What a walk of a segment finds.
#[derive(Default)]
struct Found {
    thin: Vec<(Addr, Thin)>,
    objects: Vec<(Addr, LockKind)>,
    /// More than these are there.
    left_out: bool,
    /// What of the segment could not be read.
    broken: Vec<Broken>,
}

/// Every lock that somebody has and nobody waits for, by address. `segments`: the heap, where it is in the dump.
pub(in crate::runtimes::coreclr) fn held(
    types: Types<'_>,
    waited: &FxHashSet<Addr>,
    blocks: &SyncBlocks,
    holding: &Holding<'_>,
    segments: Result<&Segments, &Gap>,
    job: &Job,
) -> Result<Partial<Vec<Lock>>, Error> {
    let blocks = blocks.all.iter().map(|block| (kinds::MONITOR, block.object, Ok(block.held(&holding.holders))));
    let classes = Classes::find(|name| types.find(name));
    let found = segments.map_or_else(|_| Ok(Vec::new()), |segments| walk(types, segments, &classes, job))?;
    let mut problems = unsearched(types, segments, &found);
    problems.extend(classes.problem());
    let thin = found.iter().flat_map(|found| &found.thin);
    let thin = thin.map(|(object, thin)| (kinds::MONITOR, *object, Ok(thin.held(&holding.holders))));
    let objects = found.iter().flat_map(|found| &found.objects);
    let objects = objects.map(|(object, kind)| (*kind, *object, holding.held(*kind, *object)));
    let mut all: Vec<(LockKind, Addr, Held)> = Vec::new();
    let mut unread = Unread::default();
    for (kind, object, held) in blocks.chain(thin).chain(objects).filter(|(_, object, _)| !waited.contains(object)) {
        match held {
            // Of one that cannot be read it is not known whether anybody has it.
            Err(gap) => unread.add(gap),
            Ok(Held { owner: Owner::Unknown(gap @ Gap::Unreadable(_)), recursion: None, .. }) => unread.add(gap),
            Ok(held) if held.is_held() => all.push((kind, object, held)),
            Ok(_) => {}
        }
    }
    let names = Names::find(types, &all.iter().map(|(_, object, _)| *object).collect());
    let locks = all.into_iter().map(|(kind, object, held)| lock(kind, object, held, names.of(object)));
    let mut locks = Partial { value: locks.collect::<Vec<Lock>>(), problems };
    locks.value.sort_by_key(|lock| lock.address);
    locks.problems.extend(unread.problem());
    Ok(locks)
}

/// The classes of locks that were loaded.
#[derive(Default)]
struct Classes {
    by_table: FxHashMap<Addr, LockKind>,
    /// Those of which it is not known whether they were, and why of the first.
    unread: Vec<&'static str>,
    why: Option<Gap>,
}

impl Classes {
    fn find(find: impl Fn(&str) -> Known<Option<Addr>>) -> Classes {
        let mut classes = Classes::default();
        for (name, kind) in CLASSES {
            match find(name) {
                Ok(table) => classes.by_table.extend(table.map(|table| (table, *kind))),
                Err(gap) => {
                    classes.unread.push(name);
                    classes.why.get_or_insert(gap);
                }
            }
        }
        classes
    }

    fn problem(&self) -> Option<Problem> {
        let (why, names) = (self.why.as_ref()?, self.unread.join(", "));
        Some(told(format!("locks that threads have and nobody waits for may be missing, those of {names}: {why}")))
    }
}

/// Locks of which it is not known whether anybody has them.
#[derive(Default)]
struct Unread {
    count: usize,
    why: Option<Gap>,
}

impl Unread {
    fn add(&mut self, why: Gap) {
        self.count = self.count.saturating_add(1);
        self.why.get_or_insert(why);
    }

    fn problem(&self) -> Option<Problem> {
        let (why, locks) = (self.why.as_ref()?, if self.count == 1 { "lock" } else { "locks" });
        Some(told(format!("of {} {locks} it cannot be read whether anybody has them: {why}", self.count)))
    }
}

/// What of the heap was not looked at, of all segments together.
fn unsearched(types: Types<'_>, segments: Result<&Segments, &Gap>, found: &[Found]) -> Vec<Problem> {
    let broken: Vec<&Broken> = found.iter().flat_map(|found| &found.broken).collect();
    let bytes = broken.iter().map(|broken| broken.bytes()).fold(0, u64::saturating_add);
    let why = match (segments, broken.first()) {
        (Err(gap), _) => Some(gap.to_string()),
        (_, Some(Broken { start, gap, .. })) => {
            Some(format!("{bytes} bytes of it are not searched, the first at {start}: {gap}"))
        }
        (Ok(segments), None) => match segments.unread.first() {
            Some((part, gap)) => Some(format!("{part}: {gap}")),
            None => segments.left_out(types.clr).map(|bytes| format!("{bytes} bytes of it are not in the dump")),
        },
    };
    let missing = |why| format!("Monitors that threads have and nobody waits for are missing: the managed heap: {why}");
    let left_out = found.iter().any(|found| found.left_out);
    let left_out = left_out
        .then(|| format!("not all locks that threads have are told: a part of the heap has more than {MAX_LOCKS}"));
    why.map(missing).into_iter().chain(left_out).map(told).collect()
}

fn told(message: String) -> Problem {
    Problem::new("locks-unread", Subject::Capture, message)
}

fn walk(types: Types<'_>, segments: &Segments, classes: &Classes, job: &Job) -> Result<Vec<Found>, Error> {
    // What fills gaps is no object: anything may stand before it.
    let filler = types.clr.global("FreeObjectMethodTable").unwrap_or(Addr(0));
    let memory = types.clr.memory();
    let of_segment = |segment: &Segment| {
        let mut found = Found::default();
        let broken = segments.walk_past(types, segment, &mut job.meter(), &mut |object| {
            if object.table == filler {
                return Ok(());
            }
            if let Ok(Header::Thin(thin)) = Header::read(memory, object.at) {
                found.left_out |= !add(&mut found.thin, (object.at, thin));
            }
            if let Some(kind) = classes.by_table.get(&object.table) {
                found.left_out |= !add(&mut found.objects, (object.at, *kind));
            }
            Ok(())
        })?;
        Ok(Found { broken, ..found })
    };
    segments.all.par_iter().map(of_segment).collect()
}

/// Whether there was room for one more.
fn add<T>(all: &mut Vec<T>, more: T) -> bool {
    let room = all.len() < MAX_LOCKS;
    if room {
        all.push(more);
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_cannot_be_looked_up_is_not_taken_for_one_that_was_not_loaded() {
        let find = |name: &str| match name {
            "System.Threading.Lock" => Ok(Some(Addr(0x10))),
            "System.Threading.ReaderWriterLockSlim" => Err(Gap::Corrupt("a module".to_owned())),
            _ => Ok(None),
        };
        let classes = Classes::find(find);
        assert_eq!(classes.by_table.into_iter().collect::<Vec<_>>(), [(Addr(0x10), kinds::LOCK)]);
        let problem = Classes::find(find).problem().map(|said| said.message);
        let words = "locks that threads have and nobody waits for may be missing, those of \
                     System.Threading.ReaderWriterLockSlim: inconsistent: a module";
        assert_eq!(problem.as_deref(), Some(words));
        assert!(Classes::find(|_| Ok(None)).problem().is_none());
    }
}
