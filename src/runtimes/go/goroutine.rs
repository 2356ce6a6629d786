//! The goroutine that a thread runs: from the thread to its `g`, from there to `m` and to the user's `g`.

use crate::capture::Memory;
use crate::model::{Addr, Arch, OsThread, Register, Registers, Stack};

/// Frames whose registers are looked at for a goroutine: the switch to the system's stack is near.
const MAX_FRAMES: usize = 48;

// Source: Go src/runtime/runtime2.go, type g, the same from Go 1.4 to 1.26: stack (lo, hi) 0, stackguard0 16, stackguard1 24, _panic 32,
// _defer 40, m 48, sched 56; cmd/internal/obj knows the first ones.
const STACK_LOW: u64 = 0;
const STACK_HIGH: u64 = 8;
const PANIC: u64 = 32;
const M: u64 = 48;
const SCHED: u64 = 56;
// Source: the same file, type gobuf: sp, pc, g, ctxt, (ret until 1.24,) lr, bp.
const SCHED_SP: u64 = SCHED;
const SCHED_PC: u64 = SCHED + 8;
const SCHED_BP: [u64; 2] = [SCHED + 48, SCHED + 40];
// Source: the same file, type m: g0 0, morebuf (a gobuf), divmod, procid, gsignal, goSigStack, sigmask, tls, mstartfn, curg, …: gsignal is at
// 80 (72 without `ret`), curg at 192 in Go 1.19. Between them only `tls` may hold a g.
const G0: u64 = 0;
const FIRST_G: u64 = 64;
const LAST_G: u64 = 256;
/// Where Go keeps the current g on x86-64: below the thread pointer. Source: cmd/internal/obj/x86, "TLS"; runtime/sys_linux_amd64.s, settls.
const TLS_G: u64 = 8;
/// The register that holds it in Go code: r14 since Go 1.17 (ABIInternal), x28. Source: src/cmd/compile/abi-internal.md.
const G_X86_64: Register = Register(14);
const G_AARCH64: Register = Register(28);

/// A goroutine's descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goroutine {
    pub at: Addr,
    m: Addr,
}

/// The goroutines of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OfThread {
    /// The one with the system's stack.
    pub system: Goroutine,
    /// The user's, if one runs.
    pub user: Option<Goroutine>,
}

impl OfThread {
    /// `None` where the thread never ran Go code, or its goroutine is not in the dump.
    pub(super) fn find(memory: &Memory, thread: &OsThread, stack: &Stack) -> Option<OfThread> {
        let register = match thread.registers.as_ref().ok()?.arch() {
            Arch::X86_64 => G_X86_64,
            Arch::Aarch64 => G_AARCH64,
        };
        let local = thread.thread_pointer.as_ref().ok().and_then(|pointer| memory.ptr(pointer.minus(TLS_G)?).ok());
        let in_frames =
            stack.each_registers().take(MAX_FRAMES).filter_map(|registers| registers.get(register).map(Addr));
        let any = local.into_iter().chain(in_frames).find_map(|at| Goroutine::at(memory, at))?;
        let system = Goroutine::at(memory, memory.ptr(any.m.plus(G0)?).ok()?)?;
        Some(OfThread { system, user: user(memory, system) })
    }
}

/// The user's goroutine of an m: the one that is neither the system's nor the first behind it, which is for signals.
fn user(memory: &Memory, system: Goroutine) -> Option<Goroutine> {
    let words = (FIRST_G..LAST_G).step_by(8).filter_map(|offset| memory.ptr(system.m.plus(offset)?).ok());
    let mut found = words.filter_map(|at| Goroutine::at(memory, at)).filter(|g| g.m == system.m && *g != system);
    let signals = found.next()?;
    found.find(|g| *g != signals)
}

impl Goroutine {
    /// The goroutine at an address; `None` where what is there does not agree with itself.
    fn at(memory: &Memory, at: Addr) -> Option<Goroutine> {
        if at.0 == 0 || !at.is_aligned(8) {
            return None;
        }
        let m = memory.ptr(at.plus(M)?).ok().filter(|m| m.0 != 0 && m.is_aligned(8))?;
        let system = memory.ptr(m.plus(G0)?).ok()?;
        let of_system = memory.ptr(system.plus(M)?).ok()?;
        let (low, high) = (memory.ptr(at.plus(STACK_LOW)?).ok()?, memory.ptr(at.plus(STACK_HIGH)?).ok()?);
        (of_system == m && low < high).then_some(Goroutine { at, m })
    }

    /// A goroutine that no thread runs: it has no m to agree with, but registers on its own stack.
    pub(super) fn of_main(memory: &Memory, at: Addr) -> Option<Goroutine> {
        let waiting = Goroutine { at, m: Addr(0) };
        let sp = memory.ptr(at.plus(SCHED_SP)?).ok()?;
        waiting.has_on_stack(memory, sp).then_some(waiting)
    }

