//! An object as a walk over the heap meets it.

use crate::model::Addr;

/// An object as a walk meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Walked {
    /// Where it is.
    pub(in crate::runtimes::coreclr) at: Addr,
    /// Its `MethodTable`.
    pub(in crate::runtimes::coreclr) table: Addr,
    /// Its bytes, as the runtime counts them: not rounded.
    pub(in crate::runtimes::coreclr) bytes: u64,
}
