//! What is known of an address in a method's code.

use std::sync::Arc;

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

/// What is known of places in a runtime's code: a full stack stands at one of them a hundred thousand times.
pub(in crate::runtimes::coreclr) struct Places {
    pub(super) code: Memo<Addr, Known<Option<Code>>>,
    pub(super) unwind: Memo<Addr, Option<Arc<UnwindInfo>>>,
}

impl Default for Places {
    fn default() -> Places {
        /// Most places that are kept.
        const MAX: usize = 1 << 18;
        Places { code: Memo::of(MAX), unwind: Memo::of(MAX) }
    }
}
