//! Code that its runtime unwinds itself: made at run time, interpreted, or on a stack that no table describes.

use crate::model::{Addr, End, Registers};

use super::row::Caller;

/// Unwinds the code of one runtime by that runtime's own rule.
pub trait Unwind: Send + Sync {
    /// Whether code at an address is its own (of a return address, one byte before). Asked once for each place in the code, before call frame
    /// information is looked for.
    fn owns(&self, code: Addr) -> bool;

    /// Who called a frame in its own code.
    fn step(&self, frame: &OwnFrame<'_>) -> Step;
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
        /// Whether it stands behind a call; else it was interrupted.
        returns: bool,
        /// Whether its stack may be another one, so that the stack pointer need not rise.
        switches: bool,
    },
    /// There is none, or it is lost for this reason.
    End(End),
    /// The runtime cannot tell: the other methods are tried.
    Unknown,
}
