//! Who goes on when a task is done, and what a method awaits: references between the objects of asynchronous work.
//!
//! Both directions lead to the same objects where nothing is under way: a method's awaiter refers to what it awaits, and that to the
//! method's box as its continuation. A continuation that was taken and not run yet is found by the awaiter alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustc_hash::FxHashSet;

use super::gather::Found;
use super::shape::{Awaiter, Machine, Place, Role, Shape};
use crate::model::{Addr, Gap, Known};
use crate::runtimes::coreclr::clr::plus;
use crate::runtimes::coreclr::heap::Segments;
use crate::runtimes::coreclr::memo::Memo;
use crate::runtimes::coreclr::objects::HEADER;
use crate::runtimes::coreclr::types::{ClassKind, Types};

/// Most continuations of one task, most in the lists of all, and most references on the way to one.
const MAX_FOLLOWERS: u32 = 1 << 20;
const MAX_LISTED: u32 = 1 << 22;
const MAX_STEPS: usize = 16;

/// What goes on when a task is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) to: Addr,
    pub(super) kind: Goes,
    /// The synchronization context or scheduler where it is to run.
    pub(super) context: Option<Addr>,
}

/// What kind of thing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    /// A box, or another task.
    Work,
    /// A thread that waits for this event.
    Thread,
    /// Code that a delegate leads to, or another object.
    Code,
}

/// What a method is at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    /// Its class; `None` where the machine cannot be read, or was cleared.
    pub(super) machine: Option<Addr>,
    /// Where the machine's first field is.
    pub(super) data: Addr,
    /// The object that the machine is; `None` for one that lies in its box.
    pub(super) object: Option<Addr>,
    /// `<>1__state`; `None` where it cannot be read.
    pub(super) state: Option<i32>,
    /// The task or source that it awaits; `None` where no awaiter holds one.
    pub(super) awaits: Option<Addr>,
    /// Whether it has an awaiter of `Task.Yield`, which holds nothing.
    pub(super) may_yield: bool,
    /// Why a part of that is not known.
    pub(super) gap: Option<Gap>,
}

/// Reads them.
pub(super) struct Links<'a> {
    pub(super) types: Types<'a>,
    pub(super) segments: &'a Segments,
    shapes: Memo<Addr, Known<Arc<Shape>>>,
    machines: Memo<Addr, Known<Arc<Machine>>>,
    /// How many more continuations of lists are looked at.
    left: AtomicU32,
}

