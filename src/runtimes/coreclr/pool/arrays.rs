//! The objects that an array refers to.

use crate::model::Known;
use crate::runtimes::coreclr::objects::Instance;

/// Most threads with queues of their own.
const MAX_QUEUES: u32 = 1 << 16;

/// The objects that an array refers to.
pub(super) fn each(array: &Instance<'_>, mut visit: impl FnMut(&Instance<'_>) -> Known<()>) -> Known<()> {
    for index in 0..array.len()?.min(MAX_QUEUES) {
        if let Some(object) = array.types.referred(array.element(index)?)? {
            visit(&object)?;
        }
    }
    Ok(())
}
