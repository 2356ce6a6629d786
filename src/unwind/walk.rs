//! One stack, frame by frame.

use rustc_hash::FxHashSet;

use super::cfi::Tables;
use super::chain;
use super::code::Before;
use super::code::{CodeMap, Kind};
use super::confirm::{self, Callee};
use super::frame_pointer;
use super::own::{Beyond, OwnFrame, Step};
use super::row::{Caller, preserved, without_signature};
use super::scan;
use super::signal;
use super::start;
use super::words::Words;
use crate::job::Job;
use crate::model::{Addr, Arch, End, Frame, FrameKind, Recorder, Register, Registers, Stack, Trust};

/// Changes to a stack that lies lower (signal frames, frame addresses read from memory) in one walk at most. Handlers
/// nest a few deep.
const MAX_SWITCHES: usize = 1_000;

/// The walk up one stack.
pub(super) struct Walk<'t> {
    code: &'t CodeMap,
    words: Words<'t>,
    /// Where changes of the stack led that did not rise: code and stack pointer.
    switches: FxHashSet<(Addr, Addr)>,
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

impl Up {
    /// The caller's stack pointer: it need not be the frame address.
    fn stack(&self) -> Addr {
        self.caller.registers.sp().unwrap_or(self.caller.cfa)
    }
}

