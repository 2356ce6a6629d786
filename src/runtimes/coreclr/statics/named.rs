//! Static fields that refer to objects.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::Addr;
use crate::runtimes::coreclr::unread::Unread;

/// A static field that refers to an object.
#[derive(Clone, Debug)]
pub(in crate::runtimes::coreclr) struct Static {
    /// `Shop.Program.s_orders`.
    pub(in crate::runtimes::coreclr) name: Arc<str>,
    /// Where it is.
    pub(in crate::runtimes::coreclr) slot: Addr,
    /// Whether its class can be unloaded: then it holds the object only while something keeps the class.
    pub(in crate::runtimes::coreclr) is_unloadable: bool,
    /// The object; of a structure what it is boxed in.
    pub(in crate::runtimes::coreclr) to: Addr,
}

/// All of them.
#[derive(Debug)]
pub(in crate::runtimes::coreclr) struct Statics {
    /// Class by class.
    pub(in crate::runtimes::coreclr) all: Arc<[Static]>,
    by_slot: FxHashMap<Addr, usize>,
    /// Classes of which some may be missing.
    pub(in crate::runtimes::coreclr) unread: Unread,
}

impl Statics {
    pub(super) fn of(all: Vec<Static>, unread: Unread) -> Statics {
        let by_slot = all.iter().map(|known| known.slot).zip(0..).collect();
        Statics { all: all.into(), by_slot, unread }
    }

    /// The field at an address.
    pub(in crate::runtimes::coreclr) fn at(&self, slot: Addr) -> Option<&Static> {
        self.all.get(*self.by_slot.get(&slot)?)
    }
}
