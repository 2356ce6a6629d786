//! A thread's stack by names, and which of them belong to the C library and the language's runtime.
//!
//! Input: a walked stack and the target's names. Output: calls, innermost first, inlined ones expanded, each marked as
//! the program's own or the runtime's. A static executable holds its C library itself, so modules do not suffice: names
//! reserved for the implementation and the entry points of the C library count as the runtime's too.

use std::sync::Arc;

use crate::model::{Addr, FrameKind, Stack};
use crate::target::Target;

use super::runtime_code::{is_runtime_function, is_runtime_module, is_system_header};

/// A function that a thread is in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Full demangled name; `None` when no symbol covers the address.
    pub(super) name: Option<Arc<str>>,
    /// Index of the module among the target's; `None` outside all modules.
    pub(super) module: Option<usize>,
    /// Start of the physical function; `None` for inlined calls and unnamed ones.
    pub(super) start: Option<Addr>,
    /// Whether it belongs to the C library, the language's runtime or its standard library, and not to the program.
    pub(super) runtime: bool,
}

/// The calls of one thread: some of the innermost and some of the outermost ones, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// Innermost first.
    pub(super) inner: Vec<Call>,
    /// Outermost first. Overlaps `inner` in a short stack.
    pub(super) outer: Vec<Call>,
}

/// Physical frames that are named at each end of a stack: libraries between a lock and its caller are shallower.
const NAMED_FRAMES: usize = 40;

impl Calls {
    /// Names both ends of a stack. Names are memoised by the target. `libc_in_executable`: the C library is no module.
    pub(super) fn of(target: &Target, stack: &Stack, libc_in_executable: bool) -> Calls {
        let mut inner = Vec::new();
        for frame in 0..stack.frames.len().min(NAMED_FRAMES) {
            name_frame(target, stack, frame, libc_in_executable, &mut inner);
        }
        let mut outer = Vec::new();
        for frame in (0..stack.frames.len()).rev().take(NAMED_FRAMES) {
            let at = outer.len();
            name_frame(target, stack, frame, libc_in_executable, &mut outer);
            if let Some(added) = outer.get_mut(at..) {
                added.reverse();
            }
        }
        Calls { inner, outer }
    }

    /// The innermost calls up to the program's own code.
    pub(super) fn in_runtime(&self) -> impl Iterator<Item = &Call> {
        self.inner.iter().take_while(|call| call.runtime)
    }

    /// The innermost call of the program's own code.
    pub(super) fn top(&self) -> Option<&Call> {
        self.inner.iter().find(|call| !call.runtime && call.name.is_some())
    }

    /// Whether any call that the thread waits in has a name: if so, no matching name means a different function.
    pub(super) fn are_named(&self) -> bool {
        self.in_runtime().any(|call| call.name.is_some())
    }
}

fn name_frame(target: &Target, stack: &Stack, index: usize, libc_in_executable: bool, calls: &mut Vec<Call>) {
    let Some(frame) = stack.frames.get(index) else { return };
    if frame.kind == FrameKind::Signal {
        calls.push(Call { name: None, module: None, start: None, runtime: true });
        return;
    }
    let name = target.name(frame.lookup());
    let module = name.as_ref().map(|name| name.module);
    let library = module.and_then(|index| target.modules.get(index)).is_some_and(is_runtime_module);
    let parts = name.as_ref().map(|name| name.parts.as_slice()).unwrap_or_default();
    if parts.is_empty() {
        calls.push(Call { name: None, module, start: None, runtime: library });
    }
    for part in parts {
        let runtime = library
            || part.file.as_deref().is_some_and(is_system_header)
            || part.function.as_deref().is_some_and(|name| is_runtime_function(name, libc_in_executable));
        calls.push(Call { name: part.function.clone(), module, start: part.start, runtime });
    }
}
