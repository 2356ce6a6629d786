//! Which objects can be reached: from the roots, or from one object.

use rayon::prelude::*;

use super::csr::Graph;
use super::set::{ObjectSet, SharedSet};
use crate::analysis::histogram::Amount;
use crate::error::Error;
use crate::heap::{ObjectId, Objects};
use crate::job::{Job, Meter};

/// From so many objects on what they refer to is looked at in parallel.
const MANY: usize = 1 << 14;
/// Objects that one thread looks at, at once.
const CHUNK: usize = 1 << 10;

/// The objects that are reachable from the roots.
#[derive(Debug, Default)]
pub struct Reachable {
    /// Which they are.
    pub set: ObjectSet,
    /// How many.
    pub count: u64,
}

impl Reachable {
    /// Follows references from the roots, wide heaps in parallel.
    pub fn from_roots(graph: &Graph, job: &Job) -> Result<Reachable, Error> {
        job.phase("following references from roots", u64::from(graph.len()));
        let set = SharedSet::new(graph.len());
        let mut open: Vec<ObjectId> = graph.roots().iter().map(|(_, id)| *id).filter(|id| set.insert(*id)).collect();
        let mut meter = job.meter();
        while !open.is_empty() {
            open = if open.len() < MANY {
                // A chain is no wider than one object: nothing is shared out until there is enough of it.
                follow(graph, open, &set, &mut meter)?
            } else {
                open.par_chunks(CHUNK)
                    .map(|chunk| step(graph, chunk, &set, &mut job.meter()))
                    .try_reduce(Vec::new, |one, other| Ok(appended(one, other)))?
            };
        }
        let set = set.into_set();
        let count = set.count();
        Ok(Reachable { set, count })
    }
}

/// Goes on until nothing is left, or there is enough for several threads.
fn follow(
    graph: &Graph,
    mut open: Vec<ObjectId>,
    set: &SharedSet,
    meter: &mut Meter<'_>,
) -> Result<Vec<ObjectId>, Error> {
    while let Some(id) = open.pop() {
        meter.add(1)?;
        open.extend(graph.references(id).iter().copied().filter(|to| set.insert(*to)));
        if open.len() >= MANY {
            break;
        }
    }
    Ok(open)
}

/// What these refer to and nobody has reached yet.
fn step(graph: &Graph, ids: &[ObjectId], set: &SharedSet, meter: &mut Meter<'_>) -> Result<Vec<ObjectId>, Error> {
    let mut found = Vec::new();
    for id in ids {
        meter.add(1)?;
        found.extend(graph.references(*id).iter().copied().filter(|to| set.insert(*to)));
    }
    Ok(found)
}

fn appended(mut one: Vec<ObjectId>, mut other: Vec<ObjectId>) -> Vec<ObjectId> {
    if one.len() < other.len() {
        std::mem::swap(&mut one, &mut other);
    }
    one.append(&mut other);
    one
}

/// All that is reachable from an object, itself among it.
pub fn reach(graph: &Graph, from: ObjectId, objects: &Objects, job: &Job) -> Result<Amount, Error> {
    job.phase("following references", 0);
    let mut meter = job.meter();
    let mut set = ObjectSet::new(graph.len());
    let mut amount = Amount::default();
    let mut open: Vec<ObjectId> = Some(from).filter(|from| set.insert(*from)).into_iter().collect();
    while let Some(id) = open.pop() {
        meter.add(1)?;
        amount.add(Amount { count: 1, bytes: objects.bytes(id) });
        open.extend(graph.references(id).iter().copied().filter(|to| set.insert(*to)));
    }
    Ok(amount)
}
