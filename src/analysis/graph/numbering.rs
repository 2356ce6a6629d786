//! The vertices in the order in which a depth-first walk from the top meets them, and what leads to each.

use super::holders::Held;
use super::offsets::Offsets;
use crate::error::Error;
use crate::job::Job;

/// In place of a number: not met.
const NONE: u32 = u32::MAX;

/// A walk through all that is held, depth first. What leads from leaked objects to others is left out: what is leaked says nothing of
/// what holds the others.
pub(super) struct Numbering {
    /// Of each number its vertex; the top has 0.
    pub(super) vertices: Vec<u32>,
    /// Of each number that of the vertex from which the walk came; the top has its own.
    pub(super) parents: Vec<u32>,
    /// Of each number those from which something leads to it.
    sources: Vec<u32>,
    offsets: Offsets,
}

impl Numbering {
    pub(super) fn of(held: &Held<'_>, job: &Job) -> Result<Numbering, Error> {
        let Walk { numbers, vertices, parents, degrees, leaked } = Walk::through(held, job)?;
        let mut offsets = Offsets::to_be_filled(degrees)?;
        let mut sources = vec![0; usize::try_from(offsets.total()).unwrap_or(usize::MAX)];
        job.phase("listing referrers", vertices.len() as u64);
        let mut meter = job.meter();
        for (number, vertex) in (0u32..).zip(&vertices) {
            meter.add(1)?;
            for next in held.next(*vertex) {
                let to = numbers.get(*next as usize).copied().unwrap_or(NONE);
                if !counts(number, to, leaked) {
                    continue;
                }
                if let Some(slot) = offsets.take(to).and_then(|at| sources.get_mut(at)) {
                    *slot = number;
                }
            }
        }
        Ok(Numbering { vertices, parents, sources, offsets })
    }

    /// The numbers from which something leads to this one.
    #[inline]
    pub(super) fn sources(&self, number: u32) -> &[u32] {
        self.sources.get(self.offsets.range(number)).unwrap_or_default()
    }
}

/// Whether it counts that one number leads to another: the leaked ones stand from `leaked` on.
#[inline]
fn counts(from: u32, to: u32, leaked: u32) -> bool {
    from < leaked || to > leaked
}

struct Walk {
    /// Of each vertex its number.
    numbers: Vec<u32>,
    vertices: Vec<u32>,
    parents: Vec<u32>,
    /// Of each number how much leads to it.
    degrees: Vec<u32>,
    /// The number of what holds the leaked objects, once it is met.
    leaked: u32,
}

impl Walk {
    fn through(held: &Held<'_>, job: &Job) -> Result<Walk, Error> {
        let all = held.top().saturating_add(1) as usize;
        job.phase("numbering objects", all as u64);
        let mut walk = Walk {
            numbers: vec![NONE; all],
            vertices: Vec::with_capacity(all),
            parents: Vec::with_capacity(all),
            degrees: Vec::with_capacity(all),
            leaked: NONE,
        };
        let mut meter = job.meter();
        walk.meet(held.top(), 0);
        // Numbers that were met and not left, and how much of what each leads to was looked at.
        let mut open: Vec<(u32, u32)> = vec![(0, 0)];
        while let Some((from, looked)) = open.last_mut() {
            let vertex = walk.vertices.get(*from as usize).copied().unwrap_or(NONE);
            let Some(&next) = held.next(vertex).get(*looked as usize) else {
                open.pop();
                continue;
            };
            *looked = looked.saturating_add(1);
            let from = *from;
            match walk.numbers.get(next as usize) {
                Some(&NONE) => {
                    meter.add(1)?;
                    let number = walk.meet(next, from);
                    if next == held.nothing() {
                        walk.leaked = number;
                    }
                    open.push((number, 0));
                }
                Some(&number) if counts(from, number, walk.leaked) => walk.lead_to(number),
                _ => {}
            }
        }
        Ok(walk)
    }

    fn meet(&mut self, vertex: u32, parent: u32) -> u32 {
        let number = u32::try_from(self.vertices.len()).unwrap_or(NONE);
        if let Some(slot) = self.numbers.get_mut(vertex as usize) {
            *slot = number;
        }
        self.vertices.push(vertex);
        self.parents.push(parent);
        // Nothing leads to the top.
        self.degrees.push(u32::from(number > 0));
        number
    }

    #[inline]
    fn lead_to(&mut self, number: u32) {
        if let Some(degree) = self.degrees.get_mut(number as usize) {
            *degree = degree.saturating_add(1);
        }
    }
}
