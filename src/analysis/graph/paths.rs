//! How an object is held: the shortest ways to it from the roots, and who refers to it.

use rayon::prelude::*;

use super::csr::Graph;
use super::set::ObjectSet;
use crate::error::Error;
use crate::heap::{ObjectId, Root};
use crate::job::Job;

/// In place of an object: none.
const NONE: ObjectId = u32::MAX;
/// Objects whose references one thread looks through, at once.
const CHUNK: u32 = 1 << 16;

/// A way from outside to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where it begins.
    pub root: Root,
    /// The object that the root holds first, the one in question last; each refers to the next.
    pub objects: Vec<ObjectId>,
}

/// The shortest ways from roots to an object that differ in what holds it last: by roots that hold it themselves, then
/// the shorter ones first. Empty where it is unreachable. `most` is how many at most.
pub fn paths(graph: &Graph, to: ObjectId, most: usize, job: &Job) -> Result<Vec<Path>, Error> {
    let direct = graph.roots().iter().filter(|(_, id)| *id == to);
    let mut found: Vec<Path> = direct.map(|(root, _)| Path { root: *root, objects: vec![to] }).take(most).collect();
    let left = most.saturating_sub(found.len());
    if left > 0 {
        let roots = graph.roots().iter().map(|(_, id)| *id);
        let tree = Tree::grow(graph, roots, to, left, job)?;
        found.extend(tree.last.iter().filter_map(|id| tree.path(graph, *id, to)));
    }
    Ok(found)
}

/// The shortest way from one object to another, both among it; `None` where none leads there.
pub fn way(graph: &Graph, from: ObjectId, to: ObjectId, job: &Job) -> Result<Option<Vec<ObjectId>>, Error> {
    if from == to {
        return Ok(Some(vec![to]));
    }
    let tree = Tree::grow(graph, std::iter::once(from), to, 1, job)?;
    Ok(tree.last.first().map(|last| tree.way(*last, to)))
}

/// The objects that refer to one, ascending. Looks through all references in parallel.
pub fn referrers(graph: &Graph, to: ObjectId, job: &Job) -> Result<Vec<ObjectId>, Error> {
    job.phase("looking for referrers", u64::from(graph.len()));
    let chunks: Vec<Vec<ObjectId>> = (0..graph.len().div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| {
            let first = chunk.saturating_mul(CHUNK);
            let ids = first..first.saturating_add(CHUNK).min(graph.len());
            job.advance(u64::from(CHUNK))?;
            // References are sorted.
            Ok(ids.filter(|id| graph.references(*id).binary_search(&to).is_ok()).collect())
        })
        .collect::<Result<_, Error>>()?;
    Ok(chunks.concat())
}

/// From where each object was reached first, in rounds: along it, ways from the roots are shortest.
struct Tree {
    /// Of each object that was reached the one before it; of those that a root holds none.
    before: Vec<ObjectId>,
    /// Those that refer to the object in question, in the order in which they were reached.
    last: Vec<ObjectId>,
}

impl Tree {
    /// Grows from some objects until `most` that refer to `to` are found. Nothing is followed through that: whoever is reached through it
    /// does not hold it.
    fn grow(
        graph: &Graph,
        starts: impl Iterator<Item = ObjectId>,
        to: ObjectId,
        most: usize,
        job: &Job,
    ) -> Result<Tree, Error> {
        job.phase("following references", u64::from(graph.len()));
        let mut meter = job.meter();
        let mut reached = ObjectSet::new(graph.len());
        let mut tree = Tree { before: vec![NONE; graph.len() as usize], last: Vec::new() };
        reached.insert(to);
        let mut open: Vec<ObjectId> = starts.filter(|id| reached.insert(*id)).collect();
        while !open.is_empty() {
            let mut next = Vec::new();
            for id in open {
                meter.add(1)?;
                for object in graph.references(id) {
                    if *object == to {
                        tree.last.push(id);
                        if tree.last.len() >= most {
                            return Ok(tree);
                        }
                    } else if reached.insert(*object) {
                        next.push(*object);
                        if let Some(before) = tree.before.get_mut(*object as usize) {
                            *before = id;
                        }
                    }
                }
            }
            open = next;
        }
        Ok(tree)
    }

    fn before(&self, id: ObjectId) -> Option<ObjectId> {
        self.before.get(id as usize).copied().filter(|before| *before != NONE)
    }

    /// The way to an object and from it to `to`.
    fn way(&self, last: ObjectId, to: ObjectId) -> Vec<ObjectId> {
        let back = std::iter::successors(Some(last), |id| self.before(*id));
        let mut objects: Vec<ObjectId> = std::iter::once(to).chain(back).collect();
        objects.reverse();
        objects
    }

    fn path(&self, graph: &Graph, last: ObjectId, to: ObjectId) -> Option<Path> {
        let objects = self.way(last, to);
        let first = objects.first()?;
        let (root, _) = graph.roots().iter().find(|(_, id)| id == first)?;
        Some(Path { root: *root, objects })
    }
}
