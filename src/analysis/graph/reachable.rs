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
        let set = spread(graph, graph.roots().iter().map(|(_, id)| *id), None, job)?;
        let count = set.count();
        Ok(Reachable { set, count })
    }
}

/// What can be reached from these objects, they themselves among it; of one object it is not followed what it refers to.
fn spread(
    graph: &Graph,
    from: impl Iterator<Item = ObjectId>,
    end: Option<ObjectId>,
    job: &Job,
) -> Result<ObjectSet, Error> {
    let set = SharedSet::new(graph.len());
    let mut open: Vec<ObjectId> = from.filter(|id| set.insert(*id) && Some(*id) != end).collect();
    let new = |to: &ObjectId| set.insert(*to) && Some(*to) != end;
    let mut meter = job.meter();
    while !open.is_empty() {
        open = if open.len() < MANY {
            // A chain is no wider than one object: nothing is shared out until there is enough of it.
            follow(graph, open, &new, &mut meter)?
        } else {
            open.par_chunks(CHUNK)
                .map(|chunk| step(graph, chunk, &new, &mut job.meter()))
                .try_reduce(Vec::new, |one, other| Ok(appended(one, other)))?
        };
    }
    Ok(set.into_set())
}

/// Goes on until nothing is left, or there is enough for several threads.
fn follow(
    graph: &Graph,
    mut open: Vec<ObjectId>,
    new: &(impl Fn(&ObjectId) -> bool + Sync),
    meter: &mut Meter<'_>,
) -> Result<Vec<ObjectId>, Error> {
    while let Some(id) = open.pop() {
        meter.add(1)?;
        open.extend(graph.references(id).iter().copied().filter(new));
        if open.len() >= MANY {
            break;
        }
    }
    Ok(open)
}

/// What these refer to and nobody has reached yet.
fn step(
    graph: &Graph,
    ids: &[ObjectId],
    new: &(impl Fn(&ObjectId) -> bool + Sync),
    meter: &mut Meter<'_>,
) -> Result<Vec<ObjectId>, Error> {
    let mut found = Vec::new();
    for id in ids {
        meter.add(1)?;
        found.extend(graph.references(*id).iter().copied().filter(new));
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

/// What an object leads to, and what would be free without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// All that is reachable from it, itself among it.
    pub reachable: Amount,
    /// Of that what no root reaches but through it; `None` where none reaches the object itself.
    pub retained: Option<Amount>,
}

/// Follows references from an object, and from the roots without it: what the one reaches and the other does not is what it retains, as
/// [`super::Dominators::retained`] tells of all objects. That takes a fraction of what finding all dominators does.
pub fn reach(graph: &Graph, from: ObjectId, objects: &Objects, job: &Job) -> Result<Reach, Error> {
    job.phase("following references", 0);
    let own = spread(graph, std::iter::once(from), None, job)?;
    let others = spread(graph, graph.roots().iter().map(|(_, id)| *id), Some(from), job)?;
    let sum = |is_counted: &(dyn Fn(ObjectId) -> bool + Sync)| {
        let amount = |id: ObjectId| Amount { count: 1, bytes: objects.bytes(id) };
        let all = (0..graph.len()).into_par_iter().filter(|id| own.has(*id) && is_counted(*id)).map(amount);
        all.reduce(Amount::default, |mut one, other| {
            one.add(other);
            one
        })
    };
    let retained = others.has(from).then(|| sum(&|id| id == from || !others.has(id)));
    job.check()?;
    Ok(Reach { reachable: sum(&|_| true), retained })
}
