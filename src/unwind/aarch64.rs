//! aarch64 instructions as [`Op`]s. Encodings: Arm Architecture Reference Manual for A-profile (DDI 0487), C4 and C6.2.

use super::ops::{Base, Effect, Op, Way};
use crate::capture::Memory;
use crate::model::Addr;

/// The instruction that `code`, which lies at `address`, begins with. A PLT entry's jump is resolved in `memory`.
pub(super) fn decode(code: &[u8], address: u64, memory: &Memory) -> Option<Op> {
    let word = u32::from_le_bytes(*code.first_chunk::<4>()?);
    let op = Op::plain(address.checked_add(4)?, way(word, address, memory));
    Some(match op.way {
        Way::On => effects(word, op),
        Way::Call => op.with(&[Effect::Write(LINK)]),
        _ => op,
    })
}

/// Places of x29 and x30 among the preserved registers.
const FRAME: usize = 10;
const LINK: usize = 11;
/// Number of the stack pointer in most encodings.
const SP: u32 = 31;

fn way(word: u32, address: u64, memory: &Memory) -> Way {
    let there = |bytes: i64| address.wrapping_add_signed(bytes);
    match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => Way::Jump(there(signed(word, 0, 26).wrapping_mul(4))), // B
        _ if word & 0xfc00_0000 == 0x9400_0000 => Way::Call,                                             // BL
        _ if word & 0xff00_0000 == 0x5400_0000 => Way::Maybe(there(signed(word, 5, 19).wrapping_mul(4))), // B.cond
        _ if word & 0x7e00_0000 == 0x3400_0000 => Way::Maybe(there(signed(word, 5, 19).wrapping_mul(4))), // CBZ, CBNZ
        _ if word & 0x7e00_0000 == 0x3600_0000 => Way::Maybe(there(signed(word, 5, 14).wrapping_mul(4))), // TBZ, TBNZ
        _ if word & 0xffff_fc1f == 0xd63f_0000 || word & 0xfeff_f800 == 0xd63f_0800 => Way::Call,        // BLR, BLRA…
        _ if word & 0xffff_fc1f == 0xd65f_0000 || word & 0xffff_fbff == 0xd65f_0bff => Way::Return,      // RET, RETA…
        _ if word & 0xffff_fc1f == 0xd61f_0000 || word & 0xfeff_f800 == 0xd61f_0800 => {
            plt_target(address, memory).map_or(Way::Computed, Way::Jump) // BR, BRA…
        }
        _ if word & 0xffe0_001f == 0xd420_0000 || word >> 16 == 0 => Way::Stop, // BRK, UDF
        _ => Way::On,
    }
}

/// Where a PLT entry's `br x17` leads: before it stand `adrp x16, page; ldr x17, [x16, #n]; add x16, x16, #n`.
/// Source: AAELF64 "PLT sequences".
fn plt_target(branch: u64, memory: &Memory) -> Option<u64> {
    let at = |bytes: u64| branch.checked_sub(bytes).map(Addr);
    let (page, load) = (memory.u32(at(12)?).ok()?, memory.u32(at(8)?).ok()?);
    if page & 0x9f00_001f != 0x9000_0010 || load & 0xffc0_03ff != 0xf940_0211 {
        return None;
    }
    // immhi:immlo counts pages of 4 KiB from the page of the ADRP.
    let pages = (signed(page, 5, 19) << 2) | i64::from(page >> 29 & 3);
    let base = (at(12)?.0 & !0xfff).wrapping_add_signed(pages.wrapping_mul(4096));
    let slot = base.wrapping_add(u64::from(load >> 10 & 0xfff).wrapping_mul(8));
    memory.u64(Addr(slot)).ok()
}

