//! Which threads moved between captures of one live process, and how long the others have been where they are.
//!
//! A thread stayed when its whole stack is the same, address for address: a thread that came back to the same place in a loop
//! has moved unless every frame of it lies where it lay. That is evidence of being stuck, not proof; CPU time tells the rest.

use rustc_hash::FxHashMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Addr, Stack, Tid};

/// What a thread did since the capture before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Moved {
    /// It was not there, or this is the first capture.
    New,
    /// Its stack is the same from end to end.
    Stayed,
    /// It is elsewhere.
    Moved,
}

/// One thread over the captures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Motion {
    /// OS id.
    pub tid: Tid,
    /// Since the capture before.
    pub moved: Moved,
    /// Milliseconds from the first capture that found this very stack to the last; 0 where it moved.
    pub still_ms: u64,
    /// Captures in a row that found it, this one included.
    pub captures: usize,
    /// Outermost frames that are as they were in the capture before: how far in it moved.
    pub shared_frames: usize,
}

/// What the captures of one process so far say of its threads.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// How many captures.
    pub captures: usize,
    /// Each thread of the last one, in its order.
    pub threads: Vec<Motion>,
    /// Threads of the one before that are gone.
    pub ended: Vec<Tid>,
    /// When it was taken, in milliseconds after the first one.
    now_ms: u64,
    places: FxHashMap<Tid, Place>,
}

/// Where a thread was, since when.
#[derive(Clone, Debug)]
struct Place {
    /// Address and stack pointer of each frame, innermost first.
    frames: Vec<(Addr, Addr)>,
    since_ms: u64,
    captures: usize,
}

impl History {
    /// One more capture with the threads' stacks, taken `passed_ms` milliseconds after this one.
    pub fn after<'a>(&self, passed_ms: u64, stacks: impl IntoIterator<Item = (Tid, &'a Stack)>) -> History {
        let now_ms = self.now_ms.saturating_add(passed_ms);
        let mut next = History { captures: self.captures.saturating_add(1), now_ms, ..History::default() };
        for (tid, stack) in stacks {
            let frames: Vec<(Addr, Addr)> = stack.frames.iter().map(|frame| (frame.pc, frame.sp)).collect();
            let before = self.places.get(&tid);
            let shared_frames = before.map_or(0, |before| shared(&before.frames, &frames));
            // An empty stack is one that could not be walked: nothing says that it is the same.
            let stayed = before.filter(|before| before.frames == frames && !frames.is_empty());
            let moved = match (before, stayed) {
                (None, _) => Moved::New,
                (Some(_), Some(_)) => Moved::Stayed,
                (Some(_), None) => Moved::Moved,
            };
            let since_ms = stayed.map_or(now_ms, |before| before.since_ms);
            let captures = stayed.map_or(1, |before| before.captures.saturating_add(1));
            let still_ms = now_ms.saturating_sub(since_ms);
            next.threads.push(Motion { tid, moved, still_ms, captures, shared_frames });
            next.places.insert(tid, Place { frames, since_ms, captures });
        }
        next.ended =
            self.threads.iter().map(|thread| thread.tid).filter(|tid| !next.places.contains_key(tid)).collect();
        next
    }

    /// How many threads are where they were in the capture before, and how many of those that were there moved.
    pub fn counts(&self) -> (usize, usize) {
        let count = |moved| self.threads.iter().filter(|thread| thread.moved == moved).count();
        (count(Moved::Stayed), count(Moved::Moved))
    }
}

/// Outermost frames that two stacks have in common.
fn shared(before: &[(Addr, Addr)], now: &[(Addr, Addr)]) -> usize {
    before.iter().rev().zip(now.iter().rev()).take_while(|(before, now)| before == now).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{End, Frame, FrameKind, Trust};

    /// A stack of (pc, sp) pairs, innermost first.
    fn stack(frames: &[(u64, u64)]) -> Stack {
        let frame = |(pc, sp): &(u64, u64)| Frame {
            pc: Addr(*pc),
            returns: false,
            sp: Addr(*sp),
            cfa: None,
            kind: FrameKind::Native,
            trust: Trust::Cfi,
        };
        Stack::without_registers(frames.iter().map(frame).collect(), End::Bottom)
    }

    fn seen(history: &History) -> Vec<(u32, Moved, u64, usize, usize)> {
        let thread =
            |thread: &Motion| (thread.tid.0, thread.moved, thread.still_ms, thread.captures, thread.shared_frames);
        history.threads.iter().map(thread).collect()
    }

    #[test]
    fn a_thread_is_stuck_since_the_first_capture_that_found_its_stack() {
        let (stuck, other) = (stack(&[(1, 10), (2, 20)]), stack(&[(3, 10), (2, 20)]));
        let first = History::default().after(0, [(Tid(7), &stuck), (Tid(8), &stuck)]);
        assert_eq!(seen(&first), [(7, Moved::New, 0, 1, 0), (8, Moved::New, 0, 1, 0)]);
        let second = first.after(3_000, [(Tid(7), &stuck), (Tid(8), &other)]);
        assert_eq!(seen(&second), [(7, Moved::Stayed, 3_000, 2, 2), (8, Moved::Moved, 0, 1, 1)]);
        assert_eq!(second.counts(), (1, 1));
        let third = second.after(5_000, [(Tid(7), &stuck), (Tid(9), &other)]);
        assert_eq!(seen(&third), [(7, Moved::Stayed, 8_000, 3, 2), (9, Moved::New, 0, 1, 0)]);
        assert_eq!(third.ended, [Tid(8)]);
    }

    #[test]
    fn the_same_code_deeper_in_the_stack_has_moved() {
        let before = History::default().after(0, [(Tid(7), &stack(&[(1, 10), (2, 20)]))]);
        let after = before.after(5, [(Tid(7), &stack(&[(1, 5), (1, 10), (2, 20)]))]);
        assert_eq!(seen(&after), [(7, Moved::Moved, 0, 1, 2)]);
    }

    #[test]
    fn a_stack_that_cannot_be_walked_is_not_called_stuck() {
        let before = History::default().after(0, [(Tid(7), &stack(&[]))]);
        assert_eq!(seen(&before.after(5, [(Tid(7), &stack(&[]))])), [(7, Moved::Moved, 0, 1, 0)]);
    }
}
