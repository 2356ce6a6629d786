//! What follows from dominators: how much each object and holder keeps alive.

use super::holders::{Held, Holder};
use crate::error::Error;
use crate::heap::{ObjectId, Objects};
use crate::job::Job;

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
