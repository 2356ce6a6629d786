//! A thread's stack by names, and which of them belong to the C library and the language's runtime.
//!
//! Input: a walked stack and the target's names. Output: calls, innermost first, inlined ones expanded, each marked as
//! the program's own or the runtime's. A static executable holds its C library itself, so modules do not suffice: names
//! reserved for the implementation and the entry points of the C library count as the runtime's too.

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use crate::marks::code::{is_runtime_function, is_system_header};
use crate::model::{Addr, Frame, FrameKind, Stack};
use crate::target::{Module, NamedPart, Target};

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

/// The calls at both ends of one thread's stack, each up to the program's own code.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    /// Innermost first: those of the runtime, and the innermost frame with a call of the program's own.
    pub(super) inner: Vec<Call>,
    /// Outermost first: those of the runtime, and the outermost [`OWN_OUTER`] frames with calls of the program's own.
    pub(super) outer: Vec<Call>,
}

/// Frames that are looked at from each end: libraries between a lock and its caller, or between a thread's start and the
/// program's function, are shallower.
const MAX_FRAMES: usize = 40;
/// Frames that are named where a whole stack is asked for.
const MAX_WHOLE: usize = 256;
/// musl's own first function looks like the program's, so one more is kept.
const OWN_OUTER: usize = 2;

/// Names frames; remembers what it named, for threads share most of their frames.
pub(super) struct Namer<'a> {
    target: &'a Target,
    libc_in_executable: bool,
    named: RwLock<FxHashMap<Addr, Arc<[Call]>>>,
}

impl<'a> Namer<'a> {
    /// `libc_in_executable`: the C library is no module of its own.
    pub(super) fn new(target: &'a Target, libc_in_executable: bool) -> Namer<'a> {
        Namer { target, libc_in_executable, named: RwLock::default() }
    }

    /// The calls of one frame, innermost first.
    pub(super) fn calls(&self, frame: &Frame) -> Arc<[Call]> {
        if frame.kind == FrameKind::Signal {
            return Arc::new([Call { name: None, module: None, start: None, runtime: true }]);
        }
        let lookup = frame.lookup();
        if let Some(known) = self.named.read().unwrap_or_else(PoisonError::into_inner).get(&lookup) {
            return Arc::clone(known);
        }
        let calls: Arc<[Call]> = self.name(lookup).into();
        self.named.write().unwrap_or_else(PoisonError::into_inner).insert(lookup, Arc::clone(&calls));
        calls
    }

    fn name(&self, lookup: Addr) -> Vec<Call> {
        let name = self.target.name(lookup);
        let module = name.as_ref().map(|name| name.module);
        let library = module.and_then(|index| self.target.modules.get(index)).is_some_and(Module::is_runtime);
        let parts = name.as_ref().map(|name| name.parts.as_slice()).unwrap_or_default();
        if parts.is_empty() {
            return vec![Call { name: None, module, start: None, runtime: library }];
        }
        let runtime = |part: &NamedPart| {
            library
                || part.file.as_deref().is_some_and(is_system_header)
                || part.function.as_deref().is_some_and(|name| is_runtime_function(name, self.libc_in_executable))
        };
        let call =
            |part: &NamedPart| Call { name: part.function.clone(), module, start: part.start, runtime: runtime(part) };
        parts.iter().map(call).collect()
    }
}

impl Calls {
    /// Names both ends of a stack.
    pub(super) fn of(namer: &Namer<'_>, stack: &Stack) -> Calls {
        let mut inner = Vec::new();
        for frame in stack.frames.iter().take(MAX_FRAMES) {
            let calls = namer.calls(frame);
            inner.extend_from_slice(&calls);
            if calls.iter().any(Call::is_own) {
                break;
            }
        }
        let mut outer = Vec::new();
        let mut own = 0;
        for frame in stack.frames.iter().rev().take(MAX_FRAMES) {
            let calls = namer.calls(frame);
            own += usize::from(calls.iter().any(Call::is_own));
            outer.extend(calls.iter().rev().cloned());
            if own >= OWN_OUTER {
                break;
            }
        }
        Calls { inner, outer }
    }

    /// The calls of a whole stack, innermost first; of the innermost [`MAX_WHOLE`] frames.
    pub(super) fn whole(namer: &Namer<'_>, stack: &Stack) -> Vec<Call> {
        stack.frames.iter().take(MAX_WHOLE).flat_map(|frame| namer.calls(frame).to_vec()).collect()
    }

    /// The innermost calls up to the program's own code.
    pub(super) fn in_runtime(&self) -> impl Iterator<Item = &Call> {
        self.inner.iter().take_while(|call| call.runtime)
    }

    /// The innermost call of the program's own code.
    pub(super) fn top(&self) -> Option<&Call> {
        self.inner.iter().find(|call| call.is_own())
    }

    /// Whether any call that the thread waits in has a name: if so, no matching name means a different function.
    pub(super) fn are_named(&self) -> bool {
        self.in_runtime().any(|call| call.name.is_some())
    }
}

impl Call {
    fn is_own(&self) -> bool {
        !self.runtime && self.name.is_some()
    }
}
