//! Tasks: what has become of them.

use super::Instance;
use crate::model::Known;

// Bits of `Task.m_stateFlags`. Source: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/Tasks/Task.cs, enum TaskStateFlags.
const STARTED: u32 = 0x1_0000;
const DELEGATE_INVOKED: u32 = 0x2_0000;
const FAULTED: u32 = 0x20_0000;
const CANCELED: u32 = 0x40_0000;
const WAITING_ON_CHILDREN: u32 = 0x80_0000;
const RAN_TO_COMPLETION: u32 = 0x100_0000;
const WAITING_FOR_ACTIVATION: u32 = 0x200_0000;

impl Instance<'_> {
    /// `Task.Status` by its name.
    pub(in crate::runtimes::coreclr) fn task_status(&self) -> Known<&'static str> {
        self.u32("m_stateFlags").map(status)
    }
}

/// Source: Task.cs, Task.Status.
fn status(flags: u32) -> &'static str {
    let is = |bit: u32| flags & bit != 0;
    match () {
        () if is(FAULTED) => "Faulted",
        () if is(CANCELED) => "Canceled",
        () if is(RAN_TO_COMPLETION) => "RanToCompletion",
        () if is(WAITING_ON_CHILDREN) => "WaitingForChildrenToComplete",
        () if is(DELEGATE_INVOKED) => "Running",
        () if is(STARTED) => "WaitingToRun",
        () if is(WAITING_FOR_ACTIVATION) => "WaitingForActivation",
        () => "Created",
    }
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn a_task_has_the_status_that_its_flags_say() {
        // Task.cs: TASK_STATE_COMPLETED_MASK and the words of Task.Status.
        assert_eq!(status(0), "Created");
        assert_eq!(status(WAITING), "WaitingForActivation");
        assert_eq!(status(0x100_0000 | WAITING), "RanToCompletion");
        assert_eq!(status(0x20_0000 | 0x3_0000), "Faulted");
        assert_eq!((status(0x40_0000), status(0x3_0000), status(0x1_0000)), ("Canceled", "Running", "WaitingToRun"));
    }

    const WAITING: u32 = 0x200_0000;
}
