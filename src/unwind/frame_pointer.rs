//! The chain of saved frame pointers: `rbp` (x29) points to the caller's, the return address lies above it.
//!
//! Interpreters and compilers that make code at run time keep the chain, and write no tables. Two of their habits are
//! known here. They enter the next function by a jump, with a return address that they have pushed themselves, so that
//! it follows no call. And the code that called into the first of them may use the register for anything, so that the
//! last record's saved value is no frame pointer.

use super::chain::{Chain, chain};
use super::code::{Before, CodeMap, Kind};
use super::row::{Caller, without_signature};
use super::words::Words;
use crate::model::{Addr, Arch, Registers};

/// A frame that reaches farther than this from the stack pointer is not believed: the default stack of a thread is 8
/// MiB, and no frame but the one that is about to overflow it takes an eighth.
const MAX_FRAME: u64 = 1 << 20;
/// Records above one whose return address follows no call that are looked at.
const LOOK_AHEAD: usize = 4;
/// Records that are followed to a frame that a runtime records.
const MAX_RECORDS: usize = 256;
/// Bytes of stack searched for a record. Frames of compiled methods are small; the largest are those with the most
/// spilled registers.
const NEAREST_WITHIN: u64 = 4 << 10;
/// What that search costs, in units of [`CodeMap::may_spend`].
const SEARCH_WORK: usize = 500;
/// Bytes between a frame and its caller's stack pointer that are believed: an interpreter makes room for a method's
/// arguments and locals there, and few methods have more than 256 of them.
const MAX_LOCALS: u64 = 2048;

/// The saved frame pointer and the return address above it.
struct Record {
    at: Addr,
    saved: u64,
    return_address: Addr,
}

/// What a return address says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Landing {
    /// It follows a call.
    Called,
    /// It follows none, but is in code without tables, which may push what it likes.
    Pushed,
}

/// Where the return address of the frame record at `fp` lies.
pub(super) fn return_slot(fp: Addr) -> Option<Addr> {
    fp.plus(8)
}

/// The caller by the frame pointer, where it is to be believed: the record looks like one (aligned, at or above the
/// stack pointer and near, its return address behind a call or in code without tables), and the saved frame pointer
/// rises or is zero, at the thread's first function. Where it does not, since the caller uses the register for
/// something else, tables or instructions must lead on from there. `stack` is the callee's stack pointer. Only the
/// registers that the chain restores are known; on aarch64 the stack pointer is not among them, since a frame record
/// lies anywhere in its frame (AAPCS64 6.4.6), and the frame address is a lower bound.
pub(super) fn caller(code: &CodeMap, words: &Words<'_>, callee: &Registers, stack: Addr) -> Option<Caller> {
    let record = Record::read(words, callee.arch(), callee.fp()?, stack)?;
    let landing = record.landing(code)?;
    if record.is_rising(code, words, landing) {
        return record.caller(code, words, callee);
    }
    let least = match (landing, &code.site(record.return_address, true).kind) {
        (Landing::Called, Kind::Tabled(..) | Kind::Own(_)) => Chain::Open,
        // Of such code nothing is known but what its instructions show.
        (Landing::Called, Kind::Bare) if code.is_generated(record.return_address) => Chain::Long,
        _ => return None,
    };
    let caller = record.caller(code, words, callee)?;
    chain(code, words, &caller).is_some_and(|chain| chain >= least).then_some(caller)
}

/// The caller by the frame pointer where that is not yet known to lead anywhere: the record is aligned, at or above the
/// stack pointer and near, and its return address lies behind a call. Or in code without tables: then the record and
/// the next ones must rise.
pub(super) fn supposed(code: &CodeMap, words: &Words<'_>, callee: &Registers, stack: Addr) -> Option<Caller> {
    let record = Record::read(words, callee.arch(), callee.fp()?, stack)?;
    let landing = record.landing(code)?;
    let believable = landing == Landing::Called || record.is_rising(code, words, landing);
    if believable { record.caller(code, words, callee) } else { None }
}

/// Whether a return address that follows no call was pushed by code made at run time: the caller's frame pointer begins
/// a chain of records.
pub(super) fn is_pushed(code: &CodeMap, words: &Words<'_>, caller: &Caller) -> bool {
    let record = |at| Record::read(words, code.arch(), at, caller.cfa);
    caller.registers.pc().is_some_and(|pc| code.is_generated(pc))
        && caller.registers.fp().and_then(record).is_some_and(|record| record.begins_chain(code, words))
}

/// The nearest record on the stack from which a chain leads up: code made at run time that uses the frame pointer
/// register for something else has saved its caller's, next to the return address.
pub(super) fn nearest(code: &CodeMap, words: &Words<'_>, callee: &Registers, stack: Addr) -> Option<Caller> {
    if !code.is_generated(callee.pc()?) || !code.may_spend(SEARCH_WORK) {
        return None;
    }
    let first = Addr(stack.0.checked_next_multiple_of(8)?);
    (0..NEAREST_WITHIN)
        .step_by(8)
        .map_while(|offset| Record::read(words, code.arch(), first.plus(offset)?, stack))
        .find_map(|record| if record.begins_chain(code, words) { record.caller(code, words, callee) } else { None })
}

