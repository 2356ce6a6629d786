//! The root that is nearest to each object, and the way from there.

use super::csr::Graph;
use super::set::ObjectSet;
use crate::error::Error;
use crate::heap::{ObjectId, RootKind};
use crate::job::Job;

/// In place of an object or a root: none.
const NONE: u32 = u32::MAX;

/// Of each object that is reachable the root from which the shortest way leads to it. Of roots that are as near a variable goes before
/// a stack, on which a word may have been left.
#[derive(Debug, Default)]
pub struct Nearest {
    /// Of each object the one before it on the way; of those that a root holds none.
    before: Vec<ObjectId>,
    /// Positions in [`Graph::roots`].
    roots: Vec<u32>,
}

impl Nearest {
    /// Follows references from all roots, in rounds.
    pub fn find(graph: &Graph, job: &Job) -> Result<Nearest, Error> {
        job.phase("following references from roots", u64::from(graph.len()));
        let mut reached = ObjectSet::new(graph.len());
        let mut found = Nearest { before: vec![NONE; graph.len() as usize], roots: vec![NONE; graph.len() as usize] };
        let mut starts: Vec<(u8, u32, ObjectId)> =
            (0u32..).zip(graph.roots()).map(|(at, (root, id))| (rank(root.kind), at, *id)).collect();
        starts.sort_unstable();
        let mut open = Vec::new();
        for (_, root, id) in starts {
            if reached.insert(id) {
                found.set(id, NONE, root);
                open.push(id);
            }
        }
        let mut meter = job.meter();
        while !open.is_empty() {
            let mut next = Vec::new();
            for id in open {
                meter.add(1)?;
                let root = found.roots.get(id as usize).copied().unwrap_or(NONE);
                for object in graph.references(id) {
                    if reached.insert(*object) {
                        found.set(*object, id, root);
                        next.push(*object);
                    }
                }
            }
            open = next;
        }
        Ok(found)
    }

    fn set(&mut self, id: ObjectId, before: ObjectId, root: u32) {
        if let (Some(slot), Some(own)) = (self.before.get_mut(id as usize), self.roots.get_mut(id as usize)) {
            (*slot, *own) = (before, root);
        }
    }

    /// Position in [`Graph::roots`] of the nearest root; `None` where none leads to the object.
    pub fn root(&self, id: ObjectId) -> Option<usize> {
        self.roots.get(id as usize).copied().filter(|root| *root != NONE).map(|root| root as usize)
    }

    /// The way to an object that is reachable: itself first, the one that the root holds last.
    pub fn back(&self, id: ObjectId) -> impl Iterator<Item = ObjectId> {
        let before = |id: &ObjectId| self.before.get(*id as usize).copied().filter(|before| *before != NONE);
        std::iter::successors(Some(id), before)
    }
}

fn rank(kind: RootKind) -> u8 {
    match kind {
        RootKind::Global | RootKind::Static => 0,
        RootKind::ThreadLocal => 1,
        RootKind::Handle => 2,
        RootKind::Finalizer => 3,
        RootKind::Mapping => 4,
        RootKind::Stack => 5,
        RootKind::Register => 6,
        RootKind::Frozen => 7,
    }
}
