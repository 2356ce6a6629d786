//! Callers without tables that are merely plausible: by the frame pointer, or a word of the stack that follows a call.
//!
//! Candidates are ranked by how far they lead: from a stale one, tables soon lead to a word that follows no call.

use super::chain::{Chain, chain};
use super::code::{Before, CodeMap, Kind};
use super::confirm::{Callee, return_addresses};
use super::flow::Flow;
use super::row::{Caller, without_signature};
use super::words::Words;
use crate::model::{Addr, Arch, Registers, Trust};

/// Bytes of stack searched for a word that looks right: farther up, stale ones outnumber the real one.
const PLAUSIBLE_WITHIN: u64 = 4 << 10;
/// Words that are compared at most.
const MAX_CANDIDATES: usize = 32;
/// What comparing candidates costs, in units of [`CodeMap::may_spend`].
const COMPARE_WORK: usize = 5_000;

/// The most plausible caller.
pub(super) fn search(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<(Caller, Trust)> {
    let pc = callee.registers.pc()?;
    let wild = matches!(callee.site.kind, Kind::Wild);
    let score = |word: Addr| match code.before(word) {
        Before::Call(Some(target)) if !wild => match *code.follow(target, pc, callee.returns) {
            Flow::Unbalanced => Some(2),
            Flow::Unknown => Some(1),
            // An earlier call of the same function, or a call of another.
            Flow::Reached(..) | Flow::Elsewhere => None,
        },
        _ => Some(1),
    };
    let scanned = return_addresses(code, words, callee.stack, PLAUSIBLE_WITHIN)
        .filter_map(|(slot, word)| Candidate::at_slot(code, words, callee, slot, score(word)?))
        .take(if code.may_spend(COMPARE_WORK) { MAX_CANDIDATES } else { 0 });
    let chained = Candidate::by_frame_pointer(code, words, callee);
    let candidates: Vec<Candidate> = scanned.chain(chained).collect();
    // Among equals the innermost: `max_by_key` takes the last.
    let best = candidates.into_iter().rev().max_by_key(|candidate| (candidate.chain, candidate.score))?;
    if best.trust == Trust::Scan {
        let place = (best.caller.cfa.since(callee.stack)?, best.caller.registers.pc()?);
        // The first thread's answer stays.
        let _ = callee.site.plausible.set(place);
    }
    Some((best.caller, best.trust))
}

/// The most plausible caller where it was found for another thread that stands at the same place: the same return
/// address at the same distance.
pub(super) fn found_before(words: &Words<'_>, callee: &Callee<'_>) -> Option<Caller> {
    let (distance, return_address) = *callee.site.plausible.get()?;
    let slot = callee.stack.plus(distance)?.minus(8)?;
    caller_at(words, callee.registers, slot).filter(|caller| caller.registers.pc() == Some(return_address))
}

/// The caller, if a slot of the stack holds its return address.
fn caller_at(words: &Words<'_>, callee: &Registers, slot: Addr) -> Option<Caller> {
    let arch = callee.arch();
    let cfa = slot.plus(8)?;
    let mut registers = Registers::unknown(arch);
    registers.set(arch.instruction_pointer(), without_signature(arch, words.get(slot).ok()?));
    match arch {
        Arch::X86_64 => {
            registers.set(arch.stack_pointer(), cfa.0);
            // Code without tables often leaves the frame pointer alone; what it leads to is checked at every step.
            if let Some(fp) = callee.fp() {
                registers.set(arch.frame_pointer(), fp.0);
            }
        }
        // A return address is stored together with the frame pointer, at any place in its frame.
        Arch::Aarch64 => registers.set(arch.frame_pointer(), words.get(slot.minus(8)?).ok()?),
    }
    Some(Caller { registers, cfa })
}

struct Candidate {
    caller: Caller,
    trust: Trust,
    chain: Chain,
    score: u8,
}

impl Candidate {
    fn at_slot(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>, slot: Addr, score: u8) -> Option<Candidate> {
        let caller = caller_at(words, callee.registers, slot)?;
        Candidate { caller, trust: Trust::Scan, chain: Chain::Open, score }.judged(code, words)
    }

    fn by_frame_pointer(code: &CodeMap, words: &Words<'_>, callee: &Callee<'_>) -> Option<Candidate> {
        let caller = callee.chained?.clone();
        Candidate { caller, trust: Trust::FramePointer, chain: Chain::Open, score: 3 }.judged(code, words)
    }

    fn judged(mut self, code: &CodeMap, words: &Words<'_>) -> Option<Candidate> {
        self.chain = chain(code, words, &self.caller)?;
        Some(self)
    }
}
