//! Asynchronous work that is under way: tasks and methods that wait for one another, and what they wait for in the end.
//!
//! Input: the heap, and the threads of the dump. Output: [`Pending`]. One pass over the heap finds tasks and state machines; what each
//! awaits and what goes on with it are read from their fields. Nothing but the dump is needed.

mod blocked;
mod chains;
mod context;
mod faults;
mod gather;
mod leaf;
mod links;
mod method;
mod shape;
mod status;
mod waits;

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

pub use self::leaf::Awaited;
pub use self::status::Status;
pub(super) use self::waits::pending_work;

pub(super) use self::method::method_of;

use self::chains::chains;
use self::gather::{Found, gather};
use self::leaf::Leaves;
use self::links::{At, Follower, Goes, Links};
use self::shape::Role;
use super::heap::Segments;
use super::objects::Values;
use super::types::{Held, Types};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Gap, Known, OsThread, Tid, Value};

/// Work that is under way.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Methods and tasks, in the heap's order.
    pub steps: Vec<Step>,
    /// Ways from what is awaited in the end to what nobody awaits.
    pub stacks: Vec<AsyncStack>,
    /// Tasks that ended with an exception.
    pub faulted: Vec<Faulted>,
    /// Whether there is more than was looked at.
    pub is_cut: bool,
    /// Why continuations of tasks could not be read, with the number of such tasks.
    pub unread: Option<(usize, Gap)>,
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
    /// The number of the `await` at which it is suspended, from 0; -1 for one that runs; `None` for a task that is no method's.
    pub state: Option<i32>,
    /// The task's status; `None` for a box of a pool.
    pub status: Option<Status>,
    /// Where the first field of the state machine is.
    pub machine: Option<Addr>,
    /// Whether it is a method's.
    pub is_method: bool,
    /// Threads that wait for it.
    pub threads: Vec<Tid>,
}

/// A stack.
#[derive(Clone, Debug)]
pub struct AsyncStack {
    /// Places in [`Pending::steps`], innermost first. Empty where only a thread waits.
    pub steps: Vec<u32>,
    /// What the innermost waits for.
    pub awaits: Awaited,
    /// Threads that wait for one of its tasks.
    pub threads: Vec<Tid>,
    /// Where methods of it are to go on: synchronization contexts and schedulers.
    pub contexts: Vec<Addr>,
}

