//! What records hold that refers to objects.

use crate::model::Addr;

/// What a record holds that refers to objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) enum Shape {
    /// The arguments of a call: where a stub has saved them, and its record.
    Block {
        /// The `TransitionBlock`.
        block: Addr,
        /// The record.
        frame: Addr,
    },
    /// What native code of the runtime protects, in .NET 8 and 9.
    Helper,
    /// What a call has returned whose caller was stopped: the places of up to two references.
    Returned([Option<Addr>; 2]),
    /// The same, where what it returned is not known to be a reference.
    ReturnedUnknown,
    /// Nothing that is read here.
    Other,
}
