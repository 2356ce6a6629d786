//! Where arguments and variables are, from one machine instruction to another.

use super::bits::Nibbles;
use super::damage::damaged;
use crate::model::Known;

/// Most of one method.
const MAX: u32 = 1 << 16;
/// Numbers of variables are stored so much higher: -1 to -3 are what the compiler keeps for itself. Source: dotnet/runtime
/// src/coreclr/inc/cordebuginfo.h, enum ILNum.
const HIGHER: u32 = 4;

/// An argument or variable within a part of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Arguments from 0 on, `this` first, then variables; `None` for what the compiler keeps for itself.
    pub number: Option<u32>,
    /// The first machine instruction for which it holds, and that behind the last: bytes from the start of the method's code.
    pub from: u32,
    /// Behind the last.
    pub to: u32,
    /// Where it is.
    pub place: Place,
}

/// Where a value is. Registers by their numbers in x64's instructions: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a register.
    Register(u32),
    /// At the address in a register.
    Behind(u32),
    /// So far above a register.
    Stack(u32, i32),
    /// At the address that is so far above a register.
    BehindStack(u32, i32),
    /// In two registers.
    Two(u32, u32),
    /// Elsewhere: in a floating point register, in a register and on the stack.
    Unread,
}

/// Reads those of a method.
pub fn read(bytes: &[u8]) -> Known<Vec<Located>> {
    // Source: dotnet/runtime src/coreclr/vm/debuginfostore.cpp, DoNativeVarInfo; inc/cordebuginfo.h, enum VarLocType.
    let mut nibbles = Nibbles::new(bytes);
    let count = nibbles.number()?;
    if count > MAX {
        return Err(damaged());
    }
    (0..count).map(|_| located(&mut nibbles)).collect()
}

fn located(nibbles: &mut Nibbles<'_>) -> Known<Located> {
    let from = nibbles.number()?;
    let to = from.saturating_add(nibbles.number()?);
    let number = nibbles.number()?.checked_sub(HIGHER);
    let place = match nibbles.number()? {
        0 => Place::Register(nibbles.number()?),
        1 => Place::Behind(nibbles.number()?),
        2 | 9 | 10 => {
            nibbles.number()?;
            Place::Unread
        }
        3 => Place::Stack(nibbles.number()?, nibbles.signed()?),
        4 => Place::BehindStack(nibbles.number()?, nibbles.signed()?),
        5 => Place::Two(nibbles.number()?, nibbles.number()?),
        6 => {
            nibbles.number()?;
            nibbles.number()?;
            nibbles.signed()?;
            Place::Unread
        }
        7 => {
            nibbles.signed()?;
            nibbles.number()?;
            nibbles.number()?;
            Place::Unread
        }
        // Two words, one above the other.
        8 => Place::Stack(nibbles.number()?, nibbles.signed()?),
        _ => return Err(damaged()),
    };
    Ok(Located { number, from, to, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nibbles as bytes, the low one first.
    fn bytes(nibbles: &[u8]) -> Vec<u8> {
        nibbles.chunks(2).map(|pair| pair[0] | pair.get(1).unwrap_or(&0) << 4).collect()
    }

    #[test]
    fn places_are_read_by_their_kinds() {
        // Four: number 0 in rbx (3) from 0 to 5; number 1 at rbp (5) - 16 (0o41 with the sign below) from 2 to 4; number 2 behind rsi (6);
        // the context of generic code (-3) at rsp (4) + 8 (0o20).
        let read = read(&bytes(&[
            4, 0, 5, 4, 0, 3, //
            2, 2, 5, 3, 5, 12, 1, //
            0, 1, 6, 1, 6, //
            0, 1, 1, 3, 4, 10, 0,
        ]));
        let expected = [
            Located { number: Some(0), from: 0, to: 5, place: Place::Register(3) },
            Located { number: Some(1), from: 2, to: 4, place: Place::Stack(5, -16) },
            Located { number: Some(2), from: 0, to: 1, place: Place::Behind(6) },
            Located { number: None, from: 0, to: 1, place: Place::Stack(4, 8) },
        ];
        assert_eq!(read.as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn a_cut_list_and_an_unknown_kind_are_gaps() {
        let whole = bytes(&[1, 0, 5, 4, 3, 5, 12, 1]);
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        assert!(read(&bytes(&[1, 0, 5, 4, 9 | 8, 3])).is_err());
        assert!(read(&[0xff, 0xff, 0xff, 0x07]).is_err(), "too many");
        assert_eq!(read(&[0]).as_deref(), Ok(&[][..]));
    }
}
