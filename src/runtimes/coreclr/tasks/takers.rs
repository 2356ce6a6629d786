//! What may take from the queues of synchronization contexts though no thread is at it: suspended methods, work that is queued for the thread pool, timers.
//!
//! Input: tasks, the pool, and the objects between contexts and their queues. Output: [`Takers`].

use rayon::prelude::*;
use rustc_hash::FxHashSet;

use super::around::Around;
use super::context;
use super::work::{Pending, Step};
use crate::error::Error;
use crate::job::Job;
use crate::model::Addr;
use crate::runtimes::coreclr::objects::Values;
use crate::runtimes::coreclr::pool;

/// What such work holds.
#[derive(Debug, Default)]
pub(super) struct Takers {
    /// Those of the objects that it leads to.
    pub(super) held: FxHashSet<Addr>,
    /// Whether all such work was looked at.
    pub(super) are_all: bool,
}

/// Looks for it. Fails once the job is cancelled.
pub(super) fn takers(
    around: &Around<'_>,
    pending: &Pending,
    objects: &FxHashSet<Addr>,
    job: &Job,
) -> Result<Takers, Error> {
    let types = around.methods.types();
    let mut found = Takers { held: FxHashSet::default(), are_all: pending.gaps.words().is_empty() };
    let mut work: Vec<Addr> = Vec::new();
    match &around.pool {
        Ok(Some(pool)) => {
            found.are_all &= pool.unread.is_none();
            work.extend(pool.queued.iter().map(|item| item.at));
        }
        Ok(None) => {}
        Err(_) => found.are_all = false,
    }
    match pool::timers(&Values::of(around.methods), job)? {
        Ok(timers) => {
            found.are_all &= timers.unread.is_none();
            work.extend(timers.all.iter().map(|timer| timer.at));
        }
        Err(_) => found.are_all = false,
    }
    let called = context::called(types, around.segments, &work, job)?;
    found.are_all &= called.is_whole;
    found.held.extend(objects.iter().copied().filter(|at| called.all.contains(at)));
    // A method has its parameters and locals in its box, or in an object that the box refers to.
    let of_method = |step: &Step| -> FxHashSet<Addr> {
        let parts = context::parts(types, step.address).into_iter().flatten();
        let parts = parts.flat_map(|part| [Some(part), context::led_to(types, around.segments, part, objects)]);
        parts.flatten().filter(|at| objects.contains(at)).collect()
    };
    let methods: Vec<&Step> = pending.steps.iter().filter(|step| step.is_method).collect();
    let of_methods = methods.par_iter().map_init(
        || job.meter(),
        |meter, step| {
            meter.add(1)?;
            Ok(of_method(step))
        },
    );
    let of_methods = of_methods.try_reduce(FxHashSet::default, |mut all, more| {
        all.extend(more);
        Ok(all)
    });
    found.held.extend(of_methods?);
    Ok(found)
}
