//! What the runtime records of its calls into native code: the chain of `Frame`s that each of its threads has.
//!
//! Input: the runtime. Output: where managed code goes on above a place of a stack, for stacks of which the native part cannot be unwound.
//! Specification: dotnet/runtime docs/design/datacontracts/StackWalk.md; src/coreclr/vm/frames.h.

mod kinds;
mod resume;
mod returned;
mod shape;

use std::sync::Arc;

use rustc_hash::FxHashSet;

pub(super) use self::shape::Shape;

use self::resume::Transition;
use super::clr::Clr;
use super::memo::Memo;
use super::threads;
use crate::model::Addr;
use crate::unwind::Beyond;

/// Most frames of one thread's chain.
const MAX_FRAMES: usize = 10_000;
/// Most of all threads.
const MAX_ALL: usize = 1 << 18;
/// Ends a chain. Source: dotnet/runtime src/coreclr/vm/frames.h, FRAME_TOP.
const TOP: Addr = Addr(u64::MAX);

/// The records of all threads.
pub(super) struct Transitions {
    all: Memo<(), Arc<Records>>,
}

/// Records by where they lie.
#[derive(Default)]
struct Records {
    all: Vec<Transition>,
    leading: Vec<Leading>,
}

/// A record that leads to managed code.
struct Leading {
    frame: Addr,
    to: Beyond,
}

impl Default for Transitions {
    fn default() -> Transitions {
        Transitions { all: Memo::of(1) }
    }
}

impl Transitions {
    /// Read on the first call: where each leads is told once, however many frames ask.
    fn all(&self, clr: &Clr) -> Arc<Records> {
        self.all.get((), || {
            let mut all = Vec::new();
            for thread in threads::addresses(clr) {
                let left = MAX_ALL.saturating_sub(all.len()).min(MAX_FRAMES);
                if left == 0 {
                    break;
                }
                all.extend(chain(clr, thread, left).into_iter().map(|frame| Transition { frame, thread }));
            }
            all.sort_unstable_by_key(|transition| transition.frame);
            let leading = |transition: &Transition| {
                Some(Leading { frame: transition.frame, to: resume::caller(clr, *transition)? })
            };
            let leading = all.iter().filter_map(leading).collect();
            Arc::new(Records { all, leading })
        })
    }

    /// The frame that the next record above a place of a stack leads to.
    pub(super) fn beyond(&self, clr: &Clr, sp: Addr) -> Option<Beyond> {
        /// Records between a place and its caller: one that leads to a frame below the place.
        const MAX_BELOW: usize = 4;
        let records = self.all(clr);
        // Another stack is no part of this one: between them is a page that is not readable.
        let stack = clr.memory().segment_at(sp)?;
        let end = stack.start.plus(stack.bytes.len() as u64)?;
        let above = above(&records.leading, sp, |record| record.frame).iter();
        let mut above = above.take_while(|record| record.frame < end).take(MAX_BELOW);
        above.find(|record| record.to.caller.cfa > sp).map(|record| record.to.clone())
    }

    /// The method that native code is called for by a frame whose stack pointer this is, as `InlinedCallFrame` records it.
    pub(super) fn called(&self, clr: &Clr, sp: Addr) -> Option<Addr> {
        /// The record lies in the frame of the code that calls.
        const WITHIN: u64 = 4096;
        let records = self.all(clr);
        let near = above(&records.all, sp, |transition| transition.frame).iter();
        let near = near.take_while(|transition| transition.frame.0.saturating_sub(sp.0) < WITHIN);
        near.take(16).find_map(|transition| resume::called(clr, transition.frame, sp))
    }
}

/// A record, as roots need it.
pub(super) struct Record {
    /// Where it lies on the stack.
    pub(super) at: Addr,
    /// Whether it leads to managed code.
    pub(super) leads: bool,
    /// Whether the frame above it is one in which an exception was thrown.
    pub(super) throws: bool,
    /// What it holds.
    pub(super) shape: Shape,
}

/// The records of one thread, innermost first.
pub(super) fn records(clr: &Clr, thread: Addr) -> Vec<Record> {
    let record = |at| {
        let held = resume::held(clr, Transition { frame: at, thread });
        let leads = held.is_some();
        let (shape, throws) = held.unwrap_or_else(|| (returned::of(clr, at, thread), false));
        Record { at, leads, throws, shape }
    };
    chain(clr, thread, MAX_FRAMES).into_iter().map(record).collect()
}

/// The records at and above a place.
fn above<T>(records: &[T], sp: Addr, place: impl Fn(&T) -> Addr) -> &[T] {
    records.get(records.partition_point(|record| place(record) < sp)..).unwrap_or_default()
}

/// The records of one thread, innermost first, so many at most.
pub(super) fn chain(clr: &Clr, thread: Addr, most: usize) -> Vec<Addr> {
    let mut seen = FxHashSet::default();
    let mut frames = Vec::new();
    let mut next = clr.ptr(thread, "Thread", "Frame");
    while let Ok(frame) = next {
        if frame == TOP || frame.0 == 0 || frames.len() >= most || !seen.insert(frame) {
            break;
        }
        frames.push(frame);
        next = clr.ptr(frame, "Frame", "Next");
    }
    frames
}
