//! What the runtime records of its calls into native code: the chain of `Frame`s that each of its threads has.
//!
//! Input: the runtime. Output: where managed code goes on above a place of a stack, for stacks of which the native part cannot be unwound.
//! Specification: dotnet/runtime docs/design/datacontracts/StackWalk.md; src/coreclr/vm/frames.h.

mod resume;

use std::sync::Arc;

use rustc_hash::FxHashSet;

use self::resume::Transition;
use super::clr::Clr;
use super::memo::Memo;
use super::threads;
use crate::model::Addr;
use crate::unwind::row::Caller;

/// Most frames of one thread's chain.
const MAX_FRAMES: usize = 10_000;
/// Most of all threads.
const MAX_ALL: usize = 1 << 20;
/// Ends a chain. Source: dotnet/runtime src/coreclr/vm/frames.h, FRAME_TOP.
const TOP: Addr = Addr(u64::MAX);

/// The records of all threads.
pub(super) struct Transitions {
    all: Memo<(), Arc<[Transition]>>,
}

impl Default for Transitions {
    fn default() -> Transitions {
        Transitions { all: Memo::of(1) }
    }
}

impl Transitions {
    /// By where they lie; read on the first call.
    fn all(&self, clr: &Clr) -> Arc<[Transition]> {
        self.all.get((), || {
            let mut all = Vec::new();
            for thread in threads::addresses(clr) {
                all.extend(chain(clr, thread).into_iter().map(|frame| Transition { frame, thread }));
                if all.len() > MAX_ALL {
                    break;
                }
            }
            all.sort_unstable_by_key(|transition| transition.frame);
            all.into()
        })
    }

    /// The caller that the next record above a place of a stack leads to.
    pub(super) fn beyond(&self, clr: &Clr, sp: Addr) -> Option<Caller> {
        let all = self.all(clr);
        let end = clr.memory().slice_up_to(sp, u64::MAX).ok().and_then(|stack| sp.plus(stack.len() as u64))?;
        let first = all.partition_point(|transition| transition.frame < sp);
        // Another stack is no part of this one: between them is a page that is not readable.
        let above = all.get(first..)?.iter().take_while(|transition| transition.frame < end);
        above.take(MAX_FRAMES).find_map(|transition| resume::caller(clr, *transition)).filter(|caller| caller.cfa > sp)
    }

    /// The method that native code is called for by a frame whose stack pointer this is, as `InlinedCallFrame` records it.
    pub(super) fn called(&self, clr: &Clr, sp: Addr) -> Option<Addr> {
        /// The record lies in the frame of the code that calls.
        const WITHIN: u64 = 4096;
        let all = self.all(clr);
        let first = all.partition_point(|transition| transition.frame < sp);
        let near = all.get(first..)?.iter().take_while(|transition| transition.frame.0.saturating_sub(sp.0) < WITHIN);
        near.take(16).find_map(|transition| resume::called(clr, transition.frame, sp))
    }
}

/// The records of one thread, innermost first.
fn chain(clr: &Clr, thread: Addr) -> Vec<Addr> {
    let mut seen = FxHashSet::default();
    let mut frames = Vec::new();
    let mut next = clr.ptr(thread, "Thread", "Frame");
    while let Ok(frame) = next {
        if frame == TOP || frame.0 == 0 || frames.len() >= MAX_FRAMES || !seen.insert(frame) {
            break;
        }
        frames.push(frame);
        next = clr.ptr(frame, "Frame", "Next");
    }
    frames
}
