//! Callers without tables: words of the stack that follow a call, judged by where that call leads.
//!
//! A stack is full of return addresses of calls that are long over. A word is believed outright only if the function that its call
//! states, followed instruction by instruction, reaches the place where the callee stands and has by then moved the stack pointer by
//! exactly the distance to that word ([`super::flow`]). That finds, for example, every frame inside musl. Failing that, candidates are
//! ranked by how far call frame information leads from them: a stale one soon leads to a word that follows no call.

use super::cfi::Tables;
use super::code::{Before, CodeMap, Kind, Site};
use super::flow::Flow;
use super::frame_pointer;
use super::row::{Caller, Row};
use super::words::Words;
use crate::model::{Addr, End, Registers, Trust};

/// Bytes of stack searched for a word that the instructions confirm. The largest frame of musl 1.2.3 that blocks, a name look-up with its
/// answers (`name_from_dns`: two buffers of 4,800 bytes), is 11 KiB.
const CONFIRMED_WITHIN: u64 = 16 << 10;
/// Bytes of stack searched for a word that merely looks right: farther up, stale ones outnumber the real one.
const PLAUSIBLE_WITHIN: u64 = 4 << 10;
/// Plausible words that are compared at most.
const MAX_CANDIDATES: usize = 32;
/// Frames that are followed from a candidate to see whether it leads anywhere.
const LOOK_AHEAD: usize = 32;

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
    /// The rules applied; only where they lead to a return address.
    fn caller(&self, code: &CodeMap, words: &Words<'_>, row: &Row) -> Option<Caller> {
        let none = Tables::new(code.arch(), None, None, None);
        let caller = row.caller(&none, self.registers, words).ok()?;
        follows_call(code, caller.registers.pc()?).then_some(caller)
    }
}

/// The caller by rules that were derived from the instructions: for another thread before, or now from the function's symbol.
pub(super) fn derived(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    if let Some(row) = callee.site.derived.get() {
        return callee.caller(code, words, row);
    }
    if !matches!(callee.site.kind, Kind::Bare) {
        return None;
    }
    let pc = callee.registers.pc()?;
    let lookup = if callee.returns { pc.minus(1)? } else { pc };
    let Flow::Reached(row) = &*code.follow(code.function_start(lookup)?, pc, callee.returns) else { return None };
    let caller = callee.caller(code, words, row)?;
    // Another thread may have been faster; its rules are the same.
    let _ = callee.site.derived.set(row.clone());
    Some(caller)
}

/// The caller found on the stack.
pub(super) fn search(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<(Caller, Trust)> {
    let sp = callee.registers.sp()?;
    let pc = callee.registers.pc()?;
    let wild = matches!(callee.site.kind, Kind::Wild);
    let first = Addr(sp.0.checked_next_multiple_of(8)?);
    let mut candidates = Vec::new();
    for offset in (0..CONFIRMED_WITHIN).step_by(8) {
        let Some(slot) = first.plus(offset) else { break };
        let Ok(word) = words.get(slot) else { break };
        let Before::Call(target) = code.before(Addr(word)) else { continue };
        let score = match target.filter(|_| !wild).map(|target| code.follow(target, pc, callee.returns)).as_deref() {
            Some(Flow::Reached(row)) => match callee.caller(code, words, row) {
                Some(caller) if Some(caller.cfa) == slot.plus(8) => {
                    let _ = callee.site.derived.set(row.clone());
                    return Some((caller, Trust::Scan));
                }
                _ => continue, // an earlier call of the same function
            },
            Some(Flow::Elsewhere) => continue,
            Some(Flow::Unbalanced) => 2,
            Some(Flow::Unknown) | None => 1,
        };
        if offset < PLAUSIBLE_WITHIN && candidates.len() < MAX_CANDIDATES {
            candidates.extend(Candidate::at_slot(code, words, callee, slot, word, score));
        }
    }
    candidates.extend(Candidate::by_frame_pointer(code, words, callee));
    // The best; among equals the innermost (it was pushed first, and the later maximum would win).
    let best = candidates.into_iter().rev().max_by_key(|candidate| (candidate.chain, candidate.score))?;
    Some((best.caller, best.trust))
}

/// Whether an address follows a call; one whose code is not at hand is given the benefit of the doubt.
fn follows_call(code: &CodeMap, return_address: Addr) -> bool {
    !matches!(code.before(return_address), Before::NoCall)
}

/// How far a candidate leads; the better the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chain {
    /// After some frames to a word that follows no call.
    Broken,
    /// To code without tables, or out of the dump.
    Open,
    /// Through frames with tables only, farther than was looked.
    Long,
    /// To the first function of the thread.
    Bottom,
}

struct Candidate {
    caller: Caller,
    trust: Trust,
    chain: Chain,
    score: u8,
}

impl Candidate {
    fn at_slot(
        code: &CodeMap,
        words: &Words<'_>,
        callee: &Callee<'_>,
        slot: Addr,
        word: u64,
        score: u8,
    ) -> Option<Candidate> {
        let arch = code.arch();
        let cfa = slot.plus(8)?;
        let mut registers = Registers::unknown(arch);
        registers.set(arch.instruction_pointer(), word);
        registers.set(arch.stack_pointer(), cfa.0);
        // Code without tables often leaves the frame pointer alone; what it leads to is checked at every step.
        if let Some(fp) = callee.registers.fp() {
            registers.set(arch.frame_pointer(), fp.0);
        }
        Candidate { caller: Caller { registers, cfa }, trust: Trust::Scan, chain: Chain::Open, score }
            .judged(code, words)
    }

    fn by_frame_pointer(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Candidate> {
        let caller = frame_pointer::caller(callee.registers, words)?;
        let pc = caller.registers.pc()?;
        if !follows_call(code, pc) {
            return None;
        }
        Candidate { caller, trust: Trust::FramePointer, chain: Chain::Open, score: 3 }.judged(code, words)
    }

    fn judged(mut self, code: &CodeMap, words: &Words<'_>) -> Option<Candidate> {
        self.chain = chain(code, words, self.caller.registers.clone())?;
        Some(self)
    }
}

/// Follows tables upward from a candidate. `None` where not even one step works.
fn chain(code: &CodeMap, words: &Words<'_>, mut registers: Registers) -> Option<Chain> {
    for step in 0..LOOK_AHEAD {
        let site = code.site(registers.pc()?, true);
        let (row, tables) = match &site.kind {
            Kind::Tabled(row, module, place) => (row, code.tables(*module, *place)?),
            Kind::Trampoline | Kind::Bare => return Some(Chain::Open),
            Kind::Outermost => return Some(Chain::Bottom),
            Kind::Wild => return broken(step),
        };
        match row.caller(tables, &registers, words) {
            Ok(up) => {
                let rises = up.registers.sp() > registers.sp() || row.switches_stacks();
                if !rises || !up.registers.pc().is_some_and(|pc| leads_on(code, pc)) {
                    return broken(step);
                }
                registers = up.registers;
            }
            Err(End::Bottom) => return Some(Chain::Bottom),
            Err(End::NoMemory) => return Some(Chain::Open),
            Err(_) => return broken(step),
        }
    }
    Some(Chain::Long)
}

fn leads_on(code: &CodeMap, pc: Addr) -> bool {
    follows_call(code, pc) || matches!(code.site(pc, true).kind, Kind::Trampoline)
}

fn broken(step: usize) -> Option<Chain> {
    (step > 0).then_some(Chain::Broken)
}
