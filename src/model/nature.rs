//! What has to happen for a wait to end: of a lock, of a system call.

use schemars::JsonSchema;
use serde::Serialize;

/// What has to happen for a wait to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Nature {
    /// Work, input or a signal comes, or time passes: what a process without work waits for.
    Idle,
    /// Another thread ends.
    End,
    /// A child process ends or stops.
    Child,
    /// Somebody gives back what he holds.
    Lock,
    /// The thread's turn comes, where a runtime lets one run at a time: a GIL.
    Turn,
    /// Somebody takes what was written, or a disk does.
    Room,
    /// Somebody at another end answers: of a connection, of a FIFO.
    Answer,
    /// What would end it waits for this process, or is the waiting thread itself.
    Mutual,
    /// It is not known what.
    Unknown,
}
