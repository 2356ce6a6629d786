//! Which function a call leads to: named through the PLT and the GOT, where the callee's own frames have no names.

use std::sync::Arc;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

use crate::capture::Memory;
use crate::model::{Addr, Arch};
use crate::target::Target;

/// Longest instruction of x86. Source: Intel SDM volume 2, 2.3.11.
const MAX_INSTRUCTION: u64 = 15;

/// The symbol of the function at `entry`, or of the one that the PLT entry there leads to.
pub(super) fn function(target: &Target, entry: Addr) -> Option<Arc<str>> {
    let symbol = |at: Addr| target.function(at).map(|symbol| symbol.name);
    let name = symbol(entry).or_else(|| symbol(target.memory.ptr(jump_slot(target, entry)?).ok()?))?;
    Some(name.strip_suffix("@plt").map_or(Arc::clone(&name), Arc::from))
}

/// Where a call of `entry` gets to: through the stub that may be there.
pub(super) fn landing(target: &Target, entry: Addr) -> Addr {
    jump_slot(target, entry).and_then(|slot| target.memory.ptr(slot).ok()).unwrap_or(entry)
}

/// The symbol of the function that the call before a return address states. `None` for calls through registers.
pub(super) fn called(target: &Target, return_address: Addr) -> Option<Arc<str>> {
    function(target, called_address(target.arch(), &target.memory, return_address)?)
}

/// The address that the call before a return address states. `None` for calls through registers.
pub(super) fn called_address(arch: Arch, memory: &Memory, return_address: Addr) -> Option<Addr> {
    match arch {
        // call rel32, or call *slot(%rip). Source: Intel SDM volume 2, CALL.
        Arch::X86_64 => [5, 6].into_iter().find_map(|length| {
            let instruction = decode(memory, return_address.minus(length)?)?;
            if instruction.next_ip() != return_address.0 {
                return None;
            }
            match instruction.flow_control() {
                FlowControl::Call => Some(Addr(instruction.near_branch_target())),
                FlowControl::IndirectCall if instruction.is_ip_rel_memory_operand() => {
                    memory.ptr(Addr(instruction.ip_rel_memory_address())).ok()
                }
                _ => None,
            }
        }),
        // bl: 0b100101, then a signed number of words. Source: Arm Architecture Reference Manual, "BL".
        Arch::Aarch64 => {
            let at = return_address.minus(4)?;
            let instruction = memory.u32(at).ok()?;
            let words = (instruction << 6).cast_signed() >> 6;
            (instruction >> 26 == 0b10_0101).then(|| at.offset(i64::from(words).checked_mul(4)?))?
        }
    }
}

/// The word that a PLT entry jumps through; `None` where the code at `entry` is no such jump.
fn jump_slot(target: &Target, entry: Addr) -> Option<Addr> {
    if target.arch() != Arch::X86_64 {
        return None;
    }
    let mut instruction = decode(&target.memory, entry)?;
    if instruction.mnemonic() == Mnemonic::Endbr64 {
        instruction = decode(&target.memory, Addr(instruction.next_ip()))?;
    }
    let through = instruction.flow_control() == FlowControl::IndirectBranch && instruction.is_ip_rel_memory_operand();
    through.then(|| Addr(instruction.ip_rel_memory_address()))
}

/// The x86-64 instruction at an address.
pub(super) fn decode(memory: &Memory, at: Addr) -> Option<Instruction> {
    let bytes = memory.slice_up_to(at, MAX_INSTRUCTION).ok()?;
    let instruction = Decoder::with_ip(64, bytes, at.0, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_before_a_return_address_states_its_target() {
        // 0x1000: call 0x2000 | 0x1005: call *0xb(%rip), the word at 0x1016 | 0x100b
        let mut code = vec![0xe8, 0xfb, 0x0f, 0, 0, 0xff, 0x15, 0x0b, 0, 0, 0];
        code.resize(0x16, 0x90);
        code.extend(0x3000u64.to_le_bytes());
        let memory = Memory::of_bytes(0x1000, &code);
        let called = |at| called_address(Arch::X86_64, &memory, Addr(at));
        assert_eq!(called(0x1005), Some(Addr(0x2000)));
        assert_eq!(called(0x100b), Some(Addr(0x3000)));
        assert_eq!(called(0x1010), None);
    }

    #[test]
    fn a_branch_with_link_counts_words_from_itself() {
        // 0x1000: bl 0xffc (-1 word) | 0x1004: nop
        let memory = Memory::of_bytes(0x1000, &[0xff, 0xff, 0xff, 0x97, 0x1f, 0x20, 0x03, 0xd5]);
        assert_eq!(called_address(Arch::Aarch64, &memory, Addr(0x1004)), Some(Addr(0xffc)));
        assert_eq!(called_address(Arch::Aarch64, &memory, Addr(0x1008)), None);
    }
}
