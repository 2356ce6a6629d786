//! Who waits for whom: a thread points to the one lock that it waits for, a lock to every thread that holds it.
//!
//! Input: locks with holders and waiters. Output: tangles (threads each of which waits, directly or not, for each other one),
//! cycles through a thread, and who waits behind whom. A lock that several readers hold is free when all have left, so that any
//! one of them suffices to close a cycle. Costs are linear in threads, locks and holders.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Addr, Lock, Tid};

/// A thread of a cycle with the lock that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// The thread.
    pub tid: Tid,
    /// The lock that it waits for; the next step's thread (after the last: the first's) holds it.
    pub waits_for: Addr,
}

/// A lock with holders.
pub(super) struct Node {
    pub(super) address: Addr,
    /// Whether the holder is recorded.
    pub(super) certain: bool,
    pub(super) holders: Vec<Tid>,
    pub(super) waiters: Vec<Tid>,
    /// Those of the waiters of which it is inferred that they wait for it.
    inferred_waiters: FxHashSet<Tid>,
}

impl Node {
    /// Whether it is recorded that a thread waits for it.
    pub(super) fn is_waited_certainly(&self, waiter: Tid) -> bool {
        !self.inferred_waiters.contains(&waiter)
    }
}

/// Locks with holders and waiters, from both sides.
pub(super) struct Graph {
    locks: Vec<Node>,
    waits: FxHashMap<Tid, usize>,
    holds: FxHashMap<Tid, Vec<usize>>,
}

/// A point of the graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Point {
    Thread(Tid),
    Lock(usize),
}

/// What the search for tangles knows of a point: when it was reached, the earliest open point that it leads back to.
#[derive(Clone, Copy)]
struct Mark {
    order: usize,
    low: usize,
    open: bool,
}

impl Graph {
    pub(super) fn of(locks: &[Lock]) -> Graph {
        let mut graph = Graph { locks: Vec::new(), waits: FxHashMap::default(), holds: FxHashMap::default() };
        for lock in locks.iter().filter(|lock| !lock.waiters.is_empty()) {
            let holders = lock.holders();
            if holders.is_empty() {
                continue;
            }
            let index = graph.locks.len();
            for holder in &holders {
                graph.holds.entry(*holder).or_default().push(index);
            }
            // A thread listed twice would be a fault of the probes; its first lock stays.
            let waiters = lock.waiters.iter().filter(|waiter| *graph.waits.entry(**waiter).or_insert(index) == index);
            let waiters = waiters.copied().collect();
            let inferred_waiters = lock.inferred_waiters.iter().copied().collect();
            let (address, certain) = (lock.address, lock.is_certain());
            graph.locks.push(Node { address, certain, holders, waiters, inferred_waiters });
        }
        graph
    }

    /// The lock that a thread waits for, if anyone is known to hold it.
    pub(super) fn wait(&self, tid: Tid) -> Option<&Node> {
        self.locks.get(*self.waits.get(&tid)?)
    }

    /// The locks that a thread holds and others wait for.
    pub(super) fn held(&self, tid: Tid) -> impl Iterator<Item = &Node> {
        let held = self.holds.get(&tid).map(Vec::as_slice).unwrap_or_default();
        held.iter().filter_map(|index| self.locks.get(*index))
    }

    /// Threads that hold what others wait for, and wait for no thread themselves; in ascending order.
    pub(super) fn ends(&self) -> Vec<Tid> {
        let mut ends: Vec<Tid> = self.holds.keys().filter(|tid| !self.waits.contains_key(tid)).copied().collect();
        ends.sort_unstable();
        ends
    }

    /// All threads that wait for one of `roots`, directly or not, without the roots, in ascending order; and whether every
    /// holder and every wait on the way is recorded.
    pub(super) fn waiting_for(&self, roots: &[Tid]) -> (Vec<Tid>, bool) {
        let mut seen: FxHashSet<Tid> = roots.iter().copied().collect();
        let mut asked: FxHashSet<Addr> = FxHashSet::default();
        let mut pending: Vec<Tid> = roots.to_vec();
        let mut all = Vec::new();
        let mut certain = true;
        while let Some(holder) = pending.pop() {
            for lock in self.held(holder) {
                if !asked.insert(lock.address) {
                    continue;
                }
                for waiter in &lock.waiters {
                    if seen.insert(*waiter) {
                        certain &= lock.certain && lock.is_waited_certainly(*waiter);
                        all.push(*waiter);
                        pending.push(*waiter);
                    }
                }
            }
        }
        all.sort_unstable();
        (all, certain)
    }

