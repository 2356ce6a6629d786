//! One stack, frame by frame.

use rustc_hash::FxHashSet;

use super::code::Before;
use super::code::{CodeMap, Kind};
use super::confirm::{self, Callee};
use super::row::{Caller, preserved, without_signature};
use super::scan;
use super::signal;
use super::start;
use super::words::Words;
use crate::job::Job;
use crate::model::{Addr, Arch, End, Frame, FrameKind, Register, Registers, Stack, Trust};

/// Frames of one stack at most: as many as the usual limit of 8 MiB holds of the smallest that compilers make (return address and saved
/// frame pointer: 16 bytes), so that an overflow is shown down to what began it.
const MAX_FRAMES: usize = 530_000;
/// Frames of one stack that are always kept; those beyond come out of what all stacks of a target share.
const SURE_FRAMES: usize = 1_000;
/// Changes of the stack (signal frames, frame addresses read from memory) in one walk at most. Handlers nest a few deep.
const MAX_SWITCHES: usize = 1_000;
/// Searches of a stack for return addresses in one walk at most; each costs up to 0.1 ms.
const MAX_SEARCHES: usize = 2_000;
/// Frames between two looks at whether the job was cancelled.
const CANCEL_EVERY: usize = 1 << 12;

/// The walk up one stack.
pub(super) struct Walk<'t> {
    code: &'t CodeMap,
    words: Words<'t>,
    switches: FxHashSet<(Addr, Addr)>,
    searches: usize,
}

/// A step up.
struct Up {
    caller: Caller,
    trust: Trust,
    /// Whether the caller stands after a call, and was not interrupted.
    returns: bool,
    /// Whether the caller's stack may lie anywhere.
    switch: bool,
}

