//! What records hold that refers to objects.

use crate::model::Addr;

/// What a record holds that refers to objects.
#[derive(Clone, Copy, Debug)]
pub(in crate::runtimes::coreclr) enum Shape {
    /// The arguments of a call, where a stub has saved them.
    Block(Addr),
    /// What native code of the runtime protects, in .NET 8 and 9.
    Helper,
    /// Nothing that is read here.
    Other,
}