fn effects(word: u32, op: Op) -> Op {
    let (first, base_register) = (word & 31, word >> 5 & 31);
    match word {
        // ADD, SUB (immediate), 64 bits, flags not set.
        _ if word & 0xbf80_0000 == 0x9100_0000 => {
            let magnitude = i64::from(word >> 10 & 0xfff) << (word >> 22 & 1).wrapping_mul(12);
            let bytes = if word & 0x4000_0000 == 0 { magnitude } else { magnitude.wrapping_neg() };
            op.with(&[match (first, base(base_register)) {
                (SP, Some(from)) => Effect::stack_at(from, bytes),
                (SP, None) => Effect::StackLost,
                (29, Some(from)) => Effect::FrameAt(from, bytes),
                _ => written(first),
            }])
        }
        // ADD, SUB (extended register) and AND (immediate), which may write the stack pointer.
        _ if word & 0xbfe0_0000 == 0x8b20_0000 || word & 0xff80_0000 == 0x9200_0000 => {
            op.with(&[if first == SP { Effect::StackLost } else { written(first) }])
        }
        // Load and store of a pair of 64-bit registers.
        _ if word & 0xfe00_0000 == 0xa800_0000 => {
            let registers = [first, word >> 10 & 31];
            transfer(op, word, &registers, word & 0x0040_0000 != 0, word >> 23 & 3, signed(word, 15, 7).wrapping_mul(8))
        }
        // The same with vector registers: only the stack pointer matters.
        _ if word & 0x3e00_0000 == 0x2c00_0000 => {
            let scale = 4i64 << (word >> 30);
            transfer(op, word, &[], false, word >> 23 & 3, signed(word, 15, 7).wrapping_mul(scale))
        }
        // Load and store of a 64-bit register, unsigned offset.
        _ if word & 0xff80_0000 == 0xf900_0000 => {
            let bytes = i64::from(word >> 10 & 0xfff).wrapping_mul(8);
            transfer(op, word, &[first], word & 0x0040_0000 != 0, OFFSET, bytes)
        }
        // Load and store of a 64-bit register, offset in bytes or with write-back.
        _ if word & 0xffa0_0000 == 0xf800_0000 && word >> 10 & 3 != 2 => {
            let mode = [OFFSET, POST, OFFSET, PRE].get((word >> 10 & 3) as usize).copied().unwrap_or(OFFSET);
            transfer(op, word, &[first], word & 0x0040_0000 != 0, mode, signed(word, 12, 9))
        }
        // Any other register with write-back.
        _ if word & 0x3b20_0400 == 0x3800_0400 && base_register == SP => op.with(&[Effect::Stack(signed(word, 12, 9))]),
        // Other loads, and data processing, write the register in the lowest bits.
        _ if word & 0x3f40_0000 == 0x3940_0000 || word & 0x3f40_0000 == 0x3840_0000 => op.with(&[written(first)]),
        _ if word & 0x1c00_0000 == 0x1000_0000 || word & 0x0e00_0000 == 0x0a00_0000 => op.with(&[written(first)]),
        _ => op,
    }
}

// Addressing modes of pairs, bits 23-24.
const POST: u32 = 1;
const OFFSET: u32 = 2;
const PRE: u32 = 3;

fn transfer(op: Op, word: u32, registers: &[u32], load: bool, mode: u32, bytes: i64) -> Op {
    let Some(base) = base(word >> 5 & 31) else {
        let writes = registers.iter().map(|register| if load { written(*register) } else { Effect::Nothing });
        return op.with(&collect(writes));
    };
    let first = if mode == OFFSET { bytes } else { 0 };
    let moves = registers.iter().zip([first, first.wrapping_add(8)]).map(|(register, offset)| {
        match (preserved(*register), load) {
            (Some(index), true) => Effect::Load(index, base, offset),
            (Some(index), false) => Effect::Store(index, base, offset),
            (None, _) => Effect::Nothing,
        }
    });
    let write_back = if base == Base::Stack { Effect::Stack(bytes) } else { Effect::Write(FRAME) };
    match mode {
        PRE => op.with(&collect([write_back].into_iter().chain(moves))),
        POST => op.with(&collect(moves.chain([write_back]))),
        _ => op.with(&collect(moves)),
    }
}

fn collect(effects: impl Iterator<Item = Effect>) -> [Effect; super::ops::MAX_EFFECTS] {
    let mut all = [Effect::Nothing; super::ops::MAX_EFFECTS];
    for (slot, effect) in all.iter_mut().zip(effects) {
        *slot = effect;
    }
    all
}

fn base(register: u32) -> Option<Base> {
    match register {
        SP => Some(Base::Stack),
        29 => Some(Base::Frame),
        _ => None,
    }
}

/// Place of a register among the preserved ones (x19 to x30).
fn preserved(register: u32) -> Option<usize> {
    usize::try_from(register.checked_sub(19)?).ok().filter(|index| *index <= LINK)
}

fn written(register: u32) -> Effect {
    preserved(register).map_or(Effect::Nothing, Effect::Write)
}

