//! What follows from dominators: how much each object, type and holder keeps alive.

use super::holders::{Held, Holder};
use crate::error::Error;
use crate::heap::{ObjectId, Objects};
use crate::job::Job;

/// In place of a number: none.
const NONE: u32 = u32::MAX;

/// Vertices in numbers, with the dominator of each, which has a lower number.
pub(super) struct Sums<'a> {
    pub(super) held: &'a Held<'a>,
    pub(super) objects: &'a Objects,
    /// Of each number its vertex.
    pub(super) vertices: &'a [u32],
    /// Of each number that of its dominator.
    pub(super) dominators: &'a [u32],
}

/// The object that a number stands for; `None` for what holds objects.
pub(super) fn object(held: &Held<'_>, vertices: &[u32], number: u32) -> Option<ObjectId> {
    vertices.get(number as usize).copied().filter(|vertex| *vertex < held.objects())
}

impl Sums<'_> {
    fn object(&self, number: u32) -> Option<ObjectId> {
        object(self.held, self.vertices, number)
    }

    /// Of each number the bytes of all that it dominates, its own among them.
    pub(super) fn retained(&self, job: &Job) -> Result<Vec<u64>, Error> {
        job.phase("adding up what is held", self.vertices.len() as u64);
        let mut meter = job.meter();
        let own = self.vertices.iter().map(|vertex| match *vertex < self.held.objects() {
            true => self.objects.bytes(*vertex),
            false => 0,
        });
        let mut retained: Vec<u64> = own.collect();
        for (number, dominator) in self.dominators.iter().enumerate().skip(1).rev() {
            meter.add(1)?;
            let bytes = retained.get(number).copied().unwrap_or(0);
            if let Some(sum) = retained.get_mut(*dominator as usize) {
                *sum = sum.saturating_add(bytes);
            }
        }
        Ok(retained)
    }

    /// Of each type what those of its objects retain that no other of the type dominates.
    pub(super) fn of_types(&self, retained: &[u64], types: usize, job: &Job) -> Result<Vec<u64>, Error> {
        job.phase("adding up types", self.vertices.len() as u64);
        let mut meter = job.meter();
        let tree = Tree::of(self.dominators);
        let mut sums = vec![0u64; types];
        // How many of each type are above the current place.
        let mut above = vec![0u32; types];
        let of_type = |number| self.object(number).map_or(usize::MAX, |id| self.objects.of_type(id));
        let mut number = 0;
        loop {
            meter.add(1)?;
            let of = of_type(number);
            if let (Some(above), Some(sum)) = (above.get_mut(of), sums.get_mut(of)) {
                if *above == 0 {
                    *sum = sum.saturating_add(retained.get(number as usize).copied().unwrap_or(0));
                }
                *above = above.saturating_add(1);
            }
            if let Some(child) = tree.child(number) {
                number = child;
                continue;
            }
            // Up to where there is another child.
            loop {
                if let Some(above) = above.get_mut(of_type(number)) {
                    *above = above.saturating_sub(1);
                }
                if number == 0 {
                    return Ok(sums);
                }
                if let Some(sibling) = tree.sibling(number) {
                    number = sibling;
                    break;
                }
                number = self.dominators.get(number as usize).copied().unwrap_or(0);
            }
        }
    }

    /// Of each holder what it retains.
    pub(super) fn of_holders(&self, retained: &[u64]) -> Vec<(Holder, u64)> {
        let first = self.held.objects();
        let mut sums: Vec<(Holder, u64)> = self.held.holders().map(|(holder, _)| (holder, 0)).collect();
        for (vertex, bytes) in self.vertices.iter().zip(retained) {
            let at = vertex.checked_sub(first).map(|at| at as usize);
            if let Some((_, sum)) = at.and_then(|at| sums.get_mut(at)) {
                *sum = *bytes;
            }
        }
        sums
    }
}

/// The dominator tree from above: of each number its first child and its next sibling.
struct Tree {
    children: Vec<u32>,
    siblings: Vec<u32>,
}

impl Tree {
    fn of(dominators: &[u32]) -> Tree {
        let mut tree = Tree { children: vec![NONE; dominators.len()], siblings: vec![NONE; dominators.len()] };
        // From behind, so that children ascend.
        for (number, dominator) in dominators.iter().enumerate().skip(1).rev() {
            let Ok(number) = u32::try_from(number) else { continue };
            let child = tree.children.get_mut(*dominator as usize).map(|child| std::mem::replace(child, number));
            if let (Some(child), Some(sibling)) = (child, tree.siblings.get_mut(number as usize)) {
                *sibling = child;
            }
        }
        tree
    }

    fn child(&self, number: u32) -> Option<u32> {
        self.children.get(number as usize).copied().filter(|child| *child != NONE)
    }

    fn sibling(&self, number: u32) -> Option<u32> {
        self.siblings.get(number as usize).copied().filter(|sibling| *sibling != NONE)
    }
}
