//! What is said of it where it contradicts itself.

use crate::model::Gap;

pub(super) fn damaged() -> Gap {
    Gap::Corrupt("what a compiler of .NET left for debuggers".to_owned())
}
