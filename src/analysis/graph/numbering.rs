//! The vertices in the order in which a depth-first walk from the top meets them, and what leads to each.

use super::holders::Held;
use super::offsets::Offsets;
use crate::error::Error;
use crate::job::Job;

/// In place of a number: not met.
const NONE: u32 = u32::MAX;

/// A walk through all that is held, depth first. What leads from leaked objects to others is left out: what is leaked
/// says nothing of what holds the others.
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
        let Walk { met, vertices, parents, leaked } = Walk::through(held, job)?;
        let degrees = vertices.iter().map(|vertex| met.get(*vertex as usize).map_or(0, |met| met.degree)).collect();
        let mut offsets = Offsets::to_be_filled(degrees)?;
        let mut sources = vec![0; usize::try_from(offsets.total()).unwrap_or(usize::MAX)];
        job.phase("listing referrers", vertices.len() as u64);
        let mut meter = job.meter();
        // In the order of the vertices, in which their references stand.
        for (vertex, of) in (0u32..).zip(&met) {
            meter.add(1)?;
            for next in held.next(vertex) {
                let to = met.get(*next as usize).map_or(NONE, |next| next.number);
                if !counts(of.number, to, leaked) {
                    continue;
                }
                if let Some(slot) = offsets.take(to).and_then(|at| sources.get_mut(at)) {
                    *slot = of.number;
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

/// Whether it counts that one number leads to another: the leaked ones stand from `leaked` on, those without a number
/// will.
#[inline]
fn counts(from: u32, to: u32, leaked: u32) -> bool {
    from < leaked || to > leaked
}

/// What is known of a vertex.
#[derive(Clone, Copy)]
struct Met {
    number: u32,
    /// How much leads to it.
    degree: u32,
}

struct Walk {
    /// Of each vertex.
    met: Vec<Met>,
    vertices: Vec<u32>,
    parents: Vec<u32>,
    /// The number of what holds the leaked objects, once it is met.
    leaked: u32,
}

impl Walk {
    /// All that a vertex leads to is put aside when it is met, and what was put aside last is met next: that is the
    /// same walk as going back to the vertex for each, and looks at its references once.
    fn through(held: &Held<'_>, job: &Job) -> Result<Walk, Error> {
        let all = held.top().saturating_add(1) as usize;
        job.phase("numbering objects", all as u64);
        let mut walk = Walk {
            met: vec![Met { number: NONE, degree: 0 }; all],
            vertices: Vec::with_capacity(all),
            parents: Vec::with_capacity(all),
            leaked: NONE,
        };
        let mut meter = job.meter();
        // Vertices, each with the number from which it was come upon.
        let mut open: Vec<(u32, u32)> = vec![(held.top(), 0)];
        while let Some((vertex, parent)) = open.pop() {
            let Some(number) = walk.meet(vertex, parent) else { continue };
            meter.add(1)?;
            if vertex == held.nothing() {
                walk.leaked = number;
            }
            // What stands first is met first: what holds leaked objects last of all.
            for next in held.next(vertex).iter().rev() {
                let Some(met) = walk.met.get_mut(*next as usize) else { continue };
                if counts(number, met.number, walk.leaked) {
                    met.degree = met.degree.saturating_add(1);
                }
                if met.number == NONE {
                    open.push((*next, number));
                }
            }
        }
        Ok(walk)
    }

    /// Gives a vertex its number, unless it has one.
    fn meet(&mut self, vertex: u32, parent: u32) -> Option<u32> {
        let met = self.met.get_mut(vertex as usize).filter(|met| met.number == NONE)?;
        met.number = u32::try_from(self.vertices.len()).ok()?;
        self.vertices.push(vertex);
        self.parents.push(parent);
        Some(met.number)
    }
}
