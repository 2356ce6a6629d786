//! Asynchronous work that is under way: tasks and methods that wait for one another, and what they wait for in the end.
//!
//! Input: the heap, and the threads of the dump. Output: [`Pending`]. One pass over the heap finds tasks and state machines; what each
//! awaits and what goes on with it are read from their fields. Nothing but the dump is needed.

mod around;
mod blocked;
mod boxes;
mod cancelling;
mod chains;
mod context;
mod contexts;
mod faults;
mod gather;
mod graph;
mod holding;
mod leaf;
mod links;
mod method;
mod shape;
mod status;
mod takers;
mod unread;
mod waits;
mod work;

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

pub use self::leaf::Awaited;
pub use self::status::Status;
pub use self::work::{AsyncStack, Pending, Step};

pub(super) use self::around::Around;
pub(super) use self::boxes::Boxes;
pub(super) use self::method::method_of;
pub(super) use self::waits::pending_work;

use self::chains::chains;
use self::gather::{Found, gather};
use self::graph::{Graph, Node};
use self::leaf::Leaves;
use self::links::{Goes, Links};
use self::shape::{Role, Shape};
use self::work::{Blocks, Faulted, Joins};
use super::heap::Segments;
use super::objects::Values;
use super::types::{Held, Types};
use crate::error::Error;
use crate::job::Job;
use crate::model::{Addr, Known, OsThread, Tid, Value};

/// Reads what is under way. `with_completed`: also what has ended; `others`: classes whose objects are wanted besides.
pub(super) fn pending(
    types: Types<'_>,
    segments: &Segments,
    threads: &[OsThread],
    with_completed: bool,
    others: &[&str],
    job: &Job,
) -> Result<Pending, Error> {
    job.phase("looking for tasks", 0);
    let mut gathered = gather(types, segments, with_completed, others, job)?;
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
    let mut gaps = gathered.gaps;
    gaps.is_cut |= found.is_cut;
    graph.nodes.iter().filter_map(|node| node.unread.as_ref()).for_each(|gap| gaps.continuations.add(gap));
    for step in &steps {
        let kind = if step.is_method { &mut gaps.machines } else { &mut gaps.tasks };
        step.gap.iter().for_each(|gap| kind.add(gap));
    }
    Ok(Pending {
        steps,
        stacks,
        faulted: gathered.faulted.iter().map(|found| failed(types, &links, found)).collect(),
        others: gathered.others,
        gaps,
    })
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
    let (followers, unread) = links.followers(&found);
    let awaits = at.awaits.or_else(|| links.source_of(&found));
    Some(Node { found, at, awaits, followers, unread })
}

fn step(types: Types<'_>, node: &Node, blocked: &FxHashMap<Addr, Vec<Tid>>) -> Step {
    let own = &node.found.shape;
    let is_method = matches!(own.role, Role::Box | Role::Pooled);
    let class = node.at.machine.map_or_else(|| Ok(Arc::clone(&own.class)), |machine| types.class(machine)).ok();
    let type_name = class.as_ref().and_then(|class| class.name.clone().ok());
    let method = type_name.as_deref().filter(|_| is_method).and_then(|name| match node.at.machine {
        Some(_) => method::method_of(name),
        None => method::of_box(name),
    });
    let events = node.followers.iter().filter(|follower| follower.kind == Goes::Thread);
    let threads = |event: Addr| blocked.get(&event).into_iter().flatten().map(move |tid| Blocks { tid: *tid, event });
    let joins = joins(types, node.found.at, own, node.found.status);
    let mut blocks: Vec<Blocks> = events.flat_map(|follower| threads(follower.to)).collect();
    blocks.sort_unstable();
    blocks.dedup_by_key(|blocks| blocks.tid);
    Step {
        address: node.found.at,
        table: node.at.machine.unwrap_or(own.class.table),
        own_table: own.class.table,
        type_name,
        method: method.map(Arc::from),
        // The machine of a method that has ended was cleared.
        state: node.at.state.filter(|_| is_method && !node.found.status.is_some_and(Status::is_completed)),
        status: node.found.status,
        machine: node.at.machine.map(|_| node.at.data),
        is_method,
        joins: joins.clone().unwrap_or(Joins::Open),
        blocks,
        gap: node.at.gap.clone().or(joins.err()),
    }
}

/// What has to end for a task to end. Fails where it is not known whether a token may end it as well.
fn joins(types: Types<'_>, at: Addr, shape: &Shape, status: Option<Status>) -> Known<Joins> {
    /// Classes that end with one of what they wait for. Source: dotnet/runtime System/Threading/Tasks/{Task,TaskFactory}.cs.
    const ANY: [&str; 3] = ["Task+WhenAnyPromise", "Task+TwoTaskWhenAnyPromise", "TaskFactory+CompleteOnInvokePromise"];
    /// Those that end with all of it.
    const ALL: [&str; 2] = ["Task+WhenAllPromise", "UnwrapPromise"];
    let name = shape.class.name.as_deref().unwrap_or("");
    let own = name.strip_prefix("System.Threading.Tasks.").unwrap_or("");
    let is_of = |known: &[&str]| known.iter().any(|known| own.starts_with(known));
    let is_method = matches!(shape.role, Role::Box | Role::Pooled);
    Ok(match () {
        () if is_of(&ANY) => Joins::Any,
        () if is_method || shape.source.is_some() || is_of(&ALL) => Joins::All,
        () if status.is_some_and(Status::is_continuation) && !cancelling::may_be_cancelled(types, at)? => Joins::All,
        () => Joins::Open,
    })
}

fn failed(types: Types<'_>, links: &Links<'_>, found: &Found) -> Faulted {
    let machine = links.at(found).machine.and_then(|machine| types.class(machine).ok());
    let name = machine.as_ref().and_then(|class| class.name.as_deref().ok());
    Faulted { address: found.at, method: name.and_then(method::method_of).map(Arc::from) }
}
