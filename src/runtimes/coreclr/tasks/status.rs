//! The state word of a task: `Task.m_stateFlags`.
//!
//! Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/Tasks/Task.cs, enum TaskStateFlags and the
//! property Status; the same in 8, 9 and 10.

const STARTED: u32 = 0x1_0000;
const DELEGATE_INVOKED: u32 = 0x2_0000;
const FAULTED: u32 = 0x20_0000;
const CANCELED: u32 = 0x40_0000;
const WAITING_ON_CHILDREN: u32 = 0x80_0000;
const RAN_TO_COMPLETION: u32 = 0x100_0000;
const WAITING_FOR_ACTIVATION: u32 = 0x200_0000;

/// What is known of a task's progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u32);

impl Status {
    /// Whether it has ended, in one way or another.
    pub fn is_completed(self) -> bool {
        self.0 & (FAULTED | CANCELED | RAN_TO_COMPLETION) != 0
    }

    /// Whether it ended with an exception.
    pub fn is_faulted(self) -> bool {
        self.0 & FAULTED != 0
    }

    /// Whether a thread is in its code.
    pub fn is_running(self) -> bool {
        !self.is_completed() && self.0 & DELEGATE_INVOKED != 0
    }

    /// Whether it has code that is in a scheduler's queue.
    pub fn is_queued(self) -> bool {
        self.name() == "WaitingToRun"
    }

    /// Its `TaskStatus`.
    pub fn name(self) -> &'static str {
        let has = |bit| self.0 & bit != 0;
        match () {
            () if has(FAULTED) => "Faulted",
            () if has(CANCELED) => "Canceled",
            () if has(RAN_TO_COMPLETION) => "RanToCompletion",
            () if has(WAITING_ON_CHILDREN) => "WaitingForChildrenToComplete",
            () if has(DELEGATE_INVOKED) => "Running",
            () if has(STARTED) => "WaitingToRun",
            () if has(WAITING_FOR_ACTIVATION) => "WaitingForActivation",
            () => "Created",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn a_state_word_tells_what_the_property_of_tasks_tells() {
        // Task.cs, the property Status, in its order; low bits are the options that the task was made with.
        let told = |word| Status(word).name();
        assert_eq!(told(0x200_0400), "WaitingForActivation");
        assert_eq!(told(0x1_0000), "WaitingToRun");
        assert_eq!(told(0x3_0000), "Running");
        assert_eq!(told(0x83_0000), "WaitingForChildrenToComplete");
        assert_eq!(told(0x100_0000), "RanToCompletion");
        assert_eq!(told(0x320_0000), "Faulted");
        assert_eq!(told(0x40_0000), "Canceled");
        assert_eq!(told(0), "Created");
        assert!(Status(0x3_0000).is_running() && !Status(0x103_0000).is_running());
        assert!(Status(0x20_0000).is_completed() && !Status(0x200_0000).is_completed());
    }
}
