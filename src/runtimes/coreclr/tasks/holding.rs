//! Threads whose own code holds given objects: in the frames of the program's methods.
//!
//! Input: walked stacks, and what a word leads to. Output: for each object the threads, and those of which all was looked at. Frames of
//! .NET's own methods are left out: most words that earlier calls left behind lie there. What a method holds is in its own frame, or was saved in that of the method that it called.

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::error::Error;
use crate::job::{Job, Meter};
use crate::model::{Addr, End, Frame, FrameKind, Stack, Tid, Trust};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::methods::Methods;

/// Most bytes of a frame that are looked at.
const MAX_FRAME: u64 = 1 << 16;

/// What the program's methods hold.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The threads by the objects that words of their frames lead to, in the order of threads.
    pub(super) by: FxHashMap<Addr, Vec<Tid>>,
    /// The threads of which all that may hold such an object was looked at.
    pub(super) whole: FxHashSet<Tid>,
}

/// Looks for it. Fails once the job is cancelled.
pub(super) fn in_own_frames(
    methods: &Methods,
    scene: &Scene<'_>,
    leads_to: &(dyn Fn(Addr) -> Option<Addr> + Sync),
    job: &Job,
) -> Result<Held, Error> {
    let of_each = scene.threads.par_iter().zip(scene.stacks).map_init(
        || job.meter(),
        |meter, (thread, stack)| Ok((thread.tid, of_stack(methods, scene, stack, leads_to, meter)?)),
    );
    let of_each: Vec<(Tid, (FxHashSet<Addr>, bool))> = of_each.collect::<Result<_, Error>>()?;
    let mut held = Held::default();
    for (tid, (objects, is_whole)) in of_each {
        if is_whole {
            held.whole.insert(tid);
        }
        for object in objects {
            held.by.entry(object).or_default().push(tid);
        }
    }
    Ok(held)
}

/// What the program's methods on a stack hold, and whether no other of them may hold more.
fn of_stack(
    methods: &Methods,
    scene: &Scene<'_>,
    stack: &Stack,
    leads_to: &dyn Fn(Addr) -> Option<Addr>,
    meter: &mut Meter<'_>,
) -> Result<(FxHashSet<Addr>, bool), Error> {
    let memory = &scene.target.memory;
    let mut found = FxHashSet::default();
    let mut is_whole = stack.end == End::Bottom;
    for index in 0..stack.frames.len() {
        meter.add(1)?;
        let (start, end) = around(&stack.frames, index);
        let Some(bytes) = end.and_then(|end| end.since(start)) else { continue };
        let words = memory.slice_up_to(start, bytes.min(MAX_FRAME)).unwrap_or_default();
        let held: FxHashSet<Addr> = memory.pointers(words).filter_map(leads_to).collect();
        let is_cut = (words.len() as u64) < bytes;
        if held.is_empty() && !is_cut {
            continue;
        }
        match is_own(methods, &stack.frames, index) {
            Some(true) => {
                found.extend(held);
                is_whole &= !is_cut;
            }
            Some(false) => {}
            None => is_whole = false,
        }
    }
    Ok((found, is_whole))
}

/// From the beginning of the frame that a frame called, or its own where it called none, to its end.
fn around(frames: &[Frame], index: usize) -> (Addr, Option<Addr>) {
    let sp = |index: usize| frames.get(index).map(|frame| frame.sp);
    let own = sp(index).unwrap_or(Addr(0));
    (index.checked_sub(1).and_then(sp).unwrap_or(own), sp(index.saturating_add(1)))
}

/// Whether a frame is of the program's own code; `None` where that is not known. Between it and one that was found by a scan others may be.
fn is_own(methods: &Methods, frames: &[Frame], index: usize) -> Option<bool> {
    let frame = frames.get(index)?;
    let is_scanned = |index: usize| frames.get(index).is_some_and(|frame| frame.trust == Trust::Scan);
    let named = if frame.kind == FrameKind::Managed { methods.frame(frame)? } else { Vec::new() };
    if named.iter().any(|frame| frame.own) {
        return Some(true);
    }
    let is_unknown = named.iter().any(|frame| frame.function.is_none());
    (!is_unknown && !is_scanned(index) && !is_scanned(index.saturating_add(1))).then_some(false)
}