impl Pending {
    /// The stacks in which there is a method, and not tasks alone: what 'dumpasync' lists.
    pub fn listed(&self) -> impl Iterator<Item = &AsyncStack> {
        self.stacks.iter().filter(|stack| self.of(stack).any(|step| step.is_method))
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

/// A node of the graph.
struct Node {
    found: Found,
    at: At,
    /// What it awaits, that of a task that a `ValueTask` was made among it.
    awaits: Option<Addr>,
    followers: Vec<Follower>,
    unread: Option<Gap>,
}

/// Reads what is under way. `with_completed`: also what has ended.
pub(super) fn pending(
    types: Types<'_>,
    segments: &Segments,
    threads: &[OsThread],
    with_completed: bool,
    job: &Job,
) -> Result<Pending, Error> {
    job.phase("looking for tasks", 0);
    let mut gathered = gather(types, segments, with_completed, job)?;
    job.phase("following continuations", gathered.work.len() as u64);
    let links = Links::of(types, segments);
    let work = std::mem::take(&mut gathered.work);
    let nodes: Vec<Option<Node>> = work.into_par_iter().map(|found| node(&links, found)).collect();
    let nodes: Vec<Node> = nodes.into_iter().flatten().collect();
    job.check()?;
    let graph = Graph::of(nodes);
    let blocked = graph.blocked(types, threads);
    let found = chains(&graph.goes_on);
    let leaves = Leaves::of(types, &gathered);
    let steps: Vec<Step> = graph.nodes.par_iter().map(|node| step(types, node, &blocked)).collect();
    let stacks = found.all.par_iter().map(|way| graph.stack(way, &steps, &leaves)).collect();
    let mut unread = graph.nodes.iter().filter_map(|node| node.unread.clone());
    let unread = unread.next().map(|gap| (unread.count().saturating_add(1), gap));
    Ok(Pending {
        steps,
        stacks,
        faulted: gathered.faulted.iter().map(|found| failed(types, &links, found)).collect(),
        is_cut: gathered.is_cut || found.is_cut,
        unread,
    })
}

/// The asynchronous method whose box an object is; `None` for other objects.
pub(super) fn method_at(types: Types<'_>, segments: &Segments, at: Addr) -> Option<String> {
    let links = Links::of(types, segments);
    let shape = links.shape_of(at).ok()?;
    let machine = links.at(&Found { at, shape, status: None }).machine?;
    method::method_of(types.class(machine).ok()?.name.as_deref().ok()?)
}

/// The fields of a state machine, whose first is at `data`.
pub(super) fn machine_fields(values: &Values<'_>, table: Addr, data: Addr) -> Vec<(Arc<str>, Value)> {
    /// Most fields that are told.
    const MAX_FIELDS: usize = 256;
    let Ok(fields) = values.types.fields(table) else { return Vec::new() };
    let own = fields.iter().filter(|field| field.held == Held::Object).take(MAX_FIELDS);
    own.filter_map(|field| Some((Arc::clone(&field.name), values.of_field(field, data.plus(field.offset)?, 0))))
        .collect()
}

/// The state word of a task.
pub(super) fn status_at(types: Types<'_>, at: Addr) -> Known<Status> {
    types.object(at)?.u32("m_stateFlags").map(Status)
}

/// `None` for a box that nobody uses.
fn node(links: &Links<'_>, found: Found) -> Option<Node> {
    let at = links.at(&found);
    if !links.is_in_use(&found, &at) {
        return None;
    }
    let (followers, unread) = match links.followers(&found) {
        Ok(followers) => (followers, None),
        Err(gap) => (Vec::new(), Some(gap)),
    };
    let awaits = at.awaits.or_else(|| links.source_of(&found));
    Some(Node { found, at, awaits, followers, unread })
}

fn step(types: Types<'_>, node: &Node, blocked: &FxHashMap<Addr, Vec<Tid>>) -> Step {
    let is_method = node.at.machine.is_some();
    let class = match node.at.machine {
        Some(machine) => types.class(machine).ok(),
        None => Some(Arc::clone(&node.found.shape.class)),
    };
    let type_name = class.as_ref().and_then(|class| class.name.clone().ok());
    let method = type_name.as_deref().filter(|_| is_method).and_then(method::method_of).map(Arc::from);
    let events = node.followers.iter().filter(|follower| follower.kind == Goes::Thread);
    let mut threads: Vec<Tid> = events.filter_map(|event| blocked.get(&event.to)).flatten().copied().collect();
    threads.sort_unstable();
    threads.dedup();
    Step {
        address: node.found.at,
        table: node.at.machine.unwrap_or(node.found.shape.class.table),
        own_table: node.found.shape.class.table,
        type_name,
        method,
        // The machine of a method that has ended was cleared.
        state: node.at.state.filter(|_| is_method && !node.found.status.is_some_and(Status::is_completed)),
        status: node.found.status,
        machine: node.at.machine.map(|_| node.at.data),
        is_method,
        threads,
    }
}

fn failed(types: Types<'_>, links: &Links<'_>, found: &Found) -> Faulted {
    let machine = links.at(found).machine.and_then(|machine| types.class(machine).ok());
    let name = machine.as_ref().and_then(|class| class.name.as_deref().ok());
    Faulted { address: found.at, method: name.and_then(method::method_of).map(Arc::from) }
}

/// What goes on with what.
struct Graph {
    nodes: Vec<Node>,
    /// For each node those that go on with it.
    goes_on: Vec<Vec<u32>>,
    /// Nodes by their addresses.
    of: FxHashMap<Addr, u32>,
    /// Where a node goes on with another, if it matters.
    contexts: FxHashMap<(u32, u32), Addr>,
}

impl Graph {
    fn of(nodes: Vec<Node>) -> Graph {
        let mut of: FxHashMap<Addr, u32> = FxHashMap::default();
        for (index, node) in (0..).zip(&nodes) {
            of.insert(node.found.at, index);
            // What awaits an iterator refers to the iterator itself.
            if let Some(object) = node.at.object {
                of.insert(object, index);
            }
        }
        let mut edges: FxHashSet<(u32, u32)> = FxHashSet::default();
        let mut contexts = FxHashMap::default();
        for (index, node) in (0u32..).zip(&nodes) {
            let before = node.awaits.and_then(|awaited| of.get(&awaited)).map(|from| (*from, index));
            edges.extend(before);
            for follower in &node.followers {
                let Some(to) = of.get(&follower.to) else { continue };
                edges.insert((index, *to));
                contexts.extend(follower.context.map(|context| ((index, *to), context)));
            }
        }
        let mut goes_on = vec![Vec::new(); nodes.len()];
        let mut edges: Vec<(u32, u32)> = edges.into_iter().collect();
        edges.sort_unstable();
        for (from, to) in edges.into_iter().filter(|(from, to)| from != to) {
            if let Some(goes_on) = goes_on.get_mut(from as usize) {
                goes_on.push(to);
            }
        }
        Graph { nodes, goes_on, of, contexts }
    }

    /// Threads by the events that they wait on.
    fn blocked(&self, types: Types<'_>, threads: &[OsThread]) -> FxHashMap<Addr, Vec<Tid>> {
        let followers = self.nodes.iter().flat_map(|node| &node.followers);
        let events = followers.filter(|follower| follower.kind == Goes::Thread).map(|follower| follower.to);
        blocked::on_stacks(types.clr.memory(), threads, &events.collect())
    }

    fn stack(&self, way: &[u32], steps: &[Step], leaves: &Leaves<'_>) -> AsyncStack {
        let mut way = way.to_vec();
        let first = way.first().and_then(|first| self.nodes.get(*first as usize));
        let awaits = first.map(|node| self.awaits(node, leaves));
        let awaits = awaits.unwrap_or(Awaited { kind: "task", address: None, name: None });
        let on_way = way.iter().filter_map(|step| steps.get(*step as usize));
        let mut threads: Vec<Tid> = on_way.flat_map(|step| &step.threads).copied().collect();
        threads.sort_unstable();
        threads.dedup();
        let pairs = way.iter().zip(way.iter().skip(1));
        let contexts = pairs.filter_map(|(from, to)| self.contexts.get(&(*from, *to)).copied()).collect();
        // A task that is no method's is what is awaited, and no step.
        if way.len() > 1 && first.is_some_and(|node| node.found.shape.role == Role::Task) {
            way.remove(0);
        }
        AsyncStack { steps: way, awaits, threads, contexts }
    }

    /// What the innermost of a stack waits for.
    fn awaits(&self, node: &Node, leaves: &Leaves<'_>) -> Awaited {
        let nothing = |kind| Awaited { kind, address: None, name: None };
        let is_method = node.found.shape.role != Role::Task;
        let has_ended = node.found.status.is_some_and(Status::is_completed);
        match (node.awaits, node.at.state) {
            _ if has_ended && is_method => nothing("ended"),
            _ if has_ended => leaves.ended("ended", node.found.at),
            // It would be a node if it had not ended, or it is part of a circle.
            (Some(awaited), _) if is_method && leaves.is_task(awaited) => {
                leaves.ended(if self.of.contains_key(&awaited) { "circle" } else { "continuation" }, awaited)
            }
            (Some(awaited), _) => leaves.awaited(awaited, None),
            (None, _) if !is_method => leaves.awaited(node.found.at, node.found.status),
            (None, Some(state)) if state < 0 => nothing("running"),
            (None, _) => nothing("yield"),
        }
    }
}
