//! How much is kept of the stacks of one target: frames, and the registers that were recovered in them.
//!
//! A hostile dump can have 100,000 threads on one deep stack, and rules that recover every register in every frame.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Frames of one stack at most: as many as the usual limit of 8 MiB holds of the smallest that compilers make (return address and saved
/// frame pointer: 16 bytes), so that an overflow is shown down to what began it.
const MAX_FRAMES: usize = 530_000;
/// Frames of one stack that are kept whatever the others take.
const SURE_FRAMES: usize = 32;
/// Frames of one stack before it counts as deep. The deep ones share a room of their own, so that an overflow takes none from the others.
const NEAR_FRAMES: usize = 1_000;
/// Frames of all stacks between those two limits: 4,000 threads with a thousand each.
const MAX_NEAR: usize = 4_000_000;
/// Frames of all stacks beyond both.
const MAX_DEEP: usize = 2_000_000;
/// Values of registers that a frame may bring along: as many as functions of x86-64 preserve. With them a frame takes 100 bytes.
const VALUES: usize = 6;

/// What the stacks of one target may still take.
#[derive(Debug)]
pub(super) struct Room {
    near: AtomicUsize,
    deep: AtomicUsize,
}

impl Default for Room {
    fn default() -> Room {
        Room::of(MAX_NEAR, MAX_DEEP)
    }
}

impl Room {
    /// Room for so many frames beyond the sure ones, and for so many in deep stacks.
    pub(super) fn of(near: usize, deep: usize) -> Room {
        Room { near: AtomicUsize::new(near), deep: AtomicUsize::new(deep) }
    }

    /// Whether a stack may have one frame more; takes the room for it. `taken` is what the stack has so far, `frames` how many and
    /// `values` how many registers recovered in them.
    pub(super) fn may_grow(&self, taken: &mut usize, frames: usize, values: usize) -> bool {
        let wanted = frames.saturating_add(1).max(values.div_ceil(VALUES));
        if wanted > MAX_FRAMES {
            return false;
        }
        let between = |low: usize, high: usize| wanted.min(high).saturating_sub((*taken).max(low));
        let granted =
            take(&self.near, between(SURE_FRAMES, NEAR_FRAMES)) && take(&self.deep, between(NEAR_FRAMES, MAX_FRAMES));
        *taken = wanted.max(*taken);
        granted
    }
}

/// Takes an amount; `false` where there is not so much.
fn take(from: &AtomicUsize, amount: usize) -> bool {
    let less = |left: usize| left.checked_sub(amount);
    amount == 0 || from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a stack of which each brings so many values.
    fn frames(room: &Room, values: usize) -> usize {
        let mut taken = 0;
        (0..MAX_FRAMES + 1).take_while(|frames| room.may_grow(&mut taken, *frames, frames * values)).count()
    }

    #[test]
    fn a_stack_has_its_first_frames_and_what_the_others_left() {
        let room = Room::of(1_500, 50);
        assert_eq!(frames(&room, 6), 1_050, "968 of the near ones and all of the deep ones");
        assert_eq!(frames(&room, 0), 32 + 532, "what is left of the near ones");
        assert_eq!(frames(&room, 0), 32);
        assert_eq!(frames(&room, 6), 32);
    }

    #[test]
    fn an_overflow_takes_nothing_from_the_others() {
        let room = Room::of(2_000, MAX_DEEP);
        assert_eq!(frames(&room, 6), 530_000, "8 MiB in pieces of 16 bytes are 524,288");
        assert_eq!(frames(&room, 6), 530_000);
        assert_eq!(frames(&room, 6), 32 + 64, "2,000 - 2 × 968");
    }

    #[test]
    fn registers_beyond_six_a_frame_count_as_frames() {
        assert_eq!(
            frames(&Room::of(0, 0), 60),
            4,
            "3 × 60 values before the fourth fit in 32 × 6 = 192, 4 × 60 do not"
        );
        assert_eq!(frames(&Room::of(0, 0), 7), 28, "27 × 7 fit, 28 × 7 do not");
    }
}
