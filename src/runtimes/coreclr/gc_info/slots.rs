//! The registers and stack slots of a method that may refer to objects.

use super::damage::damaged;
use super::stream::Stream;
use crate::model::Known;

/// Most of one method.
const MAX: u32 = 1 << 16;

/// A register or a slot of the stack that refers to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Where it is.
    pub base: Base,
    /// Whether it may point into an object, rather than to its beginning.
    pub interior: bool,
    /// Whether the object may not be moved.
    pub pinned: bool,
}

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// In a register, as x64 counts them: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ….
    Register(u32),
    /// So many bytes from the caller's stack pointer.
    Caller(i32),
    /// So many bytes from the stack pointer.
    Stack(i32),
    /// So many bytes from the frame register.
    Frame(i32),
}

/// All of a method.
#[derive(Debug)]
pub(super) struct Slots {
    all: Vec<Slot>,
    /// How many of them are live here and there: registers, then slots of the stack. The rest is live everywhere.
    tracked: usize,
}

// Source: gcinfotypes.h, enum GcSlotFlags.
const INTERIOR: u32 = 1;
const PINNED: u32 = 2;

impl Slots {
    pub(super) fn read(stream: &mut Stream<'_>) -> Known<Slots> {
        let registers = if stream.bit()? { counted(stream.number(2)?)? } else { 0 };
        let (stack, untracked) =
            if stream.bit()? { (counted(stream.number(2)?)?, counted(stream.number(1)?)?) } else { (0, 0) };
        let mut all = Vec::new();
        of_registers(stream, registers, &mut all)?;
        of_stack(stream, stack, &mut all)?;
        let tracked = all.len();
        of_stack(stream, untracked, &mut all)?;
        Ok(Slots { all, tracked })
    }

    pub(super) fn tracked(&self) -> &[Slot] {
        self.all.get(..self.tracked).unwrap_or_default()
    }

    pub(super) fn untracked(&self) -> &[Slot] {
        self.all.get(self.tracked..).unwrap_or_default()
    }
}

fn counted(count: u32) -> Known<u32> {
    if count > MAX { Err(damaged()) } else { Ok(count) }
}

fn slot(base: Base, flags: u32) -> Slot {
    Slot { base, interior: flags & INTERIOR != 0, pinned: flags & PINNED != 0 }
}

/// After one without flags only the distance to the next is stored.
fn of_registers(stream: &mut Stream<'_>, count: u32, all: &mut Vec<Slot>) -> Known<()> {
    let mut before: Option<u32> = None;
    let mut flags = 0;
    for _ in 0..count {
        let register = match before.filter(|_| flags == 0) {
            Some(before) => before.saturating_add(stream.number(2)?).saturating_add(1),
            None => {
                let register = stream.number(3)?;
                flags = stream.bits(2)?;
                register
            }
        };
        if register > 15 {
            return Err(damaged());
        }
        all.push(slot(Base::Register(register), flags));
        before = Some(register);
    }
    Ok(())
}

fn of_stack(stream: &mut Stream<'_>, count: u32, all: &mut Vec<Slot>) -> Known<()> {
    let mut before: Option<i32> = None;
    let mut flags = 0;
    for _ in 0..count {
        let base = stream.bits(2)?;
        let words = match before.filter(|_| flags == 0) {
            Some(before) => before.checked_add_unsigned(stream.number(4)?).ok_or_else(damaged)?,
            None => {
                let words = stream.signed(6)?;
                flags = stream.bits(2)?;
                words
            }
        };
        before = Some(words);
        let bytes = words.checked_mul(8).ok_or_else(damaged)?;
        let base = match base {
            0 => Base::Caller(bytes),
            1 => Base::Stack(bytes),
            2 => Base::Frame(bytes),
            _ => return Err(damaged()),
        };
        all.push(slot(base, flags));
    }
    Ok(())
}
