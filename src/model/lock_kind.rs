//! What a lock is, in the words of the runtime that has it. The set is open: each runtime defines its own kinds beside the code that
//! reads them, and nothing else lists them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::nature::Nature;

/// A kind of lock. Two are the same if all that is said of them is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LockKind {
    /// The word for scripts, in kebab-case: `rust-mutex`. No two kinds have the same.
    pub word: &'static str,
    /// In words, for a person: `recursive mutex`, `Rust Mutex`.
    pub words: &'static str,
    /// What it is among the locks of all runtimes.
    pub family: LockFamily,
    /// What has to happen for a wait of this kind to end. [`Nature::Lock`] is what somebody owns: where its owner is not known,
    /// something is missing.
    pub nature: Nature,
}

/// What a lock is among the locks of all runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LockFamily {
    /// One thread at a time holds it: a mutex, a monitor.
    Mutex,
    /// Several threads hold it for reading, or one for writing.
    Rwlock,
    /// Its waiters wait for somebody to say that something has changed.
    Condvar,
    /// It counts what may be taken.
    Semaphore,
    /// Its waiters wait until as many have come as it counts.
    Barrier,
    /// Its holder initialises what it guards, once.
    Once,
    /// It stands for the end of a thread.
    Join,
    /// Its waiter waits until somebody wakes this very thread.
    Park,
    /// A value that somebody has to set: a future, an atomic variable.
    Value,
    /// A word of memory that nothing explains.
    Word,
}

impl LockKind {
    /// Whether a thread can own it, so that an owner that is not known is missing.
    pub const fn is_owned(self) -> bool {
        matches!(self.nature, Nature::Lock)
    }

    /// Whether it stands for a thread's end.
    pub const fn is_join(self) -> bool {
        matches!(self.family, LockFamily::Join)
    }
}

impl Serialize for LockKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word)
    }
}

impl JsonSchema for LockKind {
    fn schema_name() -> Cow<'static, str> {
        "LockKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "What a lock is, in the word of the runtime that has it. Others may come; `family` tells what it is among all.",
            "examples": ["mutex", "rwlock", "condvar", "semaphore", "join", "rust-mutex", "parking-lot-rwlock", "futex"],
        })
    }
}
