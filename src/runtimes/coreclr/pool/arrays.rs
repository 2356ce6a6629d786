//! The objects that an array refers to.

use crate::model::{Gap, Known};
use crate::runtimes::coreclr::objects::Instance;

/// Most elements: threads with queues of their own.
const MAX_ELEMENTS: u32 = 1 << 16;

/// What the elements of an array refer to, each for itself; of an array that cannot be read, or has more elements than that, one that says so.
pub(super) fn within(array: Known<Option<Instance<'_>>>) -> Vec<Known<Option<Instance<'_>>>> {
    let (array, count) = match array.and_then(|array| array.map(|array| Ok((array.len()?, array))).transpose()) {
        Ok(None) => return Vec::new(),
        Ok(Some((count, array))) => (array, count),
        Err(gap) => return vec![Err(gap)],
    };
    let one = |index| array.types.referred(array.element(index)?);
    let more = (count > MAX_ELEMENTS).then(|| Err(Gap::Unsupported(format!("an array of {count} elements"))));
    (0..count.min(MAX_ELEMENTS)).map(one).chain(more).collect()
}
