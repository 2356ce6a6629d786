//! Threads whose own code holds given objects: in the frames of the program's methods.
//!
//! Input: walked stacks, and what a word leads to. Output: for each object the threads. Frames of .NET's own methods are left out: most words
//! that earlier calls left behind lie there. What a method holds is in its own frame, or was saved in that of the method that it called.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Addr, Frame, FrameKind, Stack, Tid};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::methods::Methods;

/// Most bytes of a frame that are looked at.
const MAX_FRAME: u64 = 1 << 16;

/// The threads by the objects that words of their frames lead to, in the order of threads.
pub(super) fn in_own_frames(
    methods: &Methods,
    scene: &Scene<'_>,
    leads_to: &(dyn Fn(Addr) -> Option<Addr> + Sync),
) -> FxHashMap<Addr, Vec<Tid>> {
    let of_each = scene.threads.par_iter().zip(scene.stacks);
    let of_each = of_each.map(|(thread, stack)| (thread.tid, of_stack(methods, scene, stack, leads_to)));
    let of_each: Vec<(Tid, FxHashSet<Addr>)> = of_each.collect();
    let mut found: FxHashMap<Addr, Vec<Tid>> = FxHashMap::default();
    for (tid, objects) in of_each {
        for object in objects {
            found.entry(object).or_default().push(tid);
        }
    }
    found
}

fn of_stack(
    methods: &Methods,
    scene: &Scene<'_>,
    stack: &Stack,
    leads_to: &dyn Fn(Addr) -> Option<Addr>,
) -> FxHashSet<Addr> {
    let memory = &scene.target.memory;
    let mut found = FxHashSet::default();
    for (index, frame) in stack.frames.iter().enumerate() {
        let (start, end) = around(&stack.frames, index);
        let Some(bytes) = end.and_then(|end| end.since(start)) else { continue };
        let words = memory.pointers(memory.slice_up_to(start, bytes.min(MAX_FRAME)).unwrap_or_default());
        let held: FxHashSet<Addr> = words.filter_map(leads_to).collect();
        if !held.is_empty() && is_own(methods, frame) {
            found.extend(held);
        }
    }
    found
}

/// From the beginning of the frame that a frame called, or its own where it called none, to its end.
fn around(frames: &[Frame], index: usize) -> (Addr, Option<Addr>) {
    let sp = |index: usize| frames.get(index).map(|frame| frame.sp);
    let own = sp(index).unwrap_or(Addr(0));
    (index.checked_sub(1).and_then(sp).unwrap_or(own), sp(index.saturating_add(1)))
}

/// Whether a frame is of the program's own code.
fn is_own(methods: &Methods, frame: &Frame) -> bool {
    let named = if frame.kind == FrameKind::Managed { methods.frame(frame) } else { None };
    named.into_iter().flatten().any(|frame| frame.own)
}
