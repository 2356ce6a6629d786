//! Whether somebody may cancel a task before it has begun.
//!
//! Input: a task. Output: whether a `CancellationToken` calls it back. Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/
//! System/Threading/Tasks/Task.cs, AssignCancellationToken and ContingentProperties, of 8.0 to 10.0: a task that has code of its own registers with the
//! token that it was given, but for one that `Task.Run` queued, and one that was made with `LazyCancellation`; these end with their code.

use crate::model::{Addr, Known};
use crate::runtimes::coreclr::types::Types;

/// Whether a token may end a task that has not begun. Fails where that cannot be read.
pub(super) fn may_be_cancelled(types: Types<'_>, task: Addr) -> Known<bool> {
    match types.object(task)?.reference("m_contingentProperties")? {
        Some(rest) => Ok(rest.reference("m_cancellationRegistration")?.is_some()),
        None => Ok(false),
    }
}
