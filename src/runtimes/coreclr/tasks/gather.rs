//! The objects of asynchronous work: one pass over the heap, each segment by a thread of its own.
//!
//! Output: [`Gathered`], in the heap's order. Of tasks those that have ended are left out unless they are asked for, or ended with an
//! exception.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use super::shape::{Role, Shape};
use super::status::Status;
use super::unread::Gaps;
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::{Broken, Segment, Segments, Unsearched, Walked};
use crate::runtimes::coreclr::memo::Memo;
use crate::runtimes::coreclr::types::Types;

/// Most objects of each kind that are kept of one segment.
const MAX_OBJECTS: usize = 1 << 20;
/// Most classes that are told apart.
const MAX_CLASSES: usize = 1 << 20;

/// A task, or a box that is none.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) at: Addr,
    pub(super) shape: Arc<Shape>,
    /// Its state word; `None` for a box that is no task, and where it cannot be read.
    pub(super) status: Option<Status>,
}

/// What a pass over the heap finds.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) work: Vec<Found>,
    /// Tasks that ended with an exception.
    pub(super) faulted: Vec<Found>,
    /// Objects that lead to tasks which nothing else names.
    pub(super) holders: Vec<(Addr, Holds)>,
    /// Objects of other classes that were asked for, by class.
    pub(super) others: Vec<Vec<Addr>>,
    /// What could not be read, and whether objects were left out, since there are too many.
    pub(super) gaps: Gaps,
}

/// What an object is that knows a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// `TaskCompletionSource`: its task.
    Source,
    /// `SemaphoreSlim`: the tasks of those that wait for it.
    Semaphore,
}

/// What is done with objects of a class.
#[derive(Clone)]
enum Interest {
    None,
    Work(Arc<Shape>),
    Holder(Holds),
    /// Of a class that was asked for besides.
    Other(usize),
    /// It may be any of these: its class cannot be read.
    Unknown(Gap),
}

/// Finds them.
pub(super) fn gather(
    types: Types<'_>,
    segments: &Segments,
    with_completed: bool,
    others: &[&str],
    job: &Job,
) -> Result<Gathered, Error> {
    let interests = Memo::of(MAX_CLASSES);
    let pass = Pass { types, segments, interests: &interests, with_completed, others };
    let of_each = segments.all.par_iter().map(|segment| pass.of_segment(segment, job));
    let of_each: Vec<(Gathered, Vec<Broken>)> = of_each.collect::<Result<_, Error>>()?;
    let mut all = Gathered { others: vec![Vec::new(); others.len()], ..Gathered::default() };
    all.gaps.heap = Unsearched::of(segments);
    for (part, broken) in of_each {
        all.gaps.heap.add(&broken);
        all.others.iter_mut().zip(part.others).for_each(|(all, more)| all.extend(more));
        all.work.extend(part.work);
        all.faulted.extend(part.faulted);
        all.holders.extend(part.holders);
        all.gaps.join(part.gaps);
    }
    Ok(all)
}

/// A pass over the heap.
struct Pass<'a> {
    types: Types<'a>,
    segments: &'a Segments,
    interests: &'a Memo<Addr, Interest>,
    with_completed: bool,
    others: &'a [&'a str],
}

impl Pass<'_> {
    fn of_segment(&self, segment: &Segment, job: &Job) -> Result<(Gathered, Vec<Broken>), Error> {
        let mut found = Gathered { others: vec![Vec::new(); self.others.len()], ..Gathered::default() };
        let mut known: FxHashMap<Addr, Interest> = FxHashMap::default();
        let interest = |table: &Addr| self.interests.get(*table, || interest(self.types, *table, self.others));
        let broken = self.segments.walk_past(self.types, segment, &mut job.meter(), &mut |object| {
            match known.entry(object.table).or_insert_with_key(interest) {
                Interest::None => {}
                Interest::Work(shape) => found.add(self.types, object, shape, self.with_completed),
                Interest::Holder(holds) if found.holders.len() < MAX_OBJECTS => {
                    found.holders.push((object.at, *holds));
                }
                Interest::Holder(_) => found.gaps.is_cut = true,
                Interest::Other(class) => match found.others.get_mut(*class) {
                    Some(known) if known.len() < MAX_OBJECTS => known.push(object.at),
                    _ => found.gaps.is_cut = true,
                },
                Interest::Unknown(gap) => found.gaps.classes.add(gap),
            }
            Ok(())
        })?;
        Ok((found, broken))
    }
}

impl Gathered {
    fn add(&mut self, types: Types<'_>, object: Walked, shape: &Arc<Shape>, with_completed: bool) {
        let word = |flags| Ok(types.clr.memory().u32(plus(object.at, flags)?)?);
        let status = shape.flags.map(|flags| -> Known<Status> { word(flags).map(Status) });
        if let Some(Err(gap)) = &status {
            self.gaps.tasks.add(gap);
        }
        let status = status.and_then(Result::ok);
        let found = || Found { at: object.at, shape: Arc::clone(shape), status };
        if status.is_some_and(Status::is_faulted) {
            if self.faulted.len() < MAX_OBJECTS { self.faulted.push(found()) } else { self.gaps.is_cut = true }
        }
        if with_completed || !status.is_some_and(Status::is_completed) {
            if self.work.len() < MAX_OBJECTS { self.work.push(found()) } else { self.gaps.is_cut = true }
        }
    }
}

fn interest(types: Types<'_>, table: Addr, others: &[&str]) -> Interest {
    /// Source: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/{Tasks/TaskCompletionSource_T,SemaphoreSlim}.cs.
    const SOURCE: &str = "System.Threading.Tasks.TaskCompletionSource";
    const SEMAPHORE: &str = "System.Threading.SemaphoreSlim";
    let shape = match types.shape(table) {
        Ok(shape) => shape,
        Err(gap) => return Interest::Unknown(gap),
    };
    // What a class is its name says.
    if let Err(gap) = &shape.class.name {
        return Interest::Unknown(gap.clone());
    }
    if matches!(shape.role, Role::Task | Role::Box | Role::Pooled) {
        return Interest::Work(Arc::new(shape));
    }
    if types.derives(table, SOURCE) {
        return Interest::Holder(Holds::Source);
    }
    if types.derives(table, SEMAPHORE) {
        return Interest::Holder(Holds::Semaphore);
    }
    let other = others.iter().position(|class| types.derives(table, class));
    other.map_or(Interest::None, Interest::Other)
}