    fn successor(&self, point: Point, index: usize) -> Option<Point> {
        match point {
            Point::Thread(tid) => self.waits.get(&tid).filter(|_| index == 0).map(|lock| Point::Lock(*lock)),
            Point::Lock(lock) => self.locks.get(lock)?.holders.get(index).map(|holder| Point::Thread(*holder)),
        }
    }

    /// The threads of each strongly connected part that holds a cycle, in ascending order.
    // Source: Tarjan, "Depth-first search and linear graph algorithms", 1972; without recursion.
    pub(super) fn tangles(&self) -> Vec<FxHashSet<Tid>> {
        let mut roots: Vec<Tid> = self.waits.keys().copied().collect();
        roots.sort_unstable();
        let mut marks: FxHashMap<Point, Mark> = FxHashMap::default();
        let mut open: Vec<Point> = Vec::new();
        let mut tangles = Vec::new();
        for root in roots.into_iter().map(Point::Thread) {
            let mut path: Vec<(Point, usize)> = Vec::new();
            let mut enter = (!marks.contains_key(&root)).then_some(root);
            loop {
                if let Some(point) = enter.take() {
                    marks.insert(point, Mark { order: marks.len(), low: marks.len(), open: true });
                    open.push(point);
                    path.push((point, 0));
                }
                let Some((point, next)) = path.last_mut() else { break };
                let (point, index) = (*point, *next);
                *next = index.saturating_add(1);
                if let Some(successor) = self.successor(point, index) {
                    match marks.get(&successor).copied() {
                        Some(known) if known.open => lower(&mut marks, point, known.order),
                        Some(_) => {}
                        None => enter = Some(successor),
                    }
                    continue;
                }
                path.pop();
                let Some(mark) = marks.get(&point).copied() else { break };
                if let Some((caller, _)) = path.last() {
                    lower(&mut marks, *caller, mark.low);
                }
                if mark.low == mark.order {
                    let part = open.split_off(open.iter().rposition(|other| *other == point).unwrap_or(0));
                    for other in &part {
                        marks.entry(*other).and_modify(|mark| mark.open = false);
                    }
                    if part.len() > 1 {
                        tangles.push(part.into_iter().filter_map(Point::thread).collect());
                    }
                }
            }
        }
        tangles
    }

    /// The shortest cycle through `member`, which begins it; only through threads of its tangle. `None` if there is none.
    pub(super) fn cycle(&self, member: Tid, tangle: &FxHashSet<Tid>) -> Option<Vec<Step>> {
        let mut from: FxHashMap<Tid, Tid> = FxHashMap::default();
        let mut asked: FxHashSet<Addr> = FxHashSet::default();
        let mut pending = VecDeque::from([member]);
        while let Some(at) = pending.pop_front().filter(|_| !from.contains_key(&member)) {
            let Some(lock) = self.wait(at).filter(|lock| asked.insert(lock.address)) else { continue };
            for holder in lock.holders.iter().filter(|holder| tangle.contains(holder)) {
                if !from.contains_key(holder) {
                    from.insert(*holder, at);
                    pending.push_back(*holder);
                }
            }
        }
        let mut steps = Vec::new();
        let mut at = *from.get(&member)?;
        while steps.len() <= from.len() {
            steps.push(Step { tid: at, waits_for: self.wait(at)?.address });
            if at == member {
                steps.reverse();
                return Some(steps);
            }
            at = *from.get(&at)?;
        }
        None
    }
}

impl Point {
    fn thread(self) -> Option<Tid> {
        match self {
            Point::Thread(tid) => Some(tid),
            Point::Lock(_) => None,
        }
    }
}

fn lower(marks: &mut FxHashMap<Point, Mark>, point: Point, to: usize) {
    marks.entry(point).and_modify(|mark| mark.low = mark.low.min(to));
}
