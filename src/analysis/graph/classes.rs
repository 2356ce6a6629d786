//! How much classes of objects keep alive.

use super::dominators::Dominators;
use crate::error::Error;
use crate::heap::ObjectId;
use crate::job::Job;

/// In place of an object: none.
const NONE: ObjectId = u32::MAX;

/// Of each class of objects (a type, a namespace) the bytes that they keep alive: what those retain that no other of the class dominates.
/// `class_of` gives a number below `classes`; an object with another is of no class. Fails where the job is cancelled.
pub fn retained_by_classes(
    dominators: &Dominators,
    classes: usize,
    class_of: &dyn Fn(ObjectId) -> usize,
    job: &Job,
) -> Result<Vec<u64>, Error> {
    let tree = Tree::of(dominators.all());
    job.phase("adding up types", u64::from(tree.top));
    let mut meter = job.meter();
    let mut sums = vec![0u64; classes];
    // How many of each class are above the current place.
    let mut above = vec![0u32; classes];
    let mut next = tree.child(tree.top);
    while let Some(id) = next {
        meter.add(1)?;
        let of = class_of(id);
        if let (Some(above), Some(sum)) = (above.get_mut(of), sums.get_mut(of)) {
            if *above == 0 {
                *sum = sum.saturating_add(dominators.retained(id));
            }
            *above = above.saturating_add(1);
        }
        next = tree.child(id);
        // Up to where there is another child.
        let mut up = Some(id).filter(|_| next.is_none());
        while let Some(id) = up {
            if let Some(above) = above.get_mut(class_of(id)) {
                *above = above.saturating_sub(1);
            }
            next = tree.sibling(id);
            up = if next.is_none() { dominators.of(id) } else { None };
        }
    }
    Ok(sums)
}

/// The dominator tree from above: of each object its first child and its next sibling; behind the last one the top, whose children are
/// the objects without a dominator.
struct Tree {
    top: u32,
    children: Vec<u32>,
    siblings: Vec<u32>,
}

impl Tree {
    fn of(dominators: &[ObjectId]) -> Tree {
        let top = u32::try_from(dominators.len()).unwrap_or(u32::MAX);
        let children = vec![NONE; dominators.len().saturating_add(1)];
        let mut tree = Tree { top, children, siblings: vec![NONE; dominators.len()] };
        // From behind, so that children ascend.
        for (id, dominator) in (0..top).zip(dominators).rev() {
            let child = tree.children.get_mut((*dominator).min(top) as usize);
            let child = child.map(|child| std::mem::replace(child, id));
            if let (Some(child), Some(sibling)) = (child, tree.siblings.get_mut(id as usize)) {
                *sibling = child;
            }
        }
        tree
    }

    fn child(&self, id: u32) -> Option<ObjectId> {
        self.children.get(id as usize).copied().filter(|child| *child != NONE)
    }

    fn sibling(&self, id: ObjectId) -> Option<ObjectId> {
        self.siblings.get(id as usize).copied().filter(|sibling| *sibling != NONE)
    }
}
