//! What is known of an address in a method's code.

use crate::model::Addr;

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