/// Whether the chain that a caller begins comes by a frame that a runtime records: at its stack pointer, or by the frame pointer that it has.
pub(super) fn comes_by(words: &Words<'_>, caller: &Caller, recorded: &Caller) -> bool {
    let (mut cfa, mut next) = (caller.cfa, caller.registers.fp());
    for _ in 0..MAX_RECORDS {
        if cfa >= recorded.cfa {
            return cfa == recorded.cfa;
        }
        let Some(record) = next else { return false };
        if recorded.registers.fp() == Some(record) {
            return true;
        }
        let above = Record::read(words, caller.registers.arch(), record, cfa);
        let Some((above, behind)) = above.and_then(|above| Some((above.saved, above.at.plus(16)?))) else {
            return false;
        };
        (cfa, next) = (behind, Some(Addr(above)));
    }
    false
}

impl Record {
    fn read(words: &Words<'_>, arch: Arch, at: Addr, from: Addr) -> Option<Record> {
        if !at.is_aligned(8) || at.since(from)? > MAX_FRAME {
            return None;
        }
        let return_address = Addr(without_signature(arch, words.get(return_slot(at)?).ok()?));
        Some(Record { at, saved: words.get(at).ok()?, return_address })
    }

    fn landing(&self, code: &CodeMap) -> Option<Landing> {
        let kind = || code.is_code(self.return_address).then(|| code.site(self.return_address, true));
        match code.before(self.return_address) {
            Before::Call(_) | Before::Unreadable => Some(Landing::Called),
            Before::NoCall => match kind()?.kind {
                Kind::Trampoline => Some(Landing::Called),
                Kind::Bare => Some(Landing::Pushed),
                Kind::Own(_) | Kind::Tabled(..) | Kind::Counted(_) | Kind::Outermost | Kind::Wild => None,
            },
        }
    }

    /// Whether this record and the next ones are such that the chance of that is small.
    fn begins_chain(&self, code: &CodeMap, words: &Words<'_>) -> bool {
        // The cheap question first: most words of a stack point nowhere above them.
        self.saved > self.at.0 && self.landing(code).is_some() && self.is_rising(code, words, Landing::Pushed)
    }

    fn is_rising(&self, code: &CodeMap, words: &Words<'_>, landing: Landing) -> bool {
        let rises = self.saved > self.at.0;
        if landing == Landing::Called {
            return rises || self.saved == 0;
        }
        let (mut from, mut next) = (self.at, self.saved);
        for _ in 0..LOOK_AHEAD {
            let above = if next > from.0 { Record::read(words, code.arch(), Addr(next), from) } else { None };
            match above.map(|record| (record.landing(code), record)) {
                Some((Some(Landing::Called), _)) => return true,
                Some((Some(Landing::Pushed), record)) => (from, next) = (record.at, record.saved),
                _ => return false,
            }
        }
        true
    }

    fn caller(&self, code: &CodeMap, words: &Words<'_>, callee: &Registers) -> Option<Caller> {
        let arch = callee.arch();
        let cfa = self.at.plus(16)?;
        let mut registers = Registers::unknown(arch);
        registers.set(arch.instruction_pointer(), self.return_address.0);
        registers.set(arch.frame_pointer(), self.saved);
        if arch == Arch::X86_64 {
            let sender = self.sender(code, words, callee);
            registers.set(arch.stack_pointer(), sender.unwrap_or(cfa).0);
        }
        Some(Caller { registers, cfa })
    }

