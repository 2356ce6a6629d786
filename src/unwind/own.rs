//! Code that its runtime unwinds itself: made at run time, interpreted, or on a stack that no table describes.

use crate::model::{Addr, End, FrameKind, Registers, Trust};

use super::row::Caller;

/// Unwinds the code of one runtime by that runtime's own rule.
pub trait Unwind: Send + Sync {
    /// Whether code at an address is its own (of a return address, one byte before). Asked once for each place in the code, before call frame
    /// information is looked for.
    fn owns(&self, code: Addr) -> bool;

    /// What a frame in its own code is: but for helpers in its library, managed.
    fn kind(&self, _code: Addr) -> FrameKind {
        FrameKind::Managed
    }

    /// Who called a frame in its own code.
    fn step(&self, frame: &OwnFrame<'_>) -> Step;

    /// The next frame of its own code above a place of a stack, by what the runtime itself records of its calls into native code. Asked for native
    /// code that no table describes.
    fn beyond(&self, _sp: Addr) -> Option<Beyond> {
        None
    }
}

/// A frame that a runtime records.
#[derive(Clone, Debug)]
pub struct Beyond {
    /// Its registers, and its stack pointer.
    pub caller: Caller,
    /// How it was found.
    pub trust: Trust,
    /// Whether it stands behind a call; else it was interrupted.
    pub returns: bool,
}

/// A frame in a runtime's own code.
#[derive(Debug)]
pub struct OwnFrame<'a> {
    /// Its registers, as far as they are known.
    pub registers: &'a Registers,
    /// Its stack pointer.
    pub sp: Addr,
    /// Whether its instruction pointer is a return address.
    pub returns: bool,
}

/// What a runtime says of the caller.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is known.
    Caller {
        /// Its registers, and the frame's canonical frame address: the caller's stack pointer.
        caller: Caller,
        /// How it was found.
        trust: Trust,
        /// Whether it stands behind a call; else it was interrupted.
        returns: bool,
        /// Whether its stack may be another one, so that the stack pointer need not rise. Else it must, but where a
        /// function that uses no stack was interrupted.
        switches: bool,
    },
    /// There is none, or it is lost for this reason.
    End(End),
    /// The runtime cannot tell: the other methods are tried.
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::code::CodeMap;
    use super::super::room::Room;
    use super::super::scene::{CODE, STACK, target};
    use super::super::walk::Walk;
    use super::*;
    use crate::job::Job;
    use crate::model::{Arch, Register, Stack};

    const SP: Register = Arch::X86_64.stack_pointer();

    /// A runtime to which all code belongs.
    struct Rule<F>(F);

    impl<F: Fn(&OwnFrame<'_>) -> Step + Send + Sync> Unwind for Rule<F> {
        fn owns(&self, _: Addr) -> bool {
            true
        }

        fn step(&self, frame: &OwnFrame<'_>) -> Step {
            (self.0)(frame)
        }
    }

    /// A stack from [`STACK`] on, by such a rule.
    fn walk(room: Room, step: impl Fn(&OwnFrame<'_>) -> Step + Send + Sync + 'static) -> Stack {
        let mut code = CodeMap::new(target(Arch::X86_64, None, &[]), vec![Arc::new(Rule(step))]);
        code.room = room;
        let mut start = Registers::unknown(Arch::X86_64);
        start.set(SP, STACK);
        start.set(Arch::X86_64.instruction_pointer(), CODE);
        Walk::new(&code).run(&start, &Job::default())
    }

    /// The same code, with the frame address and the stack pointer so many bytes above the callee's.
    fn above(frame: &OwnFrame<'_>, cfa: i64, sp: i64) -> Caller {
        let mut registers = frame.registers.clone();
        registers.set(SP, frame.sp.0.wrapping_add_signed(sp));
        Caller { registers, cfa: Addr(frame.sp.0.wrapping_add_signed(cfa)) }
    }

    fn ended(stack: &Stack) -> (usize, End) {
        (stack.frames.len(), stack.end)
    }

    #[test]
    fn a_rule_that_stands_still_ends_the_walk() {
        let still = |returns, switches, cfa| {
            let step = move |frame: &OwnFrame<'_>| Step::Caller {
                caller: above(frame, cfa, 0),
                trust: Trust::Runtime,
                returns,
                switches,
            };
            ended(&walk(Room::default(), step))
        };
        assert_eq!(still(false, false, 0), (1, End::Loop), "what was interrupted has a stack of its own");
        assert_eq!(still(true, false, 0), (2, End::Loop), "a function without a stack was interrupted, and calls none");
        assert_eq!(still(false, true, 0), (2, End::Loop), "another stack, but not the same one again");
        assert_eq!(still(true, false, 16), (2, End::Loop), "the frame address rises alone");
        assert_eq!(still(false, false, 16), (1, End::Loop));
    }

    #[test]
    fn stacks_that_may_be_others_may_rise_as_often_as_they_like() {
        for returns in [false, true] {
            let stack = walk(Room::default(), move |frame| match frame.sp.0 {
                sp if sp >= STACK + 1_500 * 16 => Step::End(End::Bottom),
                _ => {
                    let caller = above(frame, 16, 16);
                    Step::Caller { caller, trust: Trust::Runtime, returns, switches: true }
                }
            });
            assert_eq!(ended(&stack), (1_501, End::Bottom));
        }
    }

    #[test]
    fn changes_to_lower_stacks_are_counted() {
        let stack = walk(Room::default(), |frame| Step::Caller {
            caller: above(frame, -16, -16),
            trust: Trust::Runtime,
            returns: true,
            switches: true,
        });
        assert_eq!(ended(&stack), (1_001, End::Limit));
    }

    #[test]
    fn a_stack_whose_every_frame_has_other_registers_ends_where_there_is_no_more_room() {
        // Of 17 registers 15 are kept as values, in all frames but the first. Room is for 32 × 6 = 192, and before the
        // 14th frame there are 12 × 15 = 180.
        let stack = walk(Room::of(0, 0), |frame| {
            let mut caller = above(frame, 16, 16);
            let others = (0..16).map(Register).filter(|register| *register != SP);
            others.for_each(|register| caller.registers.set(register, frame.sp.0));
            Step::Caller { caller, trust: Trust::Runtime, returns: true, switches: false }
        });
        assert_eq!(ended(&stack), (14, End::Limit));
        assert_eq!(stack.registers.len(), 14, "what is kept is whole");
    }
}
