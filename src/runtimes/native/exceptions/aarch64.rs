//! What an AArch64 load or store does to memory. Common forms only; the rest is unknown, not guessed.
//!
//! Source of every bit pattern: Arm Architecture Reference Manual for A-profile, DDI 0487, section C4.1.94
//! "Loads and Stores".

use crate::model::fault::{AccessKind, Operand, Term};
use crate::model::{Gap, Known, Register, Registers};

use super::access::Access;

/// Decodes one instruction word.
pub(super) fn decode(word: u32, registers: &Registers) -> Known<Access> {
    single(word, registers)
        .or_else(|| pair(word, registers))
        .or_else(|| exclusive(word, registers))
        .ok_or_else(|| Gap::Unsupported(format!("instruction {word:#010x} is no plain load or store")))
}

fn field(word: u32, low: u32, bits: u32) -> u32 {
    (word >> low) & ((1 << bits) - 1)
}

fn signed(value: u32, bits: u32) -> i64 {
    let shift = 64 - bits;
    (i64::from(value) << shift) >> shift
}

fn base(word: u32, registers: &Registers) -> Term {
    term(field(word, 5, 5), 1, registers, true)
}

/// Register 31 is the stack pointer as a base and zero as an index.
fn term(number: u32, scale: u32, registers: &Registers, is_base: bool) -> Term {
    let Ok(number) = u16::try_from(number) else { return Term { register: "?", value: None, scale } };
    if number == 31 && !is_base {
        return Term { register: "xzr", value: Some(0), scale };
    }
    let register = Register(number);
    Term { register: registers.arch().register_name(register).unwrap_or("?"), value: registers.get(register), scale }
}

/// LDR, STR, LDUR, STUR and their byte, half, signed and SIMD forms: bits 29:27 are 111, 25:24 tell the addressing.
fn single(word: u32, registers: &Registers) -> Option<Access> {
    if field(word, 27, 3) != 0b111 {
        return None;
    }
    let (size, vector, opc) = (field(word, 30, 2), field(word, 26, 1), field(word, 22, 2));
    // For SIMD the upper bit of opc makes 128-bit accesses of size 0.
    let log_bytes = if vector == 1 && opc & 0b10 != 0 { 4 } else { size };
    let writes = if vector == 1 { opc & 1 == 0 } else { opc == 0 };
    // size 3, opc 2 without SIMD is PRFM, which never faults.
    if vector == 0 && size == 3 && opc >= 2 {
        return None;
    }
    let mut terms = vec![base(word, registers)];
    let displacement = match (field(word, 24, 2), field(word, 21, 1), field(word, 10, 2)) {
        (0b01, _, _) => i64::from(field(word, 10, 12)) << log_bytes,
        // Post-indexed (01) uses the base as it is; unscaled, unprivileged and pre-indexed add the offset.
        (0b00, 0, 0b01) => 0,
        (0b00, 0, _) => signed(field(word, 12, 9), 9),
        (0b00, 1, 0b10) => {
            // Option 011 is LSL of a 64-bit register; extended 32-bit indices are left out.
            if field(word, 13, 3) != 0b011 {
                return None;
            }
            let scale = if field(word, 12, 1) == 1 { 1u32 << log_bytes } else { 1 };
            terms.push(term(field(word, 16, 5), scale, registers, false));
            0
        }
        _ => return None,
    };
    Some(access(writes, 1u32 << log_bytes, terms, displacement))
}

/// LDP, STP: bits 29:27 are 101.
fn pair(word: u32, registers: &Registers) -> Option<Access> {
    if field(word, 27, 3) != 0b101 {
        return None;
    }
    let (opc, vector) = (field(word, 30, 2), field(word, 26, 1));
    let log_bytes = match (vector, opc) {
        (1, opc) if opc < 3 => opc + 2,
        (0, 0b00 | 0b01) => 2,
        (0, 0b10) => 3,
        _ => return None,
    };
    // Bits 25:23: 001 post-indexed, 010 offset, 011 pre-indexed, 000 no-allocate.
    let displacement = match field(word, 23, 3) {
        0b001 => 0,
        0b000 | 0b010 | 0b011 => signed(field(word, 15, 7), 7) << log_bytes,
        _ => return None,
    };
    Some(access(field(word, 22, 1) == 0, 2u32 << log_bytes, vec![base(word, registers)], displacement))
}

/// LDXR, STXR, LDAR, STLR: bits 29:24 are 001000.
fn exclusive(word: u32, registers: &Registers) -> Option<Access> {
    if field(word, 24, 6) != 0b001000 {
        return None;
    }
    Some(access(field(word, 22, 1) == 0, 1u32 << field(word, 30, 2), vec![base(word, registers)], 0))
}

fn access(writes: bool, bytes: u32, terms: Vec<Term>, displacement: i64) -> Access {
    let kind = if writes { AccessKind::Write } else { AccessKind::Read };
    Access { kind, also_writes: false, bytes: Some(bytes), operand: Operand { terms, displacement } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, Arch};

    fn decoded(word: u32) -> Access {
        let mut registers = Registers::unknown(Arch::Aarch64);
        for (number, value) in [(0, 0), (1, 3), (31, 0x5000)] {
            registers.set(Register(number), value);
        }
        decode(word, &registers).unwrap()
    }

    // Words below are as GNU as assembles the text in each comment.

    #[test]
    fn loads_with_an_unsigned_offset_scale_it_by_their_size() {
        // ldr w0, [x0, #16]
        let got = decoded(0xb940_1000);
        assert_eq!((got.kind, got.bytes, got.operand.address()), (AccessKind::Read, Some(4), Some(Addr(16))));
        // ldrb w2, [x0, #1]
        let got = decoded(0x3940_0402);
        assert_eq!((got.kind, got.bytes, got.operand.address()), (AccessKind::Read, Some(1), Some(Addr(1))));
    }

    #[test]
    fn stores_through_an_index_scale_it() {
        // str x2, [x0, x1, lsl #3]
        let got = decoded(0xf821_7802);
        assert_eq!((got.kind, got.bytes, got.operand.address()), (AccessKind::Write, Some(8), Some(Addr(24))));
    }

    #[test]
    fn pairs_below_the_stack_pointer_have_a_negative_offset() {
        // stp x29, x30, [sp, #-32]!
        let got = decoded(0xa9be_7bfd);
        assert_eq!((got.kind, got.bytes, got.operand.address()), (AccessKind::Write, Some(16), Some(Addr(0x4fe0))));
    }

    #[test]
    fn exclusive_loads_use_the_bare_base() {
        // ldxr w2, [x0]
        let got = decoded(0x885f_7c02);
        assert_eq!((got.kind, got.bytes, got.operand.address()), (AccessKind::Read, Some(4), Some(Addr(0))));
    }

    #[test]
    fn arithmetic_is_no_access() {
        // add x0, x0, #1
        assert!(decode(0x9100_0400, &Registers::unknown(Arch::Aarch64)).is_err());
    }
}
