//! Callers without tables that the instructions confirm: the word of the stack is the return address, beyond what a
//! guess can be.
//!
//! A stack is full of return addresses of calls that are long over. A word is believed where the function that its call
//! states (or that a symbol gives, [`derived`]), followed instruction by instruction, reaches the place where the
//! callee stands and has by then moved the stack pointer by exactly the distance to that word ([`flow`](super::flow));
//! or where the way on to the function's return ends at that word ([`epilogue`](super::epilogue)). That finds every
//! frame inside musl, for example.

use super::cfi::Tables;
use super::chain;
use super::code::{Before, CodeMap, Kind, Site};
use super::flow::Flow;
use super::frame_pointer;
use super::row::{Caller, without_signature};
use super::rules::Row;
use super::words::Words;
use crate::model::{Addr, Arch, Register, Registers};

/// Bytes of stack searched for a word that the instructions confirm. The largest frame of musl 1.2.3 that blocks, a
/// name look-up with its answers (`name_from_dns`: two buffers of 4,800 bytes), is 11 KiB.
const CONFIRMED_WITHIN: u64 = 16 << 10;

/// What a search of that many bytes costs, beside the instructions that it follows.
const SEARCH_WORK: usize = 1_000;

/// The frame whose caller is wanted.
pub(super) struct Callee<'a> {
    /// Its registers.
    pub(super) registers: &'a Registers,
    /// Its stack pointer, or a place below which its caller's frame cannot begin.
    pub(super) stack: Addr,
    /// Whether its `pc` is a return address.
    pub(super) returns: bool,
    /// The place of its `pc`.
    pub(super) site: &'a Site,
    /// Its caller by the frame pointer, where that leads up.
    pub(super) chained: Option<&'a Caller>,
}

impl Callee<'_> {
    /// The rules applied; only where they lead to a return address.
    fn caller(&self, code: &CodeMap, words: &Words<'_>, row: &Row) -> Option<Caller> {
        let none = Tables::new(code.arch(), None, None, None);
        let caller = row.caller(&none, self.registers, words).ok()?;
        let returns = self.is_chained(&caller)
            || is_return_address(code, caller.registers.pc()?)
            || frame_pointer::is_pushed(code, words, &caller);
        returns.then_some(caller)
    }

    /// The same, and where the frame pointer leads up, only what comes by there.
    fn unskipping(&self, code: &CodeMap, words: &Words<'_>, row: &Row) -> Option<Caller> {
        let caller = self.caller(code, words, row)?;
        let fits = match (self.registers.fp().and_then(frame_pointer::return_slot), row.return_slot(self.registers)) {
            (Some(record), Ok(Some(slot))) if self.chained.is_some() && !self.is_chained(&caller) => {
                chain::comes_by(code, words, &caller, slot, record)
            }
            _ => true,
        };
        fits.then_some(caller)
    }

    /// Keeps rules for the next thread that stands here.
    fn keep(&self, row: &Row) {
        // Another thread may have been faster: its rules are as good.
        let _ = self.site.derived.set(row.clone());
    }

    /// Whether a caller is the one to which the frame pointer leads.
    pub(super) fn is_chained(&self, caller: &Caller) -> bool {
        self.chained.is_some_and(|chained| chained.is_same(caller))
    }
}

/// Whether a function can return to an address: it follows a call, or is the trampoline of a signal handler. One whose
/// code is not at hand is given the benefit of the doubt.
pub(super) fn is_return_address(code: &CodeMap, address: Addr) -> bool {
    match code.before(address) {
        Before::Call(_) | Before::Unreadable => true,
        Before::NoCall => code.is_code(address) && matches!(code.site(address, true).kind, Kind::Trampoline),
    }
}

/// The caller by rules that held for another thread at the same place, or from the start of the function where a symbol
/// gives it.
pub(super) fn derived(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    derived_row(code, words, callee).map(|(_, caller)| caller)
}

/// The same, with the rules.
pub(super) fn derived_row(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<(Row, Caller)> {
    let apply = |row: &Row| callee.unskipping(code, words, row).map(|caller| (row.clone(), caller));
    if let Some(row) = callee.site.derived.get() {
        return apply(row);
    }
    if !matches!(callee.site.kind, Kind::Bare) {
        return None;
    }
    let pc = callee.registers.pc()?;
    let lookup = if callee.returns { pc.minus(1)? } else { pc };
    let Flow::Reached(row, other) = &*code.follow(code.function_start(lookup)?, pc, callee.returns) else {
        return None;
    };
    let found = apply(row).or_else(|| apply(other.as_ref()?))?;
    callee.keep(&found.0);
    Some(found)
}

/// The caller found on the stack: by where its call leads, or by where the function will return.
pub(super) fn searched(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    if !code.may_spend(SEARCH_WORK) {
        return None;
    }
    called(code, words, callee).or_else(|| returning(code, words, callee))
}

/// The caller whose call leads to where the callee stands, at the distance that the instructions make.
fn called(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    let pc = callee.registers.pc()?;
    let linked = link(code, callee).map(|word| (None, word));
    let on_stack = return_addresses(code, words, callee.stack, CONFIRMED_WITHIN).map(|(slot, word)| (Some(slot), word));
    for (slot, word) in linked.into_iter().chain(on_stack) {
        let Before::Call(Some(target)) = code.before(word) else { continue };
        let Flow::Reached(row, other) = &*code.follow(target, pc, callee.returns) else { continue };
        // Else it is an earlier call of the same function.
        let there = |row: &&Row| row.return_slot(callee.registers) == Ok(slot);
        if let Some(row) = Some(row).filter(there).or(other.as_ref().filter(there)) {
            callee.keep(row);
            return callee.caller(code, words, row);
        }
    }
    None
}

/// The return address in the link register of aarch64, which holds one until the function makes a call of its own.
fn link(code: &CodeMap, callee: &Callee<'_>) -> Option<Addr> {
    if callee.returns || code.arch() != Arch::Aarch64 {
        return None;
    }
    callee.registers.get(Register(30)).map(|word| Addr(without_signature(Arch::Aarch64, word)))
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
    let rows = code.returns_from(pc, callee.returns);
    let callers = || rows.iter().filter_map(|row| Some((row, callee.unskipping(code, words, row)?)));
    // Where one way to return goes through the frame pointer, the others have strayed into another function.
    let found = callers().find(|(_, caller)| callee.is_chained(caller));
    let (row, caller) = found.or_else(|| callers().find(|(_, caller)| leads_here(caller)))?;
    callee.keep(row);
    Some(caller)
}

/// Words of the stack, upward from `stack`, that may be return addresses: where they lie, and the return address.
pub(super) fn return_addresses<'a>(
    code: &'a CodeMap,
    words: &'a Words<'_>,
    stack: Addr,
    within: u64,
) -> impl Iterator<Item = (Addr, Addr)> + 'a {
    let first = stack.0.checked_next_multiple_of(8);
    let slots = (0..within).step_by(8).map_while(move |offset| first?.checked_add(offset).map(Addr));
    slots
        .map_while(|slot| Some((slot, Addr(without_signature(code.arch(), words.get(slot).ok()?)))))
        .filter(|(_, word)| is_return_address(code, *word) && code.before(*word) != Before::Unreadable)
}
