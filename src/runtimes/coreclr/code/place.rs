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
}
