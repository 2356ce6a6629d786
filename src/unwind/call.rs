//! Call instructions: does the code before an address end in a call, and where does it lead?
//!
//! A word of the stack is a return address only if a call instruction stands before the place it points to. Encodings:
//! Intel SDM volume 2, "CALL" (E8 rel32, FF /2) and table 2-2 (lengths of ModRM forms); Arm ARM, C6.2 "BL", "BLR",
//! "BLRA".

use crate::model::Arch;

/// What a call instruction says about its target. Offsets are bytes from the return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The function itself.
    Direct(i64),
    /// A word in memory that holds the function's address (an entry of the GOT).
    Slot(i64),
    /// A register, or memory that a register leads to.
    Indirect,
}

/// Bytes before a return address that decide: the longest call of x86-64 without prefixes.
pub const LONGEST: u64 = 7;

/// The readings of `code`, whose last byte is the one before the return address; the likelier first. Empty: no call
/// ends there.
pub fn calls_before(arch: Arch, code: &[u8]) -> impl Iterator<Item = Call> + use<> {
    let readings = match arch {
        Arch::X86_64 => [direct(code), through_operand(code)],
        Arch::Aarch64 => [branch_with_link(code), None],
    };
    readings.into_iter().flatten()
}

fn direct(code: &[u8]) -> Option<Call> {
    let (opcode, offset) = code.last_chunk::<5>()?.split_first()?;
    let offset = i32::from_le_bytes(*offset.first_chunk::<4>()?);
    (*opcode == 0xe8).then_some(Call::Direct(offset.into()))
}

fn through_operand(code: &[u8]) -> Option<Call> {
    (2..=7).find_map(|length: usize| {
        let instruction = code.get(code.len().checked_sub(length)?..)?;
        let (&opcode, operand) = instruction.split_first()?;
        (opcode == 0xff && operand_length(operand)? == length.checked_sub(1)?).then(|| match operand {
            // mod 00, r/m 101: relative to the instruction pointer.
            [0x15, offset @ ..] => {
                offset.first_chunk().map_or(Call::Indirect, |offset| Call::Slot(i32::from_le_bytes(*offset).into()))
            }
            _ => Call::Indirect,
        })
    })
}

/// Bytes of ModRM, SIB and displacement where the ModRM byte says "opcode extension 2" (a near call).
fn operand_length(operand: &[u8]) -> Option<usize> {
    let modrm = *operand.first()?;
    if (modrm >> 3) & 7 != 2 {
        return None;
    }
    let sib = modrm & 7 == 4;
    Some(match modrm >> 6 {
        0 if sib => {
            if operand.get(1)? & 7 == 5 {
                6
            } else {
                2
            }
        }
        0 if modrm & 7 == 5 => 5,
        1 => 2 + usize::from(sib),
        2 => 5 + usize::from(sib),
        _ => 1,
    })
}

fn branch_with_link(code: &[u8]) -> Option<Call> {
    let word = u32::from_le_bytes(*code.last_chunk::<4>()?);
    if word & 0xfc00_0000 == 0x9400_0000 {
        // imm26 counts words from the BL itself, which is 4 bytes before the return address.
        let words = i64::from((word << 6).cast_signed() >> 6);
        return Some(Call::Direct(words.wrapping_mul(4).wrapping_sub(4)));
    }
    // BLR Xn; BLRAA, BLRAB, BLRAAZ, BLRABZ.
    let indirect = word & 0xffff_fc1f == 0xd63f_0000 || word & 0xfeff_f800 == 0xd63f_0800;
    indirect.then_some(Call::Indirect)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x86(code: &[u8]) -> Vec<Call> {
        calls_before(Arch::X86_64, code).collect()
    }

    #[test]
    fn every_form_of_a_near_call_is_recognised() {
        // Bytes as GNU as assembles them.
        assert_eq!(x86(&[0xe8, 0xfb, 0xff, 0xff, 0xff]), [Call::Direct(-5)]); // call .
        assert_eq!(x86(&[0xff, 0xd0]), [Call::Indirect]); // call *%rax
        assert_eq!(x86(&[0x41, 0xff, 0xd1]), [Call::Indirect]); // call *%r9
        assert_eq!(x86(&[0xff, 0x10]), [Call::Indirect]); // call *(%rax)
        assert_eq!(x86(&[0xff, 0x50, 0x18]), [Call::Indirect]); // call *0x18(%rax)
        assert_eq!(x86(&[0xff, 0x90, 0x80, 0, 0, 0]), [Call::Indirect]); // call *0x80(%rax)
        assert_eq!(x86(&[0xff, 0x14, 0xc3]), [Call::Indirect]); // call *(%rbx,%rax,8)
        assert_eq!(x86(&[0xff, 0x54, 0x24, 0x08]), [Call::Indirect]); // call *0x8(%rsp)
        assert_eq!(x86(&[0xff, 0x94, 0x24, 0x88, 0, 0, 0]), [Call::Indirect]); // call *0x88(%rsp)
        assert_eq!(x86(&[0xff, 0x14, 0xc5, 0, 0x10, 0, 0]), [Call::Indirect]); // call *0x1000(,%rax,8)
        assert_eq!(x86(&[0xff, 0x15, 0x10, 0x20, 0, 0]), [Call::Slot(0x2010)]); // call *0x2010(%rip)
    }

    #[test]
    fn other_instructions_are_no_calls() {
        assert!(x86(&[0xff, 0xe0]).is_empty()); // jmp *%rax
        assert!(x86(&[0xff, 0x25, 0x10, 0x20, 0, 0]).is_empty()); // jmp *0x2010(%rip)
        assert!(x86(&[0xff, 0xc0]).is_empty()); // inc %eax
        assert!(x86(&[0xe9, 0, 0, 0, 0]).is_empty()); // jmp .+5
        assert!(x86(&[0x0f, 0x05]).is_empty()); // syscall
        assert!(x86(&[0xff]).is_empty(), "cut");
        assert!(x86(&[]).is_empty(), "nothing readable before the address");
    }

    #[test]
    fn aarch64_calls_are_bl_and_blr() {
        let calls = |word: u32| calls_before(Arch::Aarch64, &word.to_le_bytes()).collect::<Vec<_>>();
        assert_eq!(calls(0x9400_0002), [Call::Direct(4)]); // bl .+8
        assert_eq!(calls(0x97ff_ffff), [Call::Direct(-8)]); // bl .-4
        assert_eq!(calls(0xd63f_0020), [Call::Indirect]); // blr x1
        assert_eq!(calls(0xd73f_0821), [Call::Indirect]); // blraa x1, x1
        assert!(calls(0xd61f_0020).is_empty()); // br x1
        assert!(calls(0xd65f_03c0).is_empty()); // ret
        assert!(calls(0x1400_0001).is_empty()); // b .+4
    }
}
