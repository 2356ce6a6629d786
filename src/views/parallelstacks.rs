//! `parallelstacks`: the stacks of all threads merged into a tree.

use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Alias, Answer, Answered, Draw, Needs, Query, View};
use crate::analysis::awaits::{self, AwaitNode};
use crate::analysis::stacks::{self, Group, StackNode};
use crate::error::Error;
use crate::job::Job;
use crate::model::{NamedFrame, Problem, Subject, Tid, WorkStacks};
use crate::report::section::{Body, Cell, Node, Row, Section, Tone, Value};
use crate::session::Session;
use crate::shape;

/// The view.
pub const VIEW: View = View {
    name: "parallelstacks",
    aliases: &[Alias::of("pstacks")],
    needs: Needs::Process,
    home_of: &[],
    args: &[],
    pane: Some("Stacks"),
    doc: "The stacks of all threads merged into a tree, with counts and thread ids",
    help: "Outermost function first; the number is how many threads are in it by this way; frames that one \
           path shares are on one line, the outer first. Beside them, of .NET, asynchronous functions that no thread runs, merged in the same way: the one that \
           nobody awaits first, then whom it awaits, and last what is waited for; the number is how many there are.

$ dumpscope demo -c parallelstacks
   33 clone3 ▸ start_thread ▸ execute_native_thread_routine ▸ std::thread::_State_impl<…>::_M_run
        ▸ std::thread::_Invoker<…>::operator() ▸ std::thread::_Invoker<…>::_M_invoke<…>
        ▸ std::__invoke<void (*)(int), int> ▸ std::__invoke_impl<…>
   19 ├ fetch_prices ▸ shop::Pool::run ▸ shop::Pool::price_of ▸ std::lock_guard<std::mutex>::lock_guard
      │   ▸ std::mutex::lock ▸ __gthread_mutex_lock ▸ pthread_mutex_lock ▸ __lll_lock_wait
      │     4743 4738 4739 4740 4736 4726 … 19 threads
    8 ├ shop::worker
    5 │ ├ request_of ▸ shop::Pool::next ▸ std::condition_variable::wait<…> ▸ pthread_cond_wait
      │ │   ▸ __futex_abstimed_wait_common  4717 4722 4718 4720 4724
    3 │ └ shop::handle ▸ shop::dispatch
…",
    build,
    schema: shape!(ParallelStacks),
};

/// Merged stacks.
#[derive(Serialize, JsonSchema)]
pub struct ParallelStacks {
    /// Outermost functions, most threads first.
    pub roots: Vec<StackNode>,
    /// Functions that await one another and that no thread runs, the outermost first, most stacks first; null where there is no runtime that has such,
    /// and where they were not looked for.
    #[serde(rename = "async")]
    pub suspended: Option<Vec<AwaitNode>>,
}

fn build(session: &Session, _: &Query, job: &Job) -> Result<Box<dyn Answer>, Error> {
    let stacks = session.stacks(job)?;
    let groups = stacks::equal(stacks.iter().map(AsRef::as_ref));
    let process = session.process()?;
    let name = |group: &Group| stacks.get(group.first()).map(|stack| process.named(stack)).unwrap_or_default();
    let named: Vec<Vec<NamedFrame>> = groups.par_iter().map(name).collect();
    let tids: Vec<Tid> = session.os_threads().iter().map(|thread| thread.tid).collect();
    let roots = stacks::merge(&tids, groups.iter().zip(named.iter().map(Vec::as_slice)));
    let work = process.runtimes(job)?.work_stacks(job)?;
    let problems = work.as_ref().map(unread).unwrap_or_default();
    let looked = work.filter(|work| work.not_read.is_none());
    let suspended = looked.map(|work| awaits::merge(&work.all));
    Ok(Box::new(Answered { data: ParallelStacks { roots, suspended }, problems }))
}

/// What is missing of functions that await one another.
fn unread(work: &WorkStacks) -> Vec<Problem> {
    let not_read = work.not_read.as_ref().map(|not_read| {
        let message = format!("asynchronous functions were not looked at: {}", not_read.why);
        match not_read.command {
            Some(command) => format!("{message}; '{command}' does"),
            None => message,
        }
    });
    let told = |message| Problem::new("async-unread", Subject::Capture, message);
    not_read.into_iter().chain(work.missing.iter().cloned()).map(told).collect()
}