impl<'a> Links<'a> {
    pub(super) fn of(types: Types<'a>, segments: &'a Segments) -> Links<'a> {
        const MAX_CLASSES: usize = 1 << 20;
        let (shapes, machines) = (Memo::of(MAX_CLASSES), Memo::of(MAX_CLASSES));
        Links { types, segments, shapes, machines, left: AtomicU32::new(MAX_LISTED) }
    }

    /// What an object is to asynchronous work.
    pub(super) fn shape_of(&self, object: Addr) -> Known<Arc<Shape>> {
        let table = self.types.table_of(object)?;
        self.shapes.get(table, || self.types.shape(table).map(Arc::new))
    }

    /// The pointer in a part of an object; 0 where there is none.
    fn part(&self, object: Addr, offset: Option<u64>) -> Known<Addr> {
        match offset {
            Some(offset) => Ok(self.types.clr.memory().ptr(plus(object, offset)?)?),
            None => Ok(Addr(0)),
        }
    }

    /// What a box's method is at; the default for what is no box, and for a machine that was cleared.
    pub(super) fn at(&self, found: &Found) -> At {
        let read = match &found.shape.machine {
            None => Ok(At::default()),
            Some(Ok(Place::Inline(offset, machine))) => {
                plus(found.at, *offset).map(|data| self.machine_at(data, None, machine))
            }
            Some(Ok(Place::Apart(offset))) => self.apart(found.at, *offset),
            Some(Err(gap)) => Err(gap.clone()),
        };
        read.unwrap_or_else(|gap| At { gap: Some(gap), ..At::default() })
    }

    fn apart(&self, at: Addr, offset: u64) -> Known<At> {
        let object = self.part(at, Some(offset))?;
        if object.0 == 0 {
            return Ok(At::default());
        }
        let table = self.types.table_of(object)?;
        let machine = self.machines.get(table, || self.types.machine(table).map(Arc::new))?;
        let data = plus(object, HEADER)?;
        Ok(self.machine_at(data, Some(object), &machine))
    }

    fn machine_at(&self, data: Addr, object: Option<Addr>, machine: &Machine) -> At {
        let memory = self.types.clr.memory();
        let state = || -> Known<i32> {
            let offset = machine.state.ok_or_else(|| Gap::NoLayout("<>1__state of a state machine".to_owned()))?;
            Ok(memory.u32(plus(data, offset)?)?.cast_signed())
        };
        let mut at =
            At { machine: Some(machine.class.table), data, object, may_yield: machine.may_yield, ..At::default() };
        match state() {
            Ok(state) => at.state = Some(state),
            Err(gap) => at.gap = Some(gap),
        }
        let mut unread = None;
        for awaiter in &machine.awaiters {
            match self.awaited(data, awaiter) {
                Ok(None) => {}
                // Those that are not in use were cleared.
                Ok(awaited) => {
                    at.awaits = awaited;
                    return at;
                }
                Err(gap) => unread = unread.or(Some(gap)),
            }
        }
        at.gap = at.gap.or(unread);
        at
    }

    /// What an awaiter holds; `Ok(None)` for one that is not in use.
    fn awaited(&self, data: Addr, awaiter: &Awaiter) -> Known<Option<Addr>> {
        let first = self.types.clr.memory().ptr(plus(data, awaiter.offset)?)?;
        if first.0 == 0 {
            return Ok(None);
        }
        if !self.is_object(first) {
            return Err(Gap::Unsupported(format!("an awaiter that begins with {first}, which is no object")));
        }
        Ok(Some(if awaiter.is_reference { self.behind(first) } else { first }))
    }

    /// What an awaiter that is an object awaits: of a structure that was boxed its first reference, else itself.
    fn behind(&self, awaiter: Addr) -> Addr {
        let is_boxed = self.shape_of(awaiter).is_ok_and(|shape| shape.class.kind == ClassKind::Structure);
        let first = self.part(awaiter, Some(HEADER).filter(|_| is_boxed));
        first.ok().filter(|first| self.is_object(*first)).unwrap_or(awaiter)
    }

    /// Whether an object can be at an address.
    fn is_object(&self, at: Addr) -> bool {
        at.0 != 0 && at.is_aligned(8) && self.segments.holding(at).is_some() && self.shape_of(at).is_ok()
    }

    /// What a `ValueTask` that was made a task waits for; `None` for other tasks.
    pub(super) fn source_of(&self, found: &Found) -> Option<Addr> {
        found.shape.source?;
        self.part(found.at, found.shape.source).ok().filter(|source| self.is_object(*source))
    }

    /// What goes on when a task is done, and why there may be more; `None` where that is all.
    pub(super) fn followers(&self, found: &Found) -> (Vec<Follower>, Option<Gap>) {
        let mut all = Vec::new();
        let gap = self.add_followers(found, &mut all).err();
        (all, gap)
    }

    fn add_followers(&self, found: &Found, all: &mut Vec<Follower>) -> Known<()> {
        let first = self.part(found.at, found.shape.continuation)?;
        if first.0 == 0 {
            return Ok(());
        }
        let shape = self.shape_of(first)?;
        if shape.role != Role::List {
            all.extend(self.follower(first));
            return Ok(());
        }
        let list = self.types.object(first)?;
        let Some(items) = list.reference("_items")? else { return Ok(()) };
        let count = list.u32("_size")?.min(items.len()?);
        let taken = self.take(count);
        let mut read = Ok(());
        for index in 0..taken {
            match items.element(index).and_then(|at| Ok(self.types.clr.memory().ptr(at)?)) {
                // Those that were taken back leave null.
                Ok(item) if item.0 == 0 => {}
                Ok(item) => all.extend(self.follower(item)),
                Err(gap) => read = read.and(Err(gap)),
            }
        }
        let cut = || Gap::Unsupported(format!("{count} continuations: of these {taken} are looked at"));
        if taken < count { Err(cut()) } else { read }
    }

    /// How many of so many continuations in a list are looked at: many tasks of a damaged dump may have the same list.
    fn take(&self, count: u32) -> u32 {
        let count = count.min(MAX_FOLLOWERS);
        let less = |left: u32| Some(left.saturating_sub(count));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        left.unwrap_or(0).min(count)
    }

    /// What a continuation leads to; `None` for what says that there is none any more.
    fn follower(&self, first: Addr) -> Option<Follower> {
        let mut seen = FxHashSet::default();
        let mut context = None;
        let mut at = first;
        for _ in 0..MAX_STEPS {
            let Ok(shape) = self.shape_of(at) else { break };
            let kind = match shape.role {
                Role::Sentinel => return None,
                Role::Task | Role::Box | Role::Pooled => Goes::Work,
                Role::Event => Goes::Thread,
                Role::List | Role::Other => Goes::Code,
                Role::Delegate | Role::Wrapper | Role::Await | Role::With => {
                    if shape.role == Role::Await {
                        context = self.part(at, shape.context).ok().filter(|at| at.0 != 0);
                    }
                    let next = self.part(at, shape.continuation).unwrap_or(Addr(0));
                    let leads_on = self.shape_of(next).is_ok_and(|shape| shape.role != Role::Other);
                    if !leads_on || !seen.insert(at) {
                        return Some(Follower { to: at, kind: Goes::Code, context });
                    }
                    at = next;
                    continue;
                }
            };
            return Some(Follower { to: at, kind, context });
        }
        Some(Follower { to: at, kind: Goes::Code, context })
    }

    /// Whether a box that is no task is in use: one that waits in its pool was cleared.
    pub(super) fn is_in_use(&self, found: &Found, at: &At) -> bool {
        found.shape.role != Role::Pooled
            || at.awaits.is_some()
            || at.gap.is_some()
            || self.part(found.at, found.shape.context).is_ok_and(|context| context.0 != 0)
    }
}
