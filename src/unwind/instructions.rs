//! The target's instructions, one at an address, by what they do to the stack.

use super::ops::Op;
use super::{aarch64, x86_64};
use crate::capture::Memory;
use crate::model::{Addr, Arch};

/// Reads instructions at addresses; remembers the segment of the last one.
pub(super) struct Ops<'t> {
    memory: &'t Memory,
    arch: Arch,
    start: u64,
    bytes: &'t [u8],
}

impl<'t> Ops<'t> {
    /// Over the target's memory.
    pub(super) fn new(memory: &'t Memory, arch: Arch) -> Ops<'t> {
        Ops { memory, arch, start: 0, bytes: &[] }
    }

    /// The instruction at an address; `None` where there is none or its bytes are not at hand.
    pub(super) fn at(&mut self, address: u64) -> Option<Op> {
        let offset = |start: u64| address.checked_sub(start).and_then(|offset| usize::try_from(offset).ok());
        let mut from = offset(self.start).unwrap_or(usize::MAX);
        if from >= self.bytes.len() {
            let segment = self.memory.segment_at(Addr(address))?;
            (self.start, self.bytes) = (segment.start.0, &segment.bytes);
            from = offset(self.start)?;
        }
        let code = self.bytes.get(from..)?;
        match self.arch {
            Arch::X86_64 => x86_64::decode(code, address, self.memory),
            Arch::Aarch64 => aarch64::decode(code, address, self.memory),
        }
    }
}