impl<'t> Walk<'t> {
    /// A walk through code and memory of one target.
    pub(super) fn new(code: &'t CodeMap) -> Walk<'t> {
        Walk { code, words: Words::new(code.memory()), switches: FxHashSet::default() }
    }

    /// All frames above (and with) the one that `start` describes.
    pub(super) fn run(mut self, start: &Registers, job: &Job) -> Stack {
        let mut stack = Stack::without_registers(Vec::new(), End::Limit);
        let mut recorder = Recorder::default();
        let mut registers = start.clone();
        let (mut returns, mut trust) = (false, Trust::Context);
        let (mut known_stack, mut taken) = (None, 0);
        while !job.is_cancelled() && self.code.room.may_grow(&mut taken, stack.frames.len(), recorder.values()) {
            let (Some(pc), Some(sp)) = (registers.pc(), registers.sp().or(known_stack)) else {
                stack.end = End::NoUnwindInfo;
                break;
            };
            let site = self.code.site(pc, returns);
            let trampoline = matches!(site.kind, Kind::Trampoline);
            let kind = match site.kind {
                Kind::Trampoline => FrameKind::Signal,
                Kind::Own(owner) => {
                    self.code.owner(owner).map_or(FrameKind::Managed, |own| own.kind(lookup(pc, returns)))
                }
                _ => FrameKind::Native,
            };
            recorder.add(&registers);
            let up = self.step(&Callee { registers: &registers, stack: sp, returns, site: &site, chained: None });
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
        }
        // A thousand stacks are kept: none with room to grow.
        stack.frames.shrink_to_fit();
        stack.registers = recorder.finish();
        stack
    }

    fn step(&mut self, callee: &Callee<'_>) -> Result<Up, End> {
        if !callee.returns && start::is_newborn(self.code.memory(), callee.registers) {
            return Err(End::Bottom);
        }
        match &callee.site.kind {
            Kind::Own(owner) => self.own(*owner, callee),
            Kind::Tabled(row, module, place) => {
                let tables = self.code.tables(*module, *place).ok_or(End::NoUnwindInfo)?;
                match row.caller(tables, callee.registers, &self.words) {
                    Err(End::Bottom) => Err(End::Bottom),
                    // The return address is beyond the dump's end of the stack: what lies below it are no callers.
                    Err(End::NoMemory) if row.counts_from_stack(self.code.arch()) => Err(End::NoMemory),
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
            Kind::Counted(row) => {
                let none = Tables::new(self.code.arch(), None, None, None);
                let caller = match row.caller(&none, callee.registers, &self.words) {
                    Ok(caller) => caller,
                    Err(end @ (End::Bottom | End::NoMemory)) => return Err(end),
                    Err(end) => return self.guess(callee).ok_or(end),
                };
                let up = Up { caller, trust: Trust::Cfi, returns: !row.signal, switch: row.signal };
                match self.check(callee, &up) {
                    Ok(()) => Ok(up),
                    Err(end) => self.guess(callee).ok_or(end),
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

    /// The caller by the rule of the runtime whose code the frame is in.
    fn own(&mut self, owner: usize, callee: &Callee<'_>) -> Result<Up, End> {
        let owner = self.code.owner(owner).ok_or(End::NoUnwindInfo)?;
        let frame = OwnFrame { registers: callee.registers, sp: callee.stack, returns: callee.returns };
        match owner.step(&frame) {
            Step::Caller { caller, trust, returns, switches } => {
                let up = Up { caller, trust, returns, switch: switches };
                self.check(callee, &up)?;
                Ok(up)
            }
            Step::End(end) => Err(end),
            Step::Unknown => self.guess(callee).ok_or_else(|| self.why(callee)),
        }
    }

    /// Whether a step leads somewhere: into code, and up the stack.
    fn check(&mut self, callee: &Callee<'_>, up: &Up) -> Result<(), End> {
        let pc = up.caller.registers.pc().ok_or(End::NoUnwindInfo)?;
        let sp = up.stack();
        // Interrupted code may stand anywhere: that may be why it was interrupted.
        if up.returns && matches!(self.code.site(pc, true).kind, Kind::Wild) {
            return Err(End::NoUnwindInfo);
        }
        // A leaf of aarch64 uses no stack, nor does glibc's vfork on x86-64, which takes its return address off it. A
        // function that called another does, and what interrupts one has its own.
        let rises = sp > callee.stack || (sp == callee.stack && !callee.returns && up.returns);
        if rises {
            return Ok(());
        }
        // A circle comes by one that does not rise.
        if !up.switch || self.switches.contains(&(pc, sp)) {
            return Err(End::Loop);
        }
        if self.switches.len() >= MAX_SWITCHES {
            return Err(End::Limit);
        }
        self.switches.insert((pc, sp));
        Ok(())
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
        self.guess(&Callee {
            registers: &up.caller.registers,
            stack: up.caller.cfa,
            returns: true,
            site: &site,
            chained: None,
        })
    }

    /// The caller by weaker methods.
    fn guess(&mut self, callee: &Callee<'_>) -> Option<Up> {
        let (code, words) = (self.code, &self.words);
        let chained = frame_pointer::caller(code, words, callee.registers, callee.stack);
        let callee = &Callee { chained: chained.as_ref(), ..*callee };
        let recorded = code.beyond(callee.stack);
        // What skips a frame that the runtime records is none of its callees.
        let beyond = recorded.as_ref().map(|recorded| &recorded.caller);
        let fits = |caller: &Caller| beyond.is_none_or(|beyond| caller.cfa <= beyond.cfa);
        let comes_by = |caller: &Caller| beyond.is_none_or(|beyond| frame_pointer::comes_by(words, caller, beyond));
        // A word that was found for another thread may lie anywhere below the record that the frame pointer leads to.
        let found_before = || if callee.chained.is_none() { scan::found_before(words, callee) } else { None };
        let found = confirm::derived(code, words, callee)
            .or_else(|| callee.chained.filter(|_| callee.site.chained.get().is_some()).cloned())
            .or_else(found_before)
            .or_else(|| confirm::searched(code, words, callee))
            .filter(fits)
            .or_else(|| chain::by_frame_pointer(code, words, callee).filter(comes_by))
            .or_else(|| {
                let nearest = || frame_pointer::nearest(code, words, callee.registers, callee.stack);
                if beyond.is_none() { nearest() } else { None }
            });
        let behind_call = |(caller, trust)| Beyond { caller, trust, returns: true };
        let Beyond { caller, trust, returns } = match (found, recorded) {
            // Of that frame the runtime knows more registers.
            (Some(caller), Some(recorded)) if is_at(&caller, &recorded.caller) => recorded,
            (Some(caller), _) if callee.is_chained(&caller) => behind_call((caller, Trust::FramePointer)),
            (Some(caller), _) => behind_call((caller, Trust::Scan)),
            (None, Some(recorded)) => recorded,
            (None, None) => behind_call(scan::search(code, words, callee)?),
        };
        let up = Up { caller, trust, returns, switch: false };
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

/// Whether both are the same place of a stack.
fn is_at(one: &Caller, other: &Caller) -> bool {
    one.cfa == other.cfa && one.registers.pc() == other.registers.pc()
}

/// Where a place is looked up: inside the call for a return address.
fn lookup(pc: Addr, returns: bool) -> Addr {
    if returns { Addr(pc.0.saturating_sub(1)) } else { pc }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::scene::{CALL_RAX, CODE, STACK, code, target, walk};
    use super::*;

    #[test]
    fn a_call_to_nowhere_has_left_its_return_address_on_top() {
        // sp → | return address behind call *%rax at 0x1010 |
        let target = target(Arch::X86_64, Some(&code(64, &[(0x10, CALL_RAX)])), &[0x1012]);
        let (frames, _) = walk(&target, &[(7, STACK), (16, 0)]);
        assert_eq!(frames, [(0, STACK, Trust::Context), (0x1012, STACK + 8, Trust::Scan)]);
        let (frames, _) = walk(&target, &[(7, STACK), (16, STACK)]);
        assert_eq!(frames, [(STACK, STACK, Trust::Context), (0x1012, STACK + 8, Trust::Scan)], "data is not code");
    }

    #[test]
    fn on_aarch64_it_is_in_the_link_register() {
        // 0x1010 blr x0
        let target = target(Arch::Aarch64, Some(&code(64, &[(0x10, &[0x00, 0x00, 0x3f, 0xd6])])), &[0]);
        let (frames, _) = walk(&target, &[(30, 0x1014), (31, STACK), (32, 0)]);
        assert_eq!(frames, [(0, STACK, Trust::Context), (0x1014, STACK, Trust::Scan)]);
    }

    #[test]
    fn frame_pointers_serve_where_the_code_is_not_in_the_dump() {
        // sp → | local | rbp | return | local | 0 | return | 0 |
        let stack = [0x1200, STACK + 0x20, 0x1080, 0x1300, 0, 0x1180, 0];
        let target = target(Arch::X86_64, None, &stack);
        let (frames, end) = walk(&target, &[(6, STACK + 8), (7, STACK), (16, 0x1004)]);
        let expected = [
            (0x1004, STACK, Trust::Context),
            (0x1080, STACK + 0x18, Trust::FramePointer),
            (0x1180, STACK + 0x30, Trust::FramePointer),
        ];
        assert_eq!((frames.as_slice(), end), (&expected[..], End::NoUnwindInfo));
    }

    #[test]
    fn a_word_is_believed_where_its_call_leads_to_the_callee_at_that_distance() {
        // 0x1000 push %rbx | sub $8,%rsp | syscall; 0x1020 call 0x1000, 0x1030 call 0x1000
        let call = |at: u8| [0xe8, 0u8.wrapping_sub(at).wrapping_sub(5), 0xff, 0xff, 0xff];
        let parts: [(usize, &[u8]); 3] =
            [(0, &[0x53, 0x48, 0x83, 0xec, 0x08, 0x0f, 0x05]), (0x20, &call(0x20)), (0x30, &call(0x30))];
        // sp → | an earlier call's return address | rbx | return address |
        let target = target(Arch::X86_64, Some(&code(64, &parts)), &[0x1025, 0xb, 0x1035]);
        let code_map = CodeMap::new(Arc::clone(&target), Vec::new());
        let mut start = Registers::unknown(Arch::X86_64);
        for (number, value) in [(7, STACK), (16, 0x1007)] {
            start.set(Register(number), value);
        }
        let stack = Walk::new(&code_map).run(&start, &Job::default());
        assert_eq!(stack.frames[1].pc, Addr(0x1035));
        assert_eq!(
            stack.registers_at(1).and_then(|registers| registers.get(Register(3))),
            Some(0xb),
            "what the callee pushed comes back"
        );
    }

    /// A runtime without code here, which records one frame.
    struct Recorded(Caller, bool);

    impl crate::unwind::Unwind for Recorded {
        fn owns(&self, _: Addr) -> bool {
            false
        }

        fn step(&self, _: &OwnFrame<'_>) -> Step {
            Step::Unknown
        }

        fn beyond(&self, sp: Addr) -> Option<Beyond> {
            let Recorded(caller, returns) = self;
            (sp < caller.cfa).then(|| Beyond { caller: caller.clone(), trust: Trust::Runtime, returns: *returns })
        }
    }

    /// The first frames of a stack of code that is not in the dump, with a frame that a runtime records at a place of it.
    fn walk_to(recorded: (u64, u64), stack: &[u64]) -> Vec<(u64, u64, Trust)> {
        let frames = frames_to(recorded, true, stack);
        frames.iter().take(3).map(|frame| (frame.pc.0, frame.sp.0, frame.trust)).collect()
    }

    /// The same; whether the recorded one stands behind a call.
    fn frames_to(recorded: (u64, u64), returns: bool, stack: &[u64]) -> Vec<Frame> {
        let (pc, cfa) = recorded;
        let mut registers = Registers::unknown(Arch::X86_64);
        for (number, value) in [(7, cfa), (16, pc)] {
            registers.set(Register(number), value);
        }
        let caller = Caller { registers, cfa: Addr(cfa) };
        let code = CodeMap::new(target(Arch::X86_64, None, stack), vec![Arc::new(Recorded(caller, returns))]);
        let mut start = Registers::unknown(Arch::X86_64);
        for (number, value) in [(6, STACK + 8), (7, STACK), (16, 0x1004)] {
            start.set(Register(number), value);
        }
        Walk::new(&code).run(&start, &Job::default()).frames
    }

    #[test]
    fn a_recorded_frame_that_was_interrupted_stands_at_its_instruction() {
        let stack = [0x1200, STACK + 0x20, 0x1080, 0x1300, 0, 0x1180, 0, 0];
        for returns in [true, false] {
            let frames = frames_to((0x1280, STACK + 0x10), returns, &stack);
            assert_eq!((frames[1].pc, frames[1].returns), (Addr(0x1280), returns));
        }
    }

    #[test]
    fn frame_pointers_that_come_by_a_recorded_frame_tell_those_below_it() {
        // sp → | local | rbp | return | local | 0 | return |, and the frame behind the second return address is recorded.
        let stack = [0x1200, STACK + 0x20, 0x1080, 0x1300, 0, 0x1180, 0, 0];
        let expected = [
            (0x1004, STACK, Trust::Context),
            (0x1080, STACK + 0x18, Trust::FramePointer),
            (0x1180, STACK + 0x30, Trust::Runtime),
        ];
        assert_eq!(walk_to((0x1180, STACK + 0x30), &stack), expected);
    }

    #[test]
    fn frame_pointers_that_pass_a_recorded_frame_are_not_believed() {
        // The same, but the recorded frame lies between the two.
        let stack = [0x1200, STACK + 0x20, 0x1080, 0x1300, 0, 0x1180, 0, 0];
        let frames = walk_to((0x1280, STACK + 0x10), &stack);
        assert_eq!(frames[..2], [(0x1004, STACK, Trust::Context), (0x1280, STACK + 0x10, Trust::Runtime)]);
    }

    #[test]
    fn a_stack_that_leads_back_to_itself_ends() {
        // The frame pointer points to itself, then to a lower one.
        for saved in [STACK + 8, STACK] {
            let target = target(Arch::X86_64, None, &[0, saved, 0x1080]);
            let (frames, _) = walk(&target, &[(6, STACK + 8), (7, STACK), (16, 0x1004)]);
            assert_eq!(frames.len(), 1);
        }
    }

    #[test]
    fn registers_of_a_signal_frame_are_those_of_the_interrupted_code() {
        // 0x1010 mov $15,%rax; syscall. sp → | 5 words of ucontext | 15 registers | rsp | rip |
        let trampoline: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
        let mut stack = vec![0; 20];
        stack.extend([STACK + 0x100, 0xdead_beef]);
        let target = target(Arch::X86_64, Some(&code(64, &[(0x10, trampoline)])), &stack);
        let (frames, _) = walk(&target, &[(7, STACK), (16, 0x1010)]);
        assert_eq!(frames, [(0x1010, STACK, Trust::Context), (0xdead_beef, STACK + 0x100, Trust::Context)]);
    }

    #[test]
    fn a_signal_frame_that_restores_itself_ends_the_walk() {
        let trampoline: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
        let mut stack = vec![0; 20];
        stack.extend([STACK, 0x1010]);
        let target = target(Arch::X86_64, Some(&code(64, &[(0x10, trampoline)])), &stack);
        let (frames, end) = walk(&target, &[(7, STACK), (16, 0x1010)]);
        assert_eq!((frames.len(), end), (2, End::Loop));
    }

    #[test]
    fn missing_registers_and_memory_are_told_apart() {
        let target = target(Arch::X86_64, None, &[0]);
        assert_eq!(walk(&target, &[(7, STACK)]), (Vec::new(), End::NoUnwindInfo));
        assert_eq!(walk(&target, &[(7, 0x9000), (16, 0x1004)]).1, End::NoMemory);
        assert_eq!(walk(&target, &[(7, u64::MAX - 3), (16, u64::MAX)]).1, End::NoMemory);
    }

    #[test]
    fn random_code_and_stacks_lead_upward_and_end() {
        for seed in 1..=60u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // xorshift64 (Marsaglia 2003)
            let mut random = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let arch = if seed % 2 == 0 { Arch::X86_64 } else { Arch::Aarch64 };
            let mut code: Vec<u8> = (0..0x1000).map(|_| random().to_le_bytes()[3]).collect();
            for _ in 0..400 {
                let at = usize::try_from(random() % 0xff0).unwrap();
                code[at..at + 2].copy_from_slice(CALL_RAX);
                code[at & !3..][..4].copy_from_slice(&[0x20, 0x00, 0x3f, 0xd6]); // blr x1
            }
            let words = 0x200;
            let stack: Vec<u64> = (0..words)
                .map(|_| match random() % 4 {
                    0 => CODE + random() % 0x1000,
                    1 => STACK + random() % 0x1000,
                    2 => random() % 16,
                    _ => random(),
                })
                .collect();
            let target = target(arch, Some(&code), &stack);
            let mut registers: Vec<(u16, u64)> = (0..33).map(|number| (number, STACK + random() % 0x800)).collect();
            registers.push((arch.stack_pointer().0, STACK));
            registers.push((arch.instruction_pointer().0, CODE + random() % 0x1000));
            let (frames, _) = walk(&target, &registers);
            assert!(frames.len() <= words + 2, "seed {seed}: {} frames on {words} words", frames.len());
            assert!(frames.is_sorted_by_key(|(_, sp, _)| *sp), "seed {seed}");
        }
    }
}
