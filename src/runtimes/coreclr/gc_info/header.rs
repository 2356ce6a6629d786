//! What holds for all of a method's code, and where in it the collector may stop.

use super::damage::damaged;
use super::format::Format;
use super::stream::Stream;
use crate::model::Known;

/// Most calls, and most ranges, of one method.
const MAX_STOPS: u32 = 1 << 18;

/// What holds for all of a method's code. Slots are so far from the caller's stack pointer, in bytes, but for `psp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Bytes of code.
    pub code: u32,
    /// Its frame register, as x64 counts them.
    pub frame: Option<u32>,
    /// Bytes for what it passes on, at the end of its frame.
    pub outgoing: u32,
    /// Bytes of its prologue; 0 where that does not matter.
    pub prologue: u32,
    /// Slot of the cookie that tells an overrun.
    pub cookie: Option<i32>,
    /// Slot of the symbol that funclets find their method by, from the stack pointer.
    pub psp: Option<i32>,
    /// Slot of what the method is generic over.
    pub context: Option<(Context, i32)>,
    /// Whether it takes a variable number of arguments.
    pub varargs: bool,
    /// Whether only the last of a method and its funclets reports what they share.
    pub only_leaf: bool,
    /// Slot of the frame of a call from native code.
    pub reverse: Option<i32>,
    /// Whether it is of the short form, which has no ranges.
    pub(super) is_slim: bool,
}

/// Where what a method is generic over comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A class.
    Class,
    /// A method.
    Method,
    /// `this`.
    This,
}

/// Instructions at each of which the collector may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub from: u32,
    /// Behind the last.
    pub to: u32,
}

// Source: gcinfotypes.h, enum GcInfoHeaderFlags.
const VARARG: u32 = 1;
const COOKIE: u32 = 4;
const PSP: u32 = 8;
const CONTEXT: u32 = 0x30;
const FRAME: u32 = 0x40;
const ONLY_LEAF: u32 = 0x80;
const EDITED: u32 = 0x100;
const REVERSE: u32 = 0x200;

/// rbp, as x64 counts registers. Source: gcinfotypes.h, NORMALIZE_STACK_BASE_REGISTER.
const RBP: u32 = 5;

impl Header {
    pub(super) fn read(stream: &mut Stream<'_>, format: Format) -> Known<Header> {
        if stream.bit()? { Header::fat(stream, format) } else { Header::slim(stream, format) }
    }

    fn slim(stream: &mut Stream<'_>, format: Format) -> Known<Header> {
        let frame = stream.bit()?.then_some(RBP);
        if format == Format::Three {
            stream.bits(2)?;
        }
        Ok(Header { code: stream.number(8)?, frame, is_slim: true, ..Header::default() })
    }

    fn fat(stream: &mut Stream<'_>, format: Format) -> Known<Header> {
        let flags = stream.bits(10)?;
        let has = |flag| flags & flag != 0;
        if format == Format::Three {
            stream.bits(4)?;
        }
        let code = stream.number(8)?;
        let mut header = Header { code, varargs: has(VARARG), only_leaf: has(ONLY_LEAF), ..Header::default() };
        if has(COOKIE) {
            header.prologue = stream.number(5)?.saturating_add(1);
            stream.number(3)?;
        } else if has(CONTEXT) {
            header.prologue = stream.number(5)?.saturating_add(1);
        }
        let mut slot = |there: bool| there.then(|| stream.signed(6).map(|slot| slot.saturating_mul(8))).transpose();
        header.cookie = slot(has(COOKIE))?;
        header.psp = slot(has(PSP) && format == Format::Three)?;
        let context = match flags & CONTEXT {
            0 => None,
            0x10 => Some(Context::Class),
            0x20 => Some(Context::Method),
            _ => Some(Context::This),
        };
        header.context = context.zip(slot(context.is_some())?);
        header.frame = has(FRAME).then(|| stream.number(3)).transpose()?.map(|register| register ^ RBP);
        if has(EDITED) {
            stream.number(4)?;
        }
        header.reverse = has(REVERSE).then(|| stream.signed(6)).transpose()?.map(|slot| slot.saturating_mul(8));
        header.outgoing = stream.number(3)?.saturating_mul(8);
        Ok(header)
    }
}

/// The calls and the ranges.
pub(super) fn stops(stream: &mut Stream<'_>, header: &Header) -> Known<(Vec<u32>, Vec<Range>)> {
    let calls = counted(stream.number(2)?)?;
    let ranges = if header.is_slim { 0 } else { counted(stream.number(1)?)? };
    // As many bits as it takes to count the code.
    let width = u32::BITS.saturating_sub(header.code.saturating_sub(1).leading_zeros());
    let mut points = Vec::new();
    for _ in 0..calls {
        points.push(stream.bits(width)?);
    }
    if !points.is_sorted() {
        return Err(damaged());
    }
    let mut from_to = Vec::new();
    let mut last = 0u32;
    for _ in 0..ranges {
        let from = last.checked_add(stream.number(6)?).ok_or_else(damaged)?;
        last = from.checked_add(stream.number(6)?).and_then(|to| to.checked_add(1)).ok_or_else(damaged)?;
        if last > header.code {
            return Err(damaged());
        }
        from_to.push(Range { from, to: last });
    }
    Ok((points, from_to))
}

fn counted(count: u32) -> Known<u32> {
    if count > MAX_STOPS { Err(damaged()) } else { Ok(count) }
}
