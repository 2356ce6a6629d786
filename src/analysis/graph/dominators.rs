//! Which object dominates which: every way from outside to the one leads through the other, so that it goes when the
//! other goes.
//!
//! Semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005, 2.4), in numbers of a
//! depth-first walk and without recursion; as in LLVM's GenericDomTreeConstruction.h, but that labels are kept as the
//! numbers by which they are compared.

use super::csr::Graph;
use super::holders::{Held, Holder};
use super::leaks::Leaks;
use super::numbering::Numbering;
use super::retained::{self, Sums};
use crate::error::Error;
use crate::heap::{ObjectId, Objects};
use crate::job::Job;

/// In place of an object: none.
const NONE: ObjectId = u32::MAX;
/// A size that does not fit: it stands in `large`.
const LARGE: u32 = u32::MAX;

/// The dominators of all objects, and what each keeps alive. Leaked objects are held by the heads of their leaks, and
/// hold no others.
#[derive(Debug, Default)]
pub struct Dominators {
    dominators: Vec<ObjectId>,
    retained: Vec<u32>,
    /// Sizes that do not fit, ascending by object.
    large: Vec<(ObjectId, u64)>,
    holders: Vec<(Holder, u64)>,
}

impl Dominators {
    /// Finds them.
    pub fn find(graph: &Graph, leaks: &Leaks, objects: &Objects, job: &Job) -> Result<Dominators, Error> {
        let held = Held::new(graph, leaks)?;
        let numbering = Numbering::of(&held, job)?;
        let dominators = semi_nca(&numbering, job)?;
        let Numbering { vertices, .. } = numbering;
        let sums = Sums { held: &held, objects, vertices: &vertices, dominators: &dominators };
        let retained = sums.retained(job)?;
        let holders = sums.of_holders(&retained);
        let mut all = Dominators {
            dominators: vec![NONE; graph.len() as usize],
            retained: vec![0; graph.len() as usize],
            large: Vec::new(),
            holders,
        };
        for ((vertex, dominator), bytes) in vertices.iter().zip(&dominators).zip(&retained) {
            let id = *vertex as usize;
            let dominator = retained::object(&held, &vertices, *dominator);
            let (Some(slot), Some(size)) = (all.dominators.get_mut(id), all.retained.get_mut(id)) else { continue };
            *slot = dominator.unwrap_or(NONE);
            *size = u32::try_from(*bytes).unwrap_or(LARGE);
            if *size == LARGE {
                all.large.push((*vertex, *bytes));
            }
        }
        all.large.sort_unstable();
        Ok(all)
    }

    /// The object without which this one would not be held; `None` where there is no single one.
    pub fn of(&self, id: ObjectId) -> Option<ObjectId> {
        self.dominators.get(id as usize).copied().filter(|dominator| *dominator != NONE)
    }

    /// The bytes that would be free without this object: its own, and those of all that it dominates.
    pub fn retained(&self, id: ObjectId) -> u64 {
        match self.retained.get(id as usize) {
            Some(&LARGE) => {
                let at = self.large.partition_point(|(large, _)| *large < id);
                self.large.get(at).map_or(0, |(_, bytes)| *bytes)
            }
            Some(bytes) => u64::from(*bytes),
            None => 0,
        }
    }

    /// The dominator of each object; `u32::MAX` where there is no single one.
    pub(super) fn all(&self) -> &[ObjectId] {
        &self.dominators
    }

    /// The bytes that each holder outside of the heap keeps alive alone.
    pub fn holders(&self) -> &[(Holder, u64)] {
        &self.holders
    }

    /// The objects that retain the most, those that retain more first, then by address.
    pub fn largest(&self, count: usize) -> Vec<ObjectId> {
        let key = |id: &ObjectId| (std::cmp::Reverse(self.retained(*id)), *id);
        let mut best: Vec<ObjectId> = Vec::new();
        // As many again are kept before the smaller half is dropped.
        let room = count.saturating_mul(2);
        for id in 0..u32::try_from(self.retained.len()).unwrap_or(u32::MAX) {
            best.push(id);
            if best.len() >= room && count > 0 {
                best.select_nth_unstable_by_key(count.saturating_sub(1), key);
                best.truncate(count);
            }
        }
        best.sort_unstable_by_key(key);
        best.truncate(count);
        best
    }
}

/// What the search knows of a number.
#[derive(Clone, Copy)]
struct Link {
    /// Its parent, or whom a path to it was shortened to.
    ancestor: u32,
    /// The least semidominator from it up to there.
    least: u32,
}

/// Of each number that of its dominator; the top has its own.
fn semi_nca(numbering: &Numbering, job: &Job) -> Result<Vec<u32>, Error> {
    let count = u32::try_from(numbering.vertices.len()).unwrap_or(u32::MAX);
    job.phase("looking for dominators", u64::from(count));
    let mut meter = job.meter();
    let parents = numbering.parents.iter();
    let mut links: Vec<Link> =
        (0u32..).zip(parents).map(|(number, parent)| Link { ancestor: *parent, least: number }).collect();
    let mut semi = vec![0u32; count as usize];
    let mut path = Vec::new();
    for number in (1..count).rev() {
        meter.add(1)?;
        let mut least = numbering.parents.get(number as usize).copied().unwrap_or(0);
        for source in numbering.sources(number) {
            least = least.min(evaluated(&mut links, *source, number, &mut path));
        }
        if let (Some(slot), Some(link)) = (semi.get_mut(number as usize), links.get_mut(number as usize)) {
            *slot = least;
            link.least = least;
        }
    }
    drop(links);
    let mut dominators = numbering.parents.clone();
    for (number, semi) in semi.iter().enumerate().skip(1) {
        let of = |number: u32| dominators.get(number as usize).copied().unwrap_or(0);
        // A dominator has a lower number than what it dominates: this ends.
        let mut candidate = of(u32::try_from(number).unwrap_or(u32::MAX));
        while candidate > *semi {
            candidate = of(candidate);
        }
        if let Some(slot) = dominators.get_mut(number) {
            *slot = candidate;
        }
    }
    Ok(dominators)
}

/// The least semidominator on the way from `from` up to those that are not done yet (`current` and below); shortens the
/// way.
#[inline]
fn evaluated(links: &mut [Link], from: u32, current: u32, path: &mut Vec<u32>) -> u32 {
    let of =
        |links: &[Link], number: u32| links.get(number as usize).copied().unwrap_or(Link { ancestor: 0, least: 0 });
    let mut above = of(links, from);
    if above.ancestor <= current {
        return above.least;
    }
    path.clear();
    let mut number = from;
    while above.ancestor > current {
        path.push(number);
        number = above.ancestor;
        above = of(links, number);
    }
    let mut least = above.least;
    for number in path.iter().rev() {
        if let Some(link) = links.get_mut(*number as usize) {
            link.ancestor = above.ancestor;
            link.least = link.least.min(least);
            least = link.least;
        }
    }
    least
}
