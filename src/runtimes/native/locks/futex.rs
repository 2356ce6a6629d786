//! A futex wait that no other family recognises: the word itself is shown, without an owner.

use crate::model::{Gap, LockKind, Owner};

use super::{Sighting, Waiter};
use crate::runtimes::native::ground::Ground;

/// Accepts any wait.
pub(super) fn waited(_: &Ground<'_>, waiter: &Waiter<'_>) -> Option<Sighting> {
    let gap = Gap::NotRecorded("a futex word without a structure that is known".to_owned());
    Some(Sighting::waited(LockKind::Futex, waiter.futex.word, Owner::Unknown(gap)))
}
