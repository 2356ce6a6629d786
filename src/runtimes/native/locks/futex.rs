//! A futex wait that no other family recognises: the word itself is shown, without an owner.

use crate::model::{Gap, Owner};

use super::kinds;
use super::observation::{Observation, Waiter};
use crate::runtimes::native::observations::Observations;

/// Accepts any wait.
pub(super) fn waited(_: &Observations<'_>, waiter: &Waiter<'_>) -> Option<Observation> {
    let gap = Gap::NotRecorded("a futex word without a structure that is known".to_owned());
    Some(Observation::waited(kinds::FUTEX, waiter.futex.word, Owner::Unknown(gap)))
}
