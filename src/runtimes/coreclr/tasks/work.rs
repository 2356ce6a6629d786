//! Work that is under way: methods and tasks, and the stacks that they are of.

use std::sync::Arc;

use super::leaf::Awaited;
use super::status::Status;
use super::unread::Gaps;
use crate::model::{Addr, Gap, Tid, WorkStack};

/// Work that is under way.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Methods and tasks, in the heap's order.
    pub steps: Vec<Step>,
    /// Ways from what is awaited in the end to what nobody awaits.
    pub stacks: Vec<AsyncStack>,
    /// Tasks that ended with an exception.
    pub faulted: Vec<Faulted>,
    /// Objects of other classes that were asked for, by class; ascending.
    pub others: Vec<Vec<Addr>>,
    /// What could not be read.
    pub gaps: Gaps,
}

/// A method that was suspended, or a task.
#[derive(Clone, Debug)]
pub struct Step {
    /// The box, or the task.
    pub address: Addr,
    /// The class of the state machine, else of the task, by its `MethodTable`.
    pub table: Addr,
    /// The class of the box or task.
    pub own_table: Addr,
    /// The name of the first; `None` where it cannot be read.
    pub type_name: Option<Arc<str>>,
    /// The method that the state machine was made of; `None` for a task that is no method's.
    pub method: Option<Arc<str>>,
    /// The number of the `await` at which it is suspended, from 0; -1 for one that runs; `None` for a task that is no method's, and where it cannot
    /// be read.
    pub state: Option<i32>,
    /// The task's status; `None` for a box of a pool, and where it cannot be read.
    pub status: Option<Status>,
    /// Where the first field of the state machine is.
    pub machine: Option<Addr>,
    /// Whether it is a method's.
    pub is_method: bool,
    /// What has to end for it to go on.
    pub joins: Joins,
    /// Threads that wait for it.
    pub blocks: Vec<Blocks>,
    /// Why what it is at is not known, or not all of it.
    pub gap: Option<Gap>,
}

/// What has to end for a step to go on that awaits others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// All that it awaits.
    All,
    /// One of those.
    Any,
    /// It may go on without: time, a cancellation, or code that cannot be told ends it as well.
    Open,
}

/// A thread that waits for a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocks {
    /// The thread: its stack refers to the event.
    pub tid: Tid,
    /// The event that the task sets when it ends.
    pub event: Addr,
}

/// A stack.
#[derive(Clone, Debug)]
pub struct AsyncStack {
    /// Places in [`Pending::steps`], innermost first. Empty where only a thread waits.
    pub steps: Vec<u32>,
    /// What the innermost waits for.
    pub awaits: Awaited,
    /// Threads that wait for one of its tasks, by id, each once.
    pub blocks: Vec<BlocksAfter>,
    /// Where methods of it are to go on, each with its place in `steps`: synchronization contexts and schedulers.
    pub contexts: Vec<(usize, Addr)>,
}

/// A thread that goes on once the first steps of a stack have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlocksAfter {
    /// The thread.
    pub blocks: Blocks,
    /// How many steps; 0 where it waits for what the innermost waits for.
    pub steps: usize,
}

impl AsyncStack {
    /// Threads that wait for one of its tasks.
    pub fn threads(&self) -> Vec<Tid> {
        self.blocks.iter().map(|after| after.blocks.tid).collect()
    }
}

impl Pending {
    /// The stacks in which there is a method, and not tasks alone: what 'dumpasync' lists.
    pub fn listed(&self) -> impl Iterator<Item = &AsyncStack> {
        self.stacks.iter().filter(|stack| self.of(stack).any(|step| step.is_method))
    }

    /// The same in neutral words.
    pub fn told(&self) -> Vec<WorkStack> {
        let told = |stack: &AsyncStack| WorkStack {
            functions: self.of(stack).filter_map(|step| step.method.clone()).collect(),
            awaits: stack.awaits.words(),
            tids: stack.threads(),
        };
        self.listed().map(told).collect()
    }

    /// The methods and tasks of a stack, innermost first.
    pub fn of(&self, stack: &AsyncStack) -> impl Iterator<Item = &Step> {
        stack.steps.iter().filter_map(|step| self.steps.get(*step as usize))
    }
}

/// A task that ended with an exception.
#[derive(Clone, Debug)]
pub struct Faulted {
    /// The task.
    pub address: Addr,
    /// The method whose it is; `None` for a task that is no method's.
    pub method: Option<Arc<str>>,
}