/// A signed field of `bits` bits from bit `low`.
fn signed(word: u32, low: u32, bits: u32) -> i64 {
    let up = 32u32.saturating_sub(low).saturating_sub(bits);
    let down = 32u32.saturating_sub(bits);
    i64::from((word << up).cast_signed() >> down)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(word: u32) -> Op {
        decode(&word.to_le_bytes(), 0x1000, &Memory::of(0x10, &[])).unwrap()
    }

    fn effects_of(word: u32) -> Vec<Effect> {
        op(word).effects.into_iter().filter(|effect| *effect != Effect::Nothing).collect()
    }

    // Words as GNU as assembles them.
    #[test]
    fn prologues_store_registers_and_move_the_stack_pointer() {
        let pair = |offset| [Effect::Store(FRAME, Base::Stack, offset), Effect::Store(LINK, Base::Stack, offset + 8)];
        assert_eq!(effects_of(0xa9be_7bfd), [&[Effect::Stack(-32)], &pair(0)[..]].concat()); // stp x29, x30, [sp, #-32]!
        assert_eq!(effects_of(0xa901_7bfd), pair(16)); // stp x29, x30, [sp, #16]
        assert_eq!(effects_of(0x9100_03fd), [Effect::FrameAt(Base::Stack, 0)]); // mov x29, sp
        assert_eq!(effects_of(0xd100_83ff), [Effect::Stack(-32)]); // sub sp, sp, #32
        assert_eq!(effects_of(0xf81f_0ffe), [Effect::Stack(-16), Effect::Store(LINK, Base::Stack, 0)]); // str x30, [sp, #-16]!
        assert_eq!(effects_of(0xf900_0bf3), [Effect::Store(0, Base::Stack, 16)]); // str x19, [sp, #16]
        assert_eq!(effects_of(0x6dbf_27e8), [Effect::Stack(-16)]); // stp d8, d9, [sp, #-16]!
    }

    #[test]
    fn epilogues_load_them_again() {
        let pair = [Effect::Load(FRAME, Base::Stack, 0), Effect::Load(LINK, Base::Stack, 8)];
        assert_eq!(effects_of(0xa8c2_7bfd), [&pair[..], &[Effect::Stack(32)]].concat()); // ldp x29, x30, [sp], #32
        assert_eq!(effects_of(0xf841_07fe), [Effect::Load(LINK, Base::Stack, 0), Effect::Stack(16)]); // ldr x30, [sp], #16
        assert_eq!(effects_of(0x9100_83ff), [Effect::Stack(32)]); // add sp, sp, #32
        assert_eq!(effects_of(0x9100_03bf), [Effect::StackAtFrame(0)]); // mov sp, x29
        assert_eq!(op(0xd65f_03c0).way, Way::Return); // ret
        assert_eq!(op(0xd65f_0bff).way, Way::Return); // retaa
    }

    #[test]
    fn branches_lead_where_they_state() {
        assert_eq!(op(0x1400_0002).way, Way::Jump(0x1008)); // b .+8
        assert_eq!(op(0x17ff_ffff).way, Way::Jump(0xffc)); // b .-4
        assert_eq!(op(0x5400_0040).way, Way::Maybe(0x1008)); // b.eq .+8
        assert_eq!(op(0xb400_0040).way, Way::Maybe(0x1008)); // cbz x0, .+8
        assert_eq!(op(0x3600_0040).way, Way::Maybe(0x1008)); // tbz w0, #0, .+8
        assert_eq!(op(0x9400_0002).way, Way::Call); // bl .+8
        assert_eq!(op(0xd61f_0200).way, Way::Computed); // br x16
        assert_eq!(op(0xd420_7d00).way, Way::Stop); // brk #0x3e8
        assert_eq!(op(0xd503_201f).way, Way::On); // nop
    }

    #[test]
    fn other_instructions_overwrite_the_register_in_their_lowest_bits() {
        assert_eq!(effects_of(0xaa00_03f3), [Effect::Write(0)]); // mov x19, x0
        assert_eq!(effects_of(0x5280_0033), [Effect::Write(0)]); // mov w19, #1
        assert_eq!(effects_of(0xf940_0013), [Effect::Write(0)]); // ldr x19, [x0]
        assert_eq!(effects_of(0xf900_0013), []); // str x19, [x0]
        assert_eq!(effects_of(0xeb01_001f), []); // cmp x0, x1
    }

    #[test]
    fn a_plt_entry_leads_through_the_got() {
        // 1000 adrp x16, 0x2000 | 1004 ldr x17, [x16, #8] | 1008 add x16, x16, #8 | 100c br x17;  2008 → 0x5555
        let mut bytes = vec![0; 0x1010];
        for (at, word) in [(0, 0xb000_0010u32), (4, 0xf940_0611), (8, 0x9100_2210), (12, 0xd61f_0220)] {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[0x1008..0x1010].copy_from_slice(&0x5555u64.to_le_bytes());
        let memory = Memory::of_bytes(0x1000, &bytes);
        assert_eq!(decode(&bytes[12..], 0x100c, &memory).unwrap().way, Way::Jump(0x5555));
    }
}
