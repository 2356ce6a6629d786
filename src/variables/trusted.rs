//! How far the registers of a frame may be believed, by the trust of the frames below it.

use crate::model::{Register, Registers, Trust};

/// Which of a frame's registers were recovered by rules and not taken over from what was called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trusted {
    All,
    /// Stack pointer, frame pointer and instruction pointer.
    FramePointer,
    /// None: a function between may have changed and not restored them.
    None,
}

impl Trusted {
    /// What holds of the caller of such a frame, itself found with that trust.
    pub(super) fn after(self, trust: Trust) -> Trusted {
        match (self, trust) {
            (Trusted::None, _) | (_, Trust::Scan) => Trusted::None,
            (Trusted::FramePointer, _) | (_, Trust::FramePointer) => Trusted::FramePointer,
            (Trusted::All, Trust::Context | Trust::Cfi | Trust::Runtime) => Trusted::All,
        }
    }

    /// Those of the registers found that may be believed.
    pub(super) fn registers(self, found: &Registers) -> Registers {
        let arch = found.arch();
        let mut registers = found.clone();
        let bit = |register: Register| 1u64.checked_shl(register.0.into()).unwrap_or(0);
        match self {
            Trusted::All => {}
            Trusted::FramePointer => {
                registers.keep(bit(arch.stack_pointer()) | bit(arch.frame_pointer()) | bit(arch.instruction_pointer()))
            }
            Trusted::None => registers.keep(0),
        }
        registers
    }
}