impl Draw for ParallelStacks {
    fn draw(&self) -> Section {
        if self.roots.is_empty() {
            let said = Row::text("No stacks: the dump holds no threads, or none of their registers.");
            return Section { bodies: vec![Body::Lines(vec![said])], ..Section::default() };
        }
        let mut nodes = Vec::new();
        let mut pending: Vec<(u32, &StackNode)> = self.roots.iter().rev().map(|root| (0, root)).collect();
        while let Some((depth, node)) = pending.pop() {
            // A path that no thread leaves is one line: the outer function first.
            let mut last = node;
            let mut folded = Vec::new();
            while let [only] = last.children.as_slice() {
                if only.count != last.count {
                    break;
                }
                folded.push(frame_row(only));
                last = only;
            }
            let mut row = frame_row(node);
            row.cells.insert(0, Cell::new(Value::Count(node.count as u64)).tone(Tone::Strong));
            let in_children: usize = last.children.iter().map(|child| child.count).sum();
            if in_children < last.count {
                row.subject = last.tids.first().map(|tid| Subject::Thread(*tid));
                let tids = Value::Tids(last.tids.as_slice().into());
                folded.push(Row::new(vec![Cell::new(tids).tone(Tone::Link)]));
            }
            nodes.push(Node { depth, row, folded });
            pending.extend(last.children.iter().rev().map(|child| (depth.saturating_add(1), child)));
        }
        let mut bodies = vec![Body::Tree(nodes)];
        if let Some(suspended) = self.suspended.as_ref().filter(|suspended| !suspended.is_empty()) {
            let words = "Asynchronous functions that no thread runs, each with whom it awaits below it:";
            bodies.push(Body::Lines(vec![Row::text(""), Row::text(words)]));
            bodies.push(Body::Tree(suspended_nodes(suspended)));
        }
        Section { bodies, ..Section::default() }
    }
}

/// The same of functions that await one another.
fn suspended_nodes(roots: &[AwaitNode]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut pending: Vec<(u32, &AwaitNode)> = roots.iter().rev().map(|root| (0, root)).collect();
    while let Some((depth, node)) = pending.pop() {
        let mut last = node;
        let mut folded = Vec::new();
        while let [only] = last.children.as_slice() {
            folded.push(Row::new(vec![await_cell(only)]));
            last = only;
        }
        let count = Cell::new(Value::Count(node.count as u64)).tone(Tone::Strong);
        let row =
            Row { cells: vec![count, await_cell(node)], subject: node.tids.first().map(|tid| Subject::Thread(*tid)) };
        if last.children.is_empty() && !last.tids.is_empty() {
            let tids = Cell::new(Value::Tids(last.tids.as_slice().into())).tone(Tone::Link);
            folded.push(Row::new(vec![Cell::text("blocks").tone(Tone::Bad), tids]));
        }
        nodes.push(Node { depth, row, folded });
        pending.extend(last.children.iter().rev().map(|child| (depth.saturating_add(1), child)));
    }
    nodes
}

fn await_cell(node: &AwaitNode) -> Cell {
    match (&node.function, &node.awaits) {
        (Some(function), _) => Cell::new(Value::Function(Arc::clone(function))),
        (None, awaits) => Cell::text(awaits.as_deref().unwrap_or("?")).tone(Tone::Dim),
    }
}

fn frame_row(node: &StackNode) -> Row {
    let function = match &node.function {
        Some(function) => Value::Function(Arc::clone(function)),
        None => Value::Addr(node.pc),
    };
    let mut cells = vec![Cell::new(function).tone(if node.own { Tone::Plain } else { Tone::Dim })];
    if node.recursion > 1 {
        cells.push(Cell::text(format!("×{}", node.recursion)).tone(Tone::Guess));
    }
    Row { cells, subject: node.tids.first().map(|tid| Subject::Thread(*tid)) }
}
