//! One reference from outside of the heap.

use crate::heap::Root;
use crate::model::Addr;

/// A reference from outside of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtimes::coreclr) struct Held {
    /// What holds it.
    pub(in crate::runtimes::coreclr) root: Root,
    /// The object, or a place within it.
    pub(in crate::runtimes::coreclr) object: Addr,
}
