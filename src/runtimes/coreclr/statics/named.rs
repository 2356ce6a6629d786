//! A static field that refers to an object.

use std::sync::Arc;

use crate::model::Addr;

/// A static field that refers to an object.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Static {
    /// `Shop.Program.s_orders`.
    pub(in crate::runtimes::coreclr) name: Arc<str>,
    /// Where it is.
    pub(in crate::runtimes::coreclr) slot: Addr,
    /// The object; of a structure what it is boxed in.
    pub(in crate::runtimes::coreclr) to: Addr,
}
