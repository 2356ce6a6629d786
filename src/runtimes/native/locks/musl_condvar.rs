//! musl's `pthread_cond_t`: a waiter sleeps on a node of its own stack, and the condition variable lists the nodes.
//!
//! Layout: docs/layouts/musl.md "condition variable".

use crate::model::{Addr, Owner};

use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

// Source: musl 1.2.3 src/thread/pthread_cond_timedwait.c, struct waiter: prev 0, next 8, state 16, barrier 20.
const NEXT: u64 = 8;
const BARRIER: u64 = 20;
// Source: musl 1.2.3 src/internal/pthread_impl.h: _c_head __p[1], _c_tail __p[5].
const HEAD: u64 = 8;
const TAIL: u64 = 40;

/// Nodes of one list that are followed: no process has more threads.
const MAX_NODES: usize = 1 << 16;

/// Recognises a wait on a node of the waiter's own stack; the condition variable is the one whose list holds the node.
pub(super) fn waited(observations: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let word = waiter.futex.word;
    let own = observations.live_stack(waiter.thread).is_some_and(|stack| stack.contains(&word));
    if !observations.libc.is_musl() || !own {
        return None;
    }
    let node = word.minus(BARRIER)?;
    let address = waiter.pointers(observations).find(|condvar| lists(observations, *condvar, node))?;
    Some(Observation::waited(kinds::CONDVAR, address, Owner::None))
}

/// Whether `condvar` heads a list that holds `node` and ends at its tail. The tail tells a condition variable from another
/// waiter's node, which has its `next` where the head is.
fn lists(observations: &Observations<'_>, condvar: Addr, node: Addr) -> bool {
    let link = |at: Option<Addr>| at.and_then(|at| observations.memory().ptr(at).ok());
    let Some(tail) = link(condvar.plus(TAIL)) else { return false };
    let mut at = condvar.plus(HEAD);
    let mut met = false;
    for _ in 0..MAX_NODES {
        let Some(listed) = link(at).filter(|listed| listed.0 != 0) else { return false };
        met |= listed == node;
        if listed == tail {
            return met;
        }
        at = listed.plus(NEXT);
    }
    false
}
