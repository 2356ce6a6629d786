//! Callers without tables that the instructions confirm: the word of the stack is the return address, beyond what a guess can be.
//!
//! A stack is full of return addresses of calls that are long over. A word is believed where the function that its call states (or that
//! a symbol gives, [`derived`]), followed instruction by instruction, reaches the place where the callee stands and has by then moved
//! the stack pointer by exactly the distance to that word ([`flow`](super::flow)); or where the way on to the function's return ends at
//! that word ([`epilogue`](super::epilogue)). That finds every frame inside musl, for example.

use super::cfi::Tables;
use super::code::{Before, CodeMap, Kind, Site};
use super::flow::Flow;
use super::row::{Caller, Row};
use super::words::Words;
use crate::model::{Addr, Registers};

/// Bytes of stack searched for a word that the instructions confirm. The largest frame of musl 1.2.3 that blocks, a name look-up with its
/// answers (`name_from_dns`: two buffers of 4,800 bytes), is 11 KiB.
const CONFIRMED_WITHIN: u64 = 16 << 10;

/// The frame whose caller is wanted.
pub(super) struct Callee<'a> {
    /// Its registers.
    pub(super) registers: &'a Registers,
    /// Whether its `pc` is a return address.
    pub(super) returns: bool,
    /// The place of its `pc`.
    pub(super) site: &'a Site,
}

impl Callee<'_> {
    /// The rules applied; only where they lead to a return address. They are kept for the next thread that stands here.
    fn caller(&self, code: &CodeMap, words: &Words<'_>, row: &Row) -> Option<Caller> {
        let none = Tables::new(code.arch(), None, None, None);
        let caller = row.caller(&none, self.registers, words).ok()?;
        if !follows_call(code, caller.registers.pc()?) {
            return None;
        }
        // Another thread may have been faster: its rules are as good.
        let _ = self.site.derived.set(row.clone());
        Some(caller)
    }
}

/// Whether an address follows a call; one whose code is not at hand is given the benefit of the doubt.
pub(super) fn follows_call(code: &CodeMap, return_address: Addr) -> bool {
    !matches!(code.before(return_address), Before::NoCall)
}

/// The caller by rules that held for another thread at the same place, or from the start of the function where a symbol gives it.
pub(super) fn derived(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    if let Some(row) = callee.site.derived.get() {
        return callee.caller(code, words, row);
    }
    if !matches!(callee.site.kind, Kind::Bare) {
        return None;
    }
    let pc = callee.registers.pc()?;
    let lookup = if callee.returns { pc.minus(1)? } else { pc };
    match &*code.follow(code.function_start(lookup)?, pc, callee.returns) {
        Flow::Reached(row) => callee.caller(code, words, row),
        _ => None,
    }
}

/// The caller found on the stack: by where its call leads, or by where the function will return.
pub(super) fn searched(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    called(code, words, callee).or_else(|| returning(code, words, callee))
}

/// The caller whose call leads to where the callee stands, at the distance that the instructions make.
fn called(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    let pc = callee.registers.pc()?;
    for (slot, target) in return_addresses(code, words, callee.registers, CONFIRMED_WITHIN) {
        let Some(target) = target else { continue };
        let Flow::Reached(row) = &*code.follow(target, pc, callee.returns) else { continue };
        // Else it is an earlier call of the same function.
        if row.stack_distance(callee.registers) == slot.since(callee.registers.sp()?)?.checked_add(8) {
            return callee.caller(code, words, row);
        }
    }
    None
}

/// The caller to which the function will return.
fn returning(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    let pc = callee.registers.pc()?;
    let leads_here = |caller: &Caller| {
        let before = caller.registers.pc().map(|pc| code.before(pc));
        match before {
            // A direct call that does not lead here was answered by another function long ago.
            Some(Before::Call(Some(target))) => *code.follow(target, pc, callee.returns) != Flow::Elsewhere,
            _ => true,
        }
    };
    code.returns_from(pc).iter().find_map(|row| callee.caller(code, words, row).filter(leads_here))
}

/// Words of the stack, upward from the stack pointer, that follow a call: where they lie, and where that call leads if it says so.
pub(super) fn return_addresses<'a>(
    code: &'a CodeMap,
    words: &'a Words<'_>,
    registers: &Registers,
    within: u64,
) -> impl Iterator<Item = (Addr, Option<Addr>)> + 'a {
    let first = registers.sp().and_then(|sp| sp.0.checked_next_multiple_of(8));
    let slots = (0..within).step_by(8).map_while(move |offset| first?.checked_add(offset).map(Addr));
    slots.map_while(|slot| Some((slot, words.get(slot).ok()?))).filter_map(|(slot, word)| {
        match code.before(Addr(word)) {
            Before::Call(target) => Some((slot, target)),
            Before::NoCall | Before::Unreadable => None,
        }
    })
}
