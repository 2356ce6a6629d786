//! Where a supposed caller leads.
//!
//! A stale word of the stack betrays itself: from it, tables soon lead to a word that follows no call, or past the
//! record to which the frame pointer points, which every way up from here comes by.

use super::cfi::Tables;
use super::code::{CodeMap, Kind};
use super::confirm::{self, Callee, is_return_address};
use super::frame_pointer;
use super::row::Caller;
use super::words::Words;
use crate::model::{Addr, End};

/// Frames that are followed from a candidate to see whether it leads anywhere.
const LOOK_AHEAD: usize = 32;

/// How far a candidate leads; the better the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chain {
    /// After some frames to a word that follows no call.
    Broken,
    /// To code of which nothing is known, or out of the dump.
    Open,
    /// Farther than was looked.
    Long,
    /// To the first function of the thread.
    Bottom,
}

/// Searches of the stack while a candidate is followed; each costs as much as one in the walk itself.
const MAX_SEARCHES: usize = 4;

/// Follows a candidate upward by tables, by what the instructions confirm, and in code made at run time by frame
/// pointers. `None` where not even one step works.
pub(super) fn chain(code: &CodeMap, words: &Words<'_>, first: &Caller) -> Option<Chain> {
    let (mut registers, mut stack) = (first.registers.clone(), first.cfa);
    let mut searches = 0;
    for step in 0..LOOK_AHEAD {
        let pc = registers.pc()?;
        let site = code.site(pc, true);
        let (up, switch) = match &site.kind {
            Kind::Tabled(row, module, place) => {
                (row.caller(code.tables(*module, *place)?, &registers, words), row.switches_stacks())
            }
            Kind::Counted(row) => {
                let none = Tables::new(code.arch(), None, None, None);
                (row.caller(&none, &registers, words), row.signal)
            }
            Kind::Bare => {
                let generated = code.is_generated(pc);
                let chained = if generated { frame_pointer::supposed(code, words, &registers, stack) } else { None };
                let callee =
                    Callee { registers: &registers, stack, returns: true, site: &site, chained: chained.as_ref() };
                let known = match confirm::derived(code, words, &callee).or_else(|| chained.clone()) {
                    Some(up) => Some(up),
                    None if searches == MAX_SEARCHES => return Some(Chain::Long),
                    None => {
                        searches += 1;
                        confirm::searched(code, words, &callee)
                    }
                };
                let Some(up) = known else { return Some(Chain::Open) };
                if callee.is_chained(&up) {
                    (registers, stack) = (up.registers, up.cfa);
                    continue;
                }
                (Ok(up), false)
            }
            Kind::Trampoline => return Some(Chain::Open),
            Kind::Outermost => return Some(Chain::Bottom),
            Kind::Own(_) => return Some(Chain::Open),
            Kind::Wild => return broken(step),
        };
        match up {
            Ok(up) => {
                let rises = up.cfa > stack || switch;
                let returns = up.registers.pc().is_some_and(|pc| is_return_address(code, pc));
                if !rises || !(returns || frame_pointer::is_pushed(code, words, &up)) {
                    return broken(step);
                }
                (registers, stack) = (up.registers, up.cfa);
            }
            Err(End::Bottom) => return Some(Chain::Bottom),
            Err(End::NoMemory) => return Some(Chain::Open),
            Err(_) => return broken(step),
        }
    }
    Some(Chain::Long)
}

fn broken(step: usize) -> Option<Chain> {
    (step > 0).then_some(Chain::Broken)
}

/// Whether the way up from a caller, whose return address lies in `slot`, may come by the return address of a frame
/// record, which lies in `record`. Not if its frames lie on both sides of that; `true` where the way cannot be followed
/// so far.
pub(super) fn comes_by(code: &CodeMap, words: &Words<'_>, first: &Caller, slot: Addr, record: Addr) -> bool {
    let (mut registers, mut stack, mut slot) = (first.registers.clone(), first.cfa, slot);
    for _ in 0..LOOK_AHEAD {
        if slot >= record {
            return slot == record;
        }
        let Some(pc) = registers.pc() else { return true };
        let site = code.site(pc, true);
        let next = match &site.kind {
            Kind::Tabled(row, module, place) if !row.switches_stacks() => {
                let Some(tables) = code.tables(*module, *place) else { return true };
                row.caller(tables, &registers, words).map(|up| (row.return_slot(&registers), up))
            }
            Kind::Counted(row) if !row.signal => {
                let none = Tables::new(code.arch(), None, None, None);
                row.caller(&none, &registers, words).map(|up| (row.return_slot(&registers), up))
            }
            Kind::Bare => {
                let callee = Callee { registers: &registers, stack, returns: true, site: &site, chained: None };
                let Some((row, up)) = confirm::derived_row(code, words, &callee) else { return true };
                Ok((row.return_slot(&registers), up))
            }
            Kind::Own(_) | Kind::Tabled(..) | Kind::Counted(_) | Kind::Trampoline | Kind::Outermost => return true,
            Kind::Wild => return false,
        };
        match next {
            Ok((Ok(Some(above)), up)) if up.registers.pc().is_some_and(|pc| is_return_address(code, pc)) => {
                (registers, stack, slot) = (up.registers, up.cfa, above);
            }
            Ok((Ok(Some(above)), _)) => return above == record,
            Ok(_) | Err(End::Bottom | End::NoMemory) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// The caller by the frame pointer: where the code was made at run time, and elsewhere where that leads on.
pub(super) fn by_frame_pointer(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    let chained = callee.chained.filter(|_| matches!(callee.site.kind, Kind::Bare))?;
    let leads_on = || chain(code, words, chained).is_some_and(|chain| chain > Chain::Broken);
    if !code.is_generated(callee.registers.pc()?) && !leads_on() {
        return None;
    }
    // At a first frame the function may not have set it yet, or given it back.
    if callee.returns {
        let _ = callee.site.chained.set(());
    }
    Some(chained.clone())
}
