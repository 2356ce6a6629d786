//! What the faulting instruction wanted of memory, for either processor.

use crate::capture::Memory;
use crate::model::{Addr, Arch, Known, Registers};

use super::access::Decoded;
use super::{aarch64, x86};

/// Decodes the instruction at `pc`. `thread_pointer` is the base of thread-local operands.
pub(super) fn decode(memory: &Memory, pc: Addr, registers: &Registers, thread_pointer: Option<Addr>) -> Known<Decoded> {
    match registers.arch() {
        Arch::X86_64 => x86::decode(memory, pc, registers, thread_pointer),
        Arch::Aarch64 => {
            let access = aarch64::decode(memory.u32(pc)?, registers)?;
            Ok(Decoded { accesses: vec![access], special: None })
        }
    }
}
