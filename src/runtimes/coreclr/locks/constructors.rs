//! Static constructors: who runs one, and who waits for it to end.
//!
//! Input: stacks. Output: the classes that are being initialised. The runtime lets nobody use a class before its static constructor has
//! ended, but who would wait for himself by that: two constructors that want each other's class alone are no deadlock, one of them goes on.
//! Source: dotnet/runtime docs/design/coreclr/botr/type-loader.md; src/coreclr/vm/methodtable.cpp, DoRunClassInitThrowing, of 8.0 to 10.0.

use super::stack::Part;
use crate::model::{Addr, FrameKind, Tid};
use crate::runtimes::Scene;
use crate::runtimes::coreclr::methods::Methods;

/// Most frames of a stack that are looked at.
const MAX_FRAMES: usize = 256;

/// A static constructor that is being run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Running {
    /// Who runs it.
    pub(in crate::runtimes::coreclr) tid: Tid,
    /// The class.
    pub(in crate::runtimes::coreclr) table: Addr,
}

/// Every static constructor on a stack.
pub(in crate::runtimes::coreclr) fn running(methods: &Methods, scene: &Scene<'_>) -> Vec<Running> {
    let mut all = Vec::new();
    for (thread, stack) in scene.iter() {
        for frame in stack.frames.iter().take(MAX_FRAMES).filter(|frame| frame.kind == FrameKind::Managed) {
            let named = methods.frame(frame).into_iter().flatten().find_map(|named| named.function);
            let Some(class) = named.as_deref().and_then(|name| name.strip_suffix("..cctor()")) else { continue };
            let types = methods.types();
            let table = types.find(class).ok().flatten().or_else(|| types.instantiated(class).ok().flatten());
            all.extend(table.map(|table| Running { tid: thread.tid, table }));
        }
    }
    all
}

/// The constructor that a thread waits for: it is in the runtime, beneath code of the program's, and its stack there refers to the class.
pub(in crate::runtimes::coreclr) fn awaited(part: &Part<'_>, tid: Tid, running: &[Running]) -> Option<Running> {
    let innermost = part.innermost();
    if !innermost.is_empty() && !innermost.starts_with("System.Runtime.CompilerServices.") {
        return None;
    }
    let mut others = running.iter().filter(|running| running.tid != tid);
    others.find(|running| part.beneath.contains(&running.table)).copied()
}
