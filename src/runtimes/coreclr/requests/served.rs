//! Which thread runs a request at the moment.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::{Addr, FrameKind, Tid};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::methods::Methods;

/// The method that processes a connection's requests one after the other: the state machine of `ProcessRequests` in HttpProtocol.cs.
pub(super) const PROCESSES: &str =
    "Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.HttpProtocol+<ProcessRequests>d__";
/// Bytes of a frame that are looked at.
const MAX_FRAME: u64 = 4096;

/// The threads in whose stacks the server processes requests, by the connection that the method's frame holds. Which of its words is the
/// connection is not recorded: it is the first that can be one, which may be left over from an earlier call.
pub(super) fn running(methods: &Methods, scene: &Scene<'_>, connections: &[Addr]) -> FxHashMap<Addr, Tid> {
    let wanted: FxHashSet<Addr> = connections.iter().copied().collect();
    let memory = &scene.target.memory;
    let mut found = FxHashMap::default();
    for (thread, stack) in scene.iter() {
        let is_it = |frame: &&crate::model::Frame| {
            let named = if frame.kind == FrameKind::Managed { methods.frame(frame) } else { None };
            let names = named.into_iter().flatten().filter_map(|frame| frame.function);
            names.into_iter().any(|name| name.starts_with(PROCESSES))
        };
        let Some(place) = stack.frames.iter().position(|frame| is_it(&frame)) else { continue };
        // What the method holds is in its own frame, or saved by those that it called, nearest first.
        let end = stack.frames.get(place.saturating_add(1)).map(|caller| caller.sp);
        for callee in stack.frames.iter().take(place.saturating_add(1)).rev() {
            let Some(len) = end.and_then(|end| end.since(callee.sp)) else { break };
            let held = memory.slice_up_to(callee.sp, len.min(MAX_FRAME)).unwrap_or_default();
            if let Some(connection) = memory.pointers(held).find(|word| wanted.contains(word)) {
                found.entry(connection).or_insert(thread.tid);
                break;
            }
        }
    }
    found
}