impl<'t> Walk<'t> {
    /// A walk through code and memory of one target.
    pub(super) fn new(code: &'t CodeMap) -> Walk<'t> {
        Walk { code, words: Words::new(code.memory()), switches: FxHashSet::default(), searches: 0 }
    }

    /// All frames above (and with) the one that `start` describes.
    pub(super) fn run(mut self, start: &Registers, job: &Job) -> Stack {
        let mut stack = Stack { frames: Vec::new(), registers: Vec::new(), end: End::Limit };
        let mut kept = Vec::with_capacity(Stack::KEPT_REGISTERS);
        let mut registers = start.clone();
        let (mut returns, mut trust) = (false, Trust::Context);
        let mut known_stack = None;
        while stack.frames.len() < SURE_FRAMES || (stack.frames.len() < MAX_FRAMES && self.code.may_go_deeper()) {
            let (Some(pc), Some(sp)) = (registers.pc(), registers.sp().or(known_stack)) else {
                stack.end = End::NoUnwindInfo;
                break;
            };
            let site = self.code.site(pc, returns);
            let trampoline = matches!(site.kind, Kind::Trampoline);
            let kind = if trampoline { FrameKind::Signal } else { FrameKind::Native };
            if kept.len() < Stack::KEPT_REGISTERS {
                kept.push(registers.clone());
            }
            let up = self.step(&Callee { registers: &registers, stack: sp, returns, site: &site });
            // Else a lower bound.
            let cfa = up.as_ref().ok().and_then(|up| up.caller.registers.sp().and(Some(up.caller.cfa)));
            stack.frames.push(Frame { pc, returns: returns && !trampoline, sp, cfa, kind, trust });
            match up {
                Ok(up) => {
                    known_stack = Some(up.caller.cfa);
                    (registers, returns, trust) = (up.caller.registers, up.returns, up.trust);
                }
                Err(end) => {
                    stack.end = end;
                    break;
                }
            }
            if stack.frames.len().is_multiple_of(CANCEL_EVERY) && job.is_cancelled() {
                break;
            }
        }
        // A thousand stacks are kept: none with room to grow.
        stack.frames.shrink_to_fit();
        stack.registers = kept.as_slice().to_vec();
        stack
    }

    fn step(&mut self, callee: &Callee<'_>) -> Result<Up, End> {
        if !callee.returns && start::is_newborn(self.code.memory(), callee.registers) {
            return Err(End::Bottom);
        }
        match &callee.site.kind {
            Kind::Tabled(row, module, place) => {
                let tables = self.code.tables(*module, *place).ok_or(End::NoUnwindInfo)?;
                match row.caller(tables, callee.registers, &self.words) {
                    Err(End::Bottom) => Err(End::Bottom),
                    Err(end) => self.guess(callee).ok_or(end),
                    Ok(caller) => {
                        let up = Up { caller, trust: Trust::Cfi, returns: !row.signal, switch: row.switches_stacks() };
                        match self.check(callee, &up) {
                            Ok(()) => Ok(up),
                            Err(end) => self.beyond(callee, &up).or_else(|| self.guess(callee)).ok_or(end),
                        }
                    }
                }
            }
            Kind::Trampoline => {
                let sp = callee.stack;
                let registers = signal::interrupted(self.code.arch(), sp, &self.words).map_err(|_| End::NoMemory)?;
                let cfa = registers.sp().unwrap_or(sp);
                let up = Up { caller: Caller { registers, cfa }, trust: Trust::Context, returns: false, switch: true };
                self.check(callee, &up)?;
                Ok(up)
            }
            Kind::Outermost => Err(End::Bottom),
            Kind::Bare => self.guess(callee).ok_or_else(|| self.why(callee)),
            Kind::Wild => {
                let called = if callee.returns { None } else { self.called_wild(callee) };
                called.or_else(|| self.guess(callee)).ok_or_else(|| self.why(callee))
            }
        }
    }

    /// Whether a step leads somewhere: into code, and up the stack.
    fn check(&mut self, callee: &Callee<'_>, up: &Up) -> Result<(), End> {
        let pc = up.caller.registers.pc().ok_or(End::NoUnwindInfo)?;
        let sp = up.caller.cfa;
        // Interrupted code may stand anywhere: that may be why it was interrupted.
        if up.returns && matches!(self.code.site(pc, true).kind, Kind::Wild) {
            return Err(End::NoUnwindInfo);
        }
        if up.switch {
            let fresh = self.switches.len() < MAX_SWITCHES && self.switches.insert((pc, sp));
            return if fresh { Ok(()) } else { Err(End::Loop) };
        }
        // A leaf of aarch64 uses no stack; a function that called another does.
        let rises = sp > callee.stack || (sp == callee.stack && !callee.returns && self.code.arch() == Arch::Aarch64);
        if rises { Ok(()) } else { Err(End::Loop) }
    }

    /// The next believable caller where the return address was overwritten, but the frame's end is known: words inside the frame are no
    /// candidates.
    fn beyond(&mut self, callee: &Callee<'_>, up: &Up) -> Option<Up> {
        if up.caller.cfa <= callee.stack || up.switch {
            return None;
        }
        let site = self.code.site(up.caller.registers.pc()?, true);
        if !matches!(site.kind, Kind::Wild) {
            return None;
        }
        self.guess(&Callee { registers: &up.caller.registers, stack: up.caller.cfa, returns: true, site: &site })
    }

    /// The caller by weaker methods.
    fn guess(&mut self, callee: &Callee<'_>) -> Option<Up> {
        let (code, words) = (self.code, &self.words);
        let (caller, trust) = match confirm::derived(code, words, callee).or_else(|| scan::found_before(words, callee))
        {
            Some(caller) => (caller, Trust::Scan),
            None if self.searches < MAX_SEARCHES => {
                self.searches = self.searches.saturating_add(1);
                match confirm::searched(code, words, callee) {
                    Some(caller) => (caller, Trust::Scan),
                    None => scan::search(code, words, callee)?,
                }
            }
            None => return None,
        };
        let up = Up { caller, trust, returns: true, switch: false };
        self.check(callee, &up).is_ok().then_some(up)
    }

    /// The caller of something that is no code: the call has pushed its return address, nothing has happened since.
    fn called_wild(&self, callee: &Callee<'_>) -> Option<Up> {
        let arch = self.code.arch();
        let (callee, sp) = (callee.registers, callee.stack);
        let (pc, cfa) = match arch {
            Arch::X86_64 => (self.words.get(sp).ok()?, sp.plus(8)?),
            Arch::Aarch64 => (without_signature(arch, callee.get(Register(30))?), sp),
        };
        let called = matches!(self.code.before(Addr(pc)), Before::Call(_))
            || callee.pc().is_some_and(|target| self.code.calls(Addr(pc), target));
        if !called {
            return None;
        }
        let mut registers = callee.clone();
        registers.keep(preserved(arch));
        registers.set(arch.instruction_pointer(), pc);
        registers.set(arch.stack_pointer(), cfa.0);
        Some(Up { caller: Caller { registers, cfa }, trust: Trust::Scan, returns: true, switch: false })
    }

    fn why(&self, callee: &Callee<'_>) -> End {
        if self.words.get(callee.stack).is_err() { End::NoMemory } else { End::NoUnwindInfo }
    }
}
