//! What nothing reaches any more: the unreachable objects by type, and those from which all of them hang.

use super::csr::Graph;
use super::reachable::Reachable;
use super::set::ObjectSet;
use crate::analysis::histogram::{self, Amount, Histogram};
use crate::error::Error;
use crate::heap::{ObjectId, Objects};
use crate::job::Job;

/// The unreachable objects.
#[derive(Debug, Default)]
pub struct Leaks {
    /// By type.
    pub histogram: Histogram,
    /// The fewest objects from which all of them are reached: those that no other unreachable object refers to, and of
    /// each cycle that nothing outside of it refers to the one with the lowest address. Those that hold the most bytes
    /// first, then by address.
    pub heads: Vec<Head>,
}

/// An unreachable object that no other holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The object.
    pub object: ObjectId,
    /// How many unreachable objects are reached from no other head, itself among them.
    pub count: u32,
    /// Their bytes.
    pub bytes: u64,
}

/// In place of a head: reached from none so far.
const NOBODY: u32 = u32::MAX;
/// In place of a head: reached from several.
const SEVERAL: u32 = u32::MAX - 1;

impl Leaks {
    /// Finds them. `types` is how many types the heap has.
    pub fn find(
        graph: &Graph,
        reachable: &Reachable,
        objects: &Objects,
        types: usize,
        job: &Job,
    ) -> Result<Leaks, Error> {
        let histogram = histogram::of_objects(objects, types, &|id, _| !reachable.set.has(id), job)?;
        if histogram.total.count == 0 {
            return Ok(Leaks { histogram, heads: Vec::new() });
        }
        let heads = heads(graph, &reachable.set, job)?;
        let owned = owned(graph, &reachable.set, &heads, objects, job)?;
        let told = heads.into_iter().zip(owned);
        let mut heads: Vec<Head> =
            told.map(|(object, Amount { count, bytes })| Head { object, count: narrow(count), bytes }).collect();
        heads.sort_unstable_by_key(|head| (std::cmp::Reverse(head.bytes), head.object));
        Ok(Leaks { histogram, heads })
    }
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The heads, ascending.
///
/// All is followed from each object that was not reached from an earlier one. Such a beginning is reached from no
/// earlier one, or it would be none; so it is a head unless a later one reaches it. The first object of a cycle that
/// nothing else refers to is always a beginning.
fn heads(graph: &Graph, live: &ObjectSet, job: &Job) -> Result<Vec<ObjectId>, Error> {
    job.phase("looking for leaks", u64::from(graph.len()));
    let mut seen = live.clone();
    let mut beginnings = Vec::new();
    let mut open = Vec::new();
    let mut meter = job.meter();
    for id in 0..graph.len() {
        meter.add(1)?;
        if seen.insert(id) {
            beginnings.push(id);
            mark(graph, id, &mut seen, &mut open, job)?;
        }
    }
    let mut seen = live.clone();
    let mut heads = Vec::new();
    for id in beginnings.into_iter().rev() {
        if seen.insert(id) {
            heads.push(id);
            mark(graph, id, &mut seen, &mut open, job)?;
        }
    }
    heads.reverse();
    Ok(heads)
}

/// Marks all that is reachable from an object and not marked yet.
fn mark(graph: &Graph, from: ObjectId, seen: &mut ObjectSet, open: &mut Vec<ObjectId>, job: &Job) -> Result<(), Error> {
    open.push(from);
    while let Some(id) = open.pop() {
        job.check()?;
        open.extend(graph.references(id).iter().copied().filter(|to| seen.insert(*to)));
    }
    Ok(())
}

/// What is reached from each head alone. Every object is passed twice at most: by the first head that reaches it, and
/// by a second.
fn owned(
    graph: &Graph,
    live: &ObjectSet,
    heads: &[ObjectId],
    objects: &Objects,
    job: &Job,
) -> Result<Vec<Amount>, Error> {
    job.phase("adding up leaks", heads.len() as u64);
    let mut owners = vec![NOBODY; graph.len() as usize];
    let mut open = Vec::new();
    let mut meter = job.meter();
    for (owner, head) in (0u32..).zip(heads) {
        meter.add(1)?;
        open.push(*head);
        while let Some(id) = open.pop() {
            job.check()?;
            let Some(slot) = owners.get_mut(id as usize) else { continue };
            if *slot == owner || *slot == SEVERAL || live.has(id) {
                continue;
            }
            *slot = if *slot == NOBODY { owner } else { SEVERAL };
            open.extend(graph.references(id));
        }
    }
    let mut amounts = vec![Amount::default(); heads.len()];
    for (id, owner) in (0u32..).zip(owners) {
        if let Some(amount) = amounts.get_mut(owner as usize) {
            amount.add(Amount { count: 1, bytes: objects.bytes(id) });
        }
    }
    Ok(amounts)
}
