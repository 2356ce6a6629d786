//! What may be told of exceptions in all: many of a broken dump may refer to one stack, one text, one another.

use super::super::budget::Budget;
use crate::model::{Known, Problem, Subject};

/// Most frames.
const MAX_FRAMES: u64 = 1 << 20;
/// Most exceptions that threads have in flight, with those inside of others.
const MAX_EXCEPTIONS: u64 = 1 << 16;
/// Most bytes of messages.
const MAX_TEXT: u64 = 256 << 20;
/// Most problems: each is held against those that are told.
const MAX_PROBLEMS: u64 = 4096;

/// What is left for exceptions that are told together.
pub(super) struct Room {
    /// Their frames.
    pub(super) frames: Budget,
    exceptions: Budget,
    text: Budget,
    problems: Budget,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            frames: Budget::of(MAX_FRAMES, "frames of all exceptions"),
            exceptions: Budget::of(MAX_EXCEPTIONS, "exceptions in flight and inside of others"),
            text: Budget::of(MAX_TEXT, "bytes of messages of exceptions"),
            problems: Budget::of(MAX_PROBLEMS, "problems"),
        }
    }
}

impl Room {
    /// Takes one for an exception that was not asked for by itself.
    pub(super) fn exception(&self) -> Known<()> {
        self.exceptions.take(1)
    }

    /// A message, where there is room for it.
    pub(super) fn message(&self, text: Option<String>) -> Known<Option<String>> {
        self.text.take(text.as_ref().map_or(0, |text| text.len() as u64))?;
        Ok(text)
    }

    /// Adds a problem to those that are told, once; of those that are too many that there are more.
    pub(super) fn tell(&self, told: &mut Vec<Problem>, problem: Problem) {
        let more =
            || Problem::new("exception-unread", Subject::Capture, "more of exceptions cannot be read than is told");
        let problem = if self.problems.take(1).is_ok() { problem } else { more() };
        Problem::join(told, [problem]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    #[test]
    fn what_is_too_much_is_left_out_and_said() {
        let room = Room {
            frames: Budget::of(0, "frames"),
            exceptions: Budget::of(1, "exceptions"),
            text: Budget::of(5, "bytes"),
            problems: Budget::of(1, "problems"),
        };
        assert!(room.exception().is_ok() && room.exception().is_err());
        assert_eq!(room.message(Some("four".to_owned())), Ok(Some("four".to_owned())));
        assert!(room.message(Some("more".to_owned())).is_err());
        assert_eq!(room.message(None), Ok(None), "for nothing there is always room");
        let mut told = Vec::new();
        for at in 0..3 {
            room.tell(&mut told, Problem::new("exception-unread", Subject::Memory(Addr(at)), "it cannot be read"));
        }
        let told: Vec<&str> = told.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(told, ["it cannot be read", "more of exceptions cannot be read than is told"]);
    }
}
