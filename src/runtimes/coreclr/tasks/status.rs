//! The state word of a task: `Task.m_stateFlags`.
//!
//! Specification: dotnet/runtime src/libraries/System.Private.CoreLib/src/System/Threading/Tasks/Task.cs, enum TaskStateFlags and the
//! property Status; the same in 8, 9 and 10.

const CONTINUATION: u32 = 0x200;
const STARTED: u32 = 0x1_0000;
const DELEGATE_INVOKED: u32 = 0x2_0000;
const FAULTED: u32 = 0x20_0000;
const CANCELED: u32 = 0x40_0000;
const WAITING_ON_CHILDREN: u32 = 0x80_0000;
const RAN_TO_COMPLETION: u32 = 0x100_0000;
const WAITING_FOR_ACTIVATION: u32 = 0x200_0000;

/// Bits in words: options that a task was made with, then states.
// Source: TaskCreationOptions.cs, InternalTaskOptions and TaskStateFlags of Task.cs.
const NAMES: [(u32, &str); 25] = [
    (0x1, "PreferFairness"),
    (0x2, "LongRunning"),
    (0x4, "AttachedToParent"),
    (0x8, "DenyChildAttach"),
    (0x10, "HideScheduler"),
    (0x40, "RunContinuationsAsynchronously"),
    (CONTINUATION, "ContinuationTask"),
    (0x400, "PromiseTask"),
    (0x1000, "LazyCancellation"),
    (0x2000, "QueuedByRuntime"),
    (0x4000, "DoNotDispose"),
    (STARTED, "Started"),
    (DELEGATE_INVOKED, "DelegateInvoked"),
    (0x4_0000, "Disposed"),
    (0x8_0000, "ExceptionObservedByParent"),
    (0x10_0000, "CancellationAcknowledged"),
    (FAULTED, "Faulted"),
    (CANCELED, "Canceled"),
    (WAITING_ON_CHILDREN, "WaitingOnChildren"),
    (RAN_TO_COMPLETION, "RanToCompletion"),
    (WAITING_FOR_ACTIVATION, "WaitingForActivation"),
    (0x400_0000, "CompletionReserved"),
    (0x1000_0000, "WaitCompletionNotification"),
    (0x2000_0000, "ExecutionContextIsNull"),
    (0x4000_0000, "TaskScheduledWasFired"),
];

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

    /// Whether it goes on with another task.
    pub fn is_continuation(self) -> bool {
        self.0 & CONTINUATION != 0
    }

    /// Whether a thread is in its code.
    pub fn is_running(self) -> bool {
        !self.is_completed() && self.0 & DELEGATE_INVOKED != 0
    }

    /// Whether it has code that is in a scheduler's queue.
    pub fn is_queued(self) -> bool {
        self.name() == "WaitingToRun"
    }

    /// The names of its bits, the lowest first; of bits without one their number.
    pub fn words(self) -> Vec<String> {
        let named = NAMES.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| (*name).to_owned());
        let rest = NAMES.iter().fold(self.0, |rest, (bit, _)| rest & !bit);
        named.chain((rest != 0).then(|| format!("{rest:#x}"))).collect()
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
        assert_eq!(Status(0x200_0400).words(), ["PromiseTask", "WaitingForActivation"]);
        assert_eq!(Status(0x8000_8000).words(), ["0x80008000"]);
        assert!(Status(0x3_0000).is_running() && !Status(0x103_0000).is_running());
        assert!(Status(0x200_0200).is_continuation() && !Status(0x200_0400).is_continuation());
        assert!(Status(0x20_0000).is_completed() && !Status(0x200_0000).is_completed());
    }
}
