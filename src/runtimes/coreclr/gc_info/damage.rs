//! What is said of it where it contradicts itself, and where it ends early.

use crate::model::Gap;

pub(super) fn damaged() -> Gap {
    Gap::Corrupt("GC info of a method".to_owned())
}

/// The bytes at hand end within it.
pub(super) fn cut() -> Gap {
    Gap::NotRecorded("the rest of a method's GC info".to_owned())
}