    /// Whether an address lies on its stack.
    pub(super) fn has_on_stack(self, memory: &Memory, address: Addr) -> bool {
        let bound = |offset| memory.ptr(self.at.plus(offset)?).ok();
        bound(STACK_LOW).is_some_and(|low| low <= address) && bound(STACK_HIGH).is_some_and(|high| address < high)
    }

    /// Its newest panic.
    pub(super) fn panic(self, memory: &Memory) -> Option<Addr> {
        memory.ptr(self.at.plus(PANIC)?).ok().filter(|panic| panic.0 != 0)
    }

    /// The registers that it goes on with: those that were saved when it left its stack.
    pub(super) fn saved(self, memory: &Memory, arch: Arch) -> Option<Registers> {
        let word = |offset| memory.ptr(self.at.plus(offset)?).ok();
        let (sp, pc) = (word(SCHED_SP)?, word(SCHED_PC)?);
        if !self.has_on_stack(memory, sp) {
            return None;
        }
        let mut registers = Registers::unknown(arch);
        registers.set(arch.stack_pointer(), sp.0);
        registers.set(arch.instruction_pointer(), pc.0);
        let frame = SCHED_BP.iter().filter_map(|offset| word(*offset)).find(|bp| self.has_on_stack(memory, *bp));
        if let Some(frame) = frame {
            registers.set(arch.frame_pointer(), frame.0);
        }
        if arch == Arch::Aarch64 {
            // The link register, lr, comes before bp.
            let link = SCHED_BP.iter().filter_map(|offset| word(offset.checked_sub(8)?)).find(|lr| lr.0 != 0);
            if let Some(link) = link {
                registers.set(Register(30), link.0);
            }
        }
        Some(registers)
    }

    /// The signal that its code took last: number, code, address, instruction. The runtime keeps these for its own message.
    ///
    /// They are found by the instruction: `sig` (4 bytes, padded to 8), `writebuf` (24), `sigcode0`, `sigcode1`, `sigpc` stand in a row.
    // Source: Go src/runtime/runtime2.go, type g, the same from Go 1.4 to 1.26; src/runtime/signal_unix.go, sighandler.
    pub(super) fn signal(self, memory: &Memory, pc: Addr) -> Option<(i32, i32, Addr)> {
        const SEARCHED: std::ops::Range<u64> = 184..480;
        const NUMBER: u64 = 48;
        const CODE: u64 = 16;
        const ADDRESS: u64 = 8;
        SEARCHED.step_by(8).find_map(|offset| {
            let at = self.at.plus(offset)?;
            if memory.ptr(at).ok()? != pc {
                return None;
            }
            let number =
                i32::try_from(memory.u64(at.minus(NUMBER)?).ok()?).ok().filter(|number| (1..32).contains(number))?;
            let code = i32::try_from(memory.u64(at.minus(CODE)?).ok()?).ok()?;
            Some((number, code, memory.ptr(at.minus(ADDRESS)?).ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// g0 at 0x1000, gsignal at 0x1100, the user's g at 0x1200; m at 0x1400. Words not set are zero.
    fn memory() -> Memory {
        let mut words = vec![0u64; 0x800 / 8];
        let mut set = |at: u64, value: u64| words[usize::try_from((at - 0x1000) / 8).unwrap()] = value;
        for g in [0x1000, 0x1100, 0x1200] {
            set(g + STACK_LOW, 0x7000 + g);
            set(g + STACK_HIGH, 0x7080 + g);
            set(g + M, 0x1400);
        }
        set(0x1400, 0x1000);
        set(0x1400 + 80, 0x1100);
        set(0x1400 + 136, 0x1100); // tls[0]: in a handler
        set(0x1400 + 192, 0x1200);
        set(0x1200 + PANIC, 0x5000);
        set(0x1200 + SCHED_SP, 0x8210);
        set(0x1200 + SCHED_PC, 0x40_1000);
        set(0x1200 + SCHED_BP[0], 0x8230);
        Memory::of(0x1000, &words)
    }

    #[test]
    fn a_thread_leads_to_its_users_goroutine() {
        let memory = memory();
        let system = Goroutine::at(&memory, Addr(0x1000)).expect("g0");
        let user = user(&memory, system).expect("the user's");
        assert_eq!(user.at, Addr(0x1200));
        assert_eq!(user.panic(&memory), Some(Addr(0x5000)));
        let saved = user.saved(&memory, Arch::X86_64).expect("its registers");
        assert_eq!(
            (saved.sp(), saved.pc(), saved.fp()),
            (Some(Addr(0x8210)), Some(Addr(0x40_1000)), Some(Addr(0x8230)))
        );
    }

    #[test]
    fn what_does_not_agree_with_itself_is_no_goroutine() {
        let memory = memory();
        for at in [0, 0x1001, 0x1300, 0x1400, 0x9000] {
            assert_eq!(Goroutine::at(&memory, Addr(at)), None, "{at:#x}");
        }
    }
}