    /// The stack pointer of a caller below which locals were pushed: HotSpot's interpreter keeps it below the saved
    /// frame pointer. Source: OpenJDK 17 src/hotspot/cpu/x86/frame_x86.hpp, `interpreter_frame_sender_sp_offset`.
    fn sender(&self, code: &CodeMap, words: &Words<'_>, callee: &Registers) -> Option<Addr> {
        if !code.is_generated(self.return_address) || !code.is_generated(callee.pc()?) {
            return None;
        }
        let sender = Addr(words.get(self.at.minus(8)?).ok()?);
        let room = sender.since(self.at.plus(16)?)?;
        let below = self.saved <= self.at.0 || sender.0 <= self.saved;
        (sender.is_aligned(8) && room <= MAX_LOCALS && below).then_some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{CALL_RAX, CODE, STACK, code, target, walk};
    use super::*;
    use crate::model::End;
    use crate::model::Trust::{Context, FramePointer, Scan};

    // Code of no module, of int3 but for some calls: nothing shows how it returns.
    const SILENT: usize = 0x200;

    #[test]
    fn a_register_that_is_no_frame_pointer_is_refused() {
        // sp → | local | saved rbp | return address |, its code not at hand
        let frames = |fp, saved| {
            let target = target(Arch::X86_64, None, &[0, saved, 0x1080]);
            walk(&target, &[(6, fp), (7, STACK), (16, 0x1004)]).0.len()
        };
        assert_eq!(frames(STACK + 8, STACK + 0x40), 2);
        assert_eq!(frames(STACK + 8, 0), 2, "the thread's first function");
        assert_eq!(frames(STACK + 8, STACK), 1, "the chain leads down");
        assert_eq!(frames(STACK + 4, STACK + 0x40), 1, "not aligned");
        assert_eq!(frames(STACK - 8, STACK + 0x40), 1, "below the stack pointer");
        assert_eq!(frames(STACK + 0x800, STACK + 0x40), 1, "not readable");
    }

    #[test]
    fn return_addresses_that_follow_no_call_are_believed_of_records_that_go_on() {
        // sp → | local | rbp, return | local | rbp, return | rbp, return | rbp, return behind a call |
        let at = |words: u64| STACK + words * 8;
        let stack = [0, at(4), 0x1080, 0, at(6), 0x1090, at(8), 0x10a0, 0, 0x10b2];
        let code = code(SILENT, &[(0xb0, CALL_RAX)]);
        let started = [(6, at(1)), (7, STACK), (16, 0x1004)];
        let (frames, end) = walk(&target(Arch::X86_64, Some(&code), &stack), &started);
        let chained = [(0x1080, at(3)), (0x1090, at(6)), (0x10a0, at(8)), (0x10b2, at(10))];
        let chained = chained.map(|(pc, sp)| (pc, sp, FramePointer));
        assert_eq!(frames, [&[(0x1004, STACK, Context)], &chained[..]].concat());
        assert_eq!(end, End::NoMemory, "above the last frame");
        let mut broken = stack;
        broken[5] = 0xdead;
        let (frames, _) = walk(&target(Arch::X86_64, Some(&code), &broken), &started);
        assert!(!frames.contains(&(0x1080, at(3), FramePointer)), "{frames:x?}: the next record is none");
    }

    #[test]
    fn a_word_that_follows_a_call_does_not_win_over_the_chain() {
        // sp → | an old return address | rbp, return | old | old | rbp, return |, all behind calls
        let at = |words: u64| STACK + words * 8;
        let stack = [0x1012, at(5), 0x1022, 0x1012, 0x1032, 0, 0x1032];
        let code = code(SILENT, &[(0x10, CALL_RAX), (0x20, CALL_RAX), (0x30, CALL_RAX)]);
        let (frames, _) = walk(&target(Arch::X86_64, Some(&code), &stack), &[(6, at(1)), (7, STACK), (16, 0x1004)]);
        assert_eq!(frames, [(0x1004, STACK, Context), (0x1022, at(3), FramePointer), (0x1032, at(7), FramePointer)]);
    }

    #[test]
    fn the_sender_of_an_interpreted_frame_is_above_its_arguments() {
        // sp → | the sender's sp | rbp, return | argument | argument | rbp, return |: the sender's rbp is not its own
        let at = |words: u64| STACK + words * 8;
        let stack = [at(5), at(5), 0x1012, 7, 7, 0, 0x1022];
        let code = code(SILENT, &[(0x10, CALL_RAX), (0x20, CALL_RAX)]);
        let (frames, _) = walk(&target(Arch::X86_64, Some(&code), &stack), &[(6, at(1)), (7, STACK), (16, 0x1004)]);
        assert_eq!(
            frames.get(1),
            Some(&(0x1012, at(5), FramePointer)),
            "the stack pointer it had before it pushed them"
        );
    }

    #[test]
    fn a_frame_whose_register_is_none_leads_to_the_nearest_record() {
        // sp → | spilled | rbp, pushed return | local | rbp, pushed return | rbp, return behind a call |
        let at = |words: u64| STACK + words * 8;
        let stack = [0x1234, at(4), 0x1080, 0, at(6), 0x1090, 0, 0x10b2];
        let code = code(SILENT, &[(0xb0, CALL_RAX)]);
        let (frames, _) = walk(&target(Arch::X86_64, Some(&code), &stack), &[(6, 0x12345), (7, STACK), (16, 0x1004)]);
        let expected = [
            (0x1004, STACK, Context),
            (0x1080, at(3), Scan),
            (0x1090, at(6), FramePointer),
            (0x10b2, at(8), FramePointer),
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn records_of_aarch64_lie_anywhere_in_their_frames() {
        // sp → | local | x29, pushed return | local | x29, pushed return | x29, return behind blr x1 |
        let at = |words: u64| STACK + words * 8;
        let stack = [0, at(4), 0x1080, 0, at(6), 0x1090, 0, 0x10b4];
        let mut silent: Vec<u8> = [0x20, 0x00, 0x20, 0xd4].repeat(SILENT / 4); // brk #1
        silent[0xb0..0xb4].copy_from_slice(&[0x20, 0x00, 0x3f, 0xd6]);
        let registers = [(29, at(1)), (30, CODE + 0x40), (31, STACK), (32, 0x1004)];
        let (frames, _) = walk(&target(Arch::Aarch64, Some(&silent), &stack), &registers);
        let pcs: Vec<_> = frames.iter().map(|(pc, _, trust)| (*pc, *trust)).collect();
        let expected = [(0x1004, Context), (0x1080, FramePointer), (0x1090, FramePointer), (0x10b4, FramePointer)];
        assert_eq!(pcs, expected);
    }
}
