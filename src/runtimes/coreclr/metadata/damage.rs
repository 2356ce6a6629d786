//! What is said of metadata that contradicts itself.

use crate::model::Gap;

pub(super) fn corrupt(what: &str) -> Gap {
    Gap::Corrupt(format!("metadata: {what}"))
}
