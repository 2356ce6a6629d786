//! What is known of an address in a runtime's code.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::budget::Budget;
use super::super::memo::Memo;
use super::unwind_info::UnwindInfo;
use crate::model::{Addr, Known};

/// Managed code at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Place {
    /// Its `MethodDesc`; 0 where that is not known.
    pub(in crate::runtimes::coreclr) method: Addr,
    /// The first address of the method.
    pub(in crate::runtimes::coreclr) start: Addr,
    /// The first address of the function, which is a funclet where it is not the method's first.
    pub(in crate::runtimes::coreclr) function: Addr,
    /// Its `UNWIND_INFO`.
    pub(in crate::runtimes::coreclr) unwind: Addr,
    /// Who compiled it.
    pub(in crate::runtimes::coreclr) compiled: Compiled,
}

/// Which compiler made a method's code, and where what it left of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Compiled {
    /// The JIT, at run time.
    Jitted {
        /// The method's `RealCodeHeader`.
        header: Addr,
    },
    /// The ReadyToRun compiler, beforehand.
    ReadyToRun {
        /// Where addresses in the image count from.
        image: Addr,
        /// The image's `ReadyToRunInfo`.
        info: Addr,
        /// The index of the method's first function.
        function: u32,
    },
}

/// A runtime's code at an address: a method, or a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Code {
    /// A method.
    Method(Place),
    /// A piece of code that the runtime made for itself: what it is.
    Stub(&'static str),
}

/// A function of the runtime's library whose callers its tables tell wrongly or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helper {
    /// `OnHijackTripThread`, from `start` on; it pushes so many registers, and makes room for so many bytes.
    Hijack { start: Addr, pushed: u64, room: u64 },
    /// The entry of the signal handler's worker; the interrupted code's stack pointer is so far above its own.
    Worker { below: u64 },
}

/// The kernel's signal frames, by the instruction pointer and frame pointer that they hold.
pub(super) type SignalFrames = FxHashMap<(Addr, u64), Vec<Addr>>;

/// What is known of places in a runtime's code: a full stack stands at one of them a hundred thousand times.
pub(in crate::runtimes::coreclr) struct Places {
    pub(super) code: Memo<Addr, Known<Option<Code>>>,
    pub(super) unwind: Memo<Addr, Option<Arc<UnwindInfo>>>,
    pub(super) helpers: Memo<Addr, Option<Helper>>,
    pub(super) interrupted: Memo<(), Arc<SignalFrames>>,
    /// Return addresses that were replaced, by the word of the stack that each belongs into.
    pub(super) replaced: Memo<(), Arc<FxHashMap<Addr, Addr>>>,
    /// Bytes of what the compilers left for debuggers.
    pub(in crate::runtimes::coreclr) debug_info: Budget,
}

impl Default for Places {
    fn default() -> Places {
        /// Most places that are kept.
        const MAX: usize = 1 << 18;
        /// That of a program of 50,000 methods, each asked for once, has 10 MB.
        const MAX_DEBUG_INFO: u64 = 1 << 30;
        Places {
            code: Memo::of(MAX),
            unwind: Memo::of(MAX),
            helpers: Memo::of(MAX),
            interrupted: Memo::of(1),
            replaced: Memo::of(1),
            debug_info: Budget::of(MAX_DEBUG_INFO, "bytes for debuggers of methods"),
        }
    }
}
