//! What the objects of a heap refer to, and what follows from it: what is reachable and what is leaked, what keeps an
//! object alive, and how much it keeps alive itself.
//!
//! All of it counts in [`crate::heap::ObjectId`]s, and holds arrays of `u32`: a heap of twenty million objects fits.

mod classes;
mod csr;
mod dominators;
mod holders;
mod leaks;
mod nearest;
mod numbering;
mod offsets;
mod paths;
mod reachable;
mod retained;
mod set;

pub use classes::retained_by_classes;
pub use csr::Graph;
pub use dominators::Dominators;
pub use holders::Holder;
pub use leaks::{Head, Leaks};
pub use nearest::Nearest;
pub use paths::{Path, paths, referrers, way};
pub use reachable::{Reach, Reachable, reach};
pub use set::ObjectSet;

#[cfg(test)]
mod tests;
