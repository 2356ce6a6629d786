//! What a call has returned whose return address was replaced, to stop its caller: `HijackFrame`.
//!
//! .NET 8 and 9 keep what is returned beside the record, and tell in the thread what it is; of .NET 10 the caller's GC info tells it.

use super::super::clr::{Clr, plus};
use super::shape::Shape;
use crate::model::{Addr, Known};

/// Bytes between a record and the registers that the stub below it saved, at most.
const MAX_DISTANCE: u64 = 1 << 16;
// Of ReturnKind, two bits for each register: a reference to an object, or into one. Source: dotnet/runtime src/coreclr/inc/gcinfotypes.h of 8.0.
const OBJECT: u32 = 1;
const INTERIOR: u32 = 2;
/// None was replaced.
const NONE: u32 = 0xff;

/// What a record of a thread holds, if it is such a one.
pub(super) fn of(clr: &Clr, frame: Addr, thread: Addr) -> Shape {
    returned(clr, frame, thread).unwrap_or(Shape::Other)
}

fn returned(clr: &Clr, frame: Addr, thread: Addr) -> Known<Shape> {
    // Source: dotnet/runtime src/coreclr/vm/frames.h of 8.0, class HijackFrame: return address 16, thread 24, saved registers 32: rax, then rdx.
    let is_numbered = clr.memory().ptr(frame)?.0 < 0x1000;
    let saved = clr.memory().ptr(plus(frame, 32)?)?;
    let is_near = saved.since(frame).is_some_and(|distance| distance < MAX_DISTANCE) && saved.is_aligned(8);
    if is_numbered || !is_near || clr.memory().ptr(plus(frame, 24)?)? != thread {
        return Ok(Shape::Other);
    }
    let Ok(kind) = clr.u32(thread, "Thread", "HijackReturnKind") else { return Ok(Shape::ReturnedUnknown) };
    if kind == NONE {
        return Ok(Shape::Other);
    }
    let place = |kind: u32, at: Addr| (kind == OBJECT || kind == INTERIOR).then_some(at);
    Ok(Shape::Returned([place(kind & 3, saved), place(kind >> 2 & 3, plus(saved, 8)?)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    #[test]
    fn what_a_stopped_call_returns_is_held_as_the_thread_says() {
        // The record at 0x7000: table, next, return address, thread, saved registers; those at 0x7028; the thread at 0x7100.
        const THREAD: u64 = 0x7100;
        let told = |major: u32, kind: u64, thread: u64, saved: u64| {
            let mut words = vec![0x50_0000, 0, 0x1234, thread, saved, 0xaaa0, 0xbbb0];
            words.resize(0x400, 0);
            // HijackReturnKind at 1484: the upper half of the word at 1480.
            words[(0x100 + 1480) / 8] = kind << 32;
            of(&Clr::by_hand(major, Memory::of(0x7000, &words), &[]), Addr(0x7000), Addr(THREAD))
        };
        let (rax, rdx) = (Some(Addr(0x7028)), Some(Addr(0x7030)));
        for (kind, expected) in
            [(0, [None, None]), (1, [rax, None]), (2, [rax, None]), (4, [None, rdx]), (9, [rax, rdx])]
        {
            assert_eq!(told(8, kind, THREAD, 0x7028), Shape::Returned(expected), "{kind}");
        }
        assert_eq!(told(8, 0xff, THREAD, 0x7028), Shape::Other);
        assert_eq!(told(9, 1, THREAD, 0x7028), Shape::ReturnedUnknown);
        // Another thread's; not beside the record.
        assert_eq!(told(8, 1, 0x7200, 0x7028), Shape::Other);
        assert_eq!(told(8, 1, THREAD, 0x6000), Shape::Other);
    }
}
