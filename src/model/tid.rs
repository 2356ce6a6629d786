//! The ids of threads.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// An OS thread id in the dump's own numbering (for a core taken from outside a container, the host's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Tid(pub u32);

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
