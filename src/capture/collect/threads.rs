//! The registers of stopped threads as the notes of a core.
//!
//! A thread that was in a system call has its number in orig_rax and -512 (ERESTARTSYS) or the like as its result, as
//! in a core of gdb's: the call restarts when the thread goes.

use std::collections::BTreeMap;

use procfs::process::Stat;

use super::freeze::Frozen;
use super::notes::{NT_ARM_PAC_MASK, NT_ARM_TLS, NT_PRFPREG, NT_PRSTATUS, NT_SIGINFO, NT_X86_XSTATE, Notes};
use super::scrub::Scrub;
use crate::capture::facts::ThreadFacts;
use crate::ptrace;

/// Largest set of registers: 11 KiB with the tiles of AMX.
const VECTORS: usize = 64 << 10;

/// A stopped thread.
#[derive(Clone, Debug)]
pub(super) struct Thread {
    pub(super) tid: i32,
    /// `user_regs_struct` of the architecture.
    pub(super) general: Vec<u8>,
    /// The sets that follow, by type of note and owner.
    others: Vec<(u32, &'static str, Vec<u8>)>,
}

/// The stack pointer, program counter, thread pointer: indexes in the general registers.
// Source: Linux arch/x86/include/asm/user_64.h and arch/arm64/include/uapi/asm/ptrace.h.
#[cfg(target_arch = "x86_64")]
const STACK_POINTER: usize = 19;
#[cfg(target_arch = "aarch64")]
const STACK_POINTER: usize = 31;

/// Registers that hold no data of the program: orig_rax, rip, cs, eflags, rsp, ss, the segments and their bases; sp,
/// pc, pstate.
#[cfg(target_arch = "x86_64")]
const CONTROL: std::ops::RangeInclusive<usize> = 15..=26;
#[cfg(target_arch = "aarch64")]
const CONTROL: std::ops::RangeInclusive<usize> = 31..=33;
/// The number of a system call that was entered, and where its arguments and result are: r10, r9, r8, rax, rcx, rdx,
/// rsi, rdi; x0 to x8.
#[cfg(target_arch = "x86_64")]
const ORIGINAL_NUMBER: usize = 15;
#[cfg(target_arch = "aarch64")]
const ORIGINAL_NUMBER: usize = 8;
#[cfg(target_arch = "x86_64")]
const ARGUMENTS: std::ops::RangeInclusive<usize> = 7..=14;
#[cfg(target_arch = "aarch64")]
const ARGUMENTS: std::ops::RangeInclusive<usize> = 0..=8;

/// Reads the registers of every stopped thread. Those that cannot be read (the thread was killed) are left out.
pub(super) fn read(frozen: &Frozen<'_>, vectors: bool) -> Vec<Thread> {
    let optional: &[(u32, &str)] = if cfg!(target_arch = "x86_64") {
        &[(NT_X86_XSTATE, "LINUX")]
    } else {
        &[(NT_PRFPREG, "CORE"), (NT_ARM_TLS, "LINUX"), (NT_ARM_PAC_MASK, "LINUX")]
    };
    let mut room = vec![0; VECTORS];
    let is_wanted = |kind: u32| vectors || kind == NT_ARM_TLS || kind == NT_ARM_PAC_MASK;
    frozen
        .stopped()
        .filter_map(|tid| {
            let general = ptrace::registers(tid, NT_PRSTATUS, &mut room).ok()?;
            let others = optional.iter().filter(|(kind, _)| is_wanted(*kind)).filter_map(|(kind, owner)| {
                let bytes = ptrace::registers(tid, *kind, &mut room).ok()?;
                Some((*kind, *owner, bytes))
            });
            let mut others: Vec<_> = others.collect();
            if cfg!(target_arch = "x86_64") && vectors {
                let whole = others.first().and_then(|(_, _, state): &(_, _, Vec<u8>)| floating_point(state));
                let floating = whole.or_else(|| ptrace::registers(tid, NT_PRFPREG, &mut room).ok());
                others.splice(0..0, floating.map(|bytes| (NT_PRFPREG, "CORE", bytes)));
            }
            if frozen.pending(tid).is_some() {
                others.extend(ptrace::siginfo(tid).ok().map(|info| (NT_SIGINFO, "CORE", info.to_vec())));
            }
            Some(Thread { tid, general, others })
        })
        .collect()
}

/// The x87 and SSE registers as NT_PRFPREG has them, out of NT_X86_XSTATE, which begins with them: one call less for
/// each of a thousand threads that wait.
// Source: Intel SDM volume 1, 13.4.1, "Legacy Region of an XSAVE Area"; the 48 bytes from 464 on are the system's, and
// zero in NT_PRFPREG (Linux arch/x86/kernel/fpu/regset.c, xfpregs_get).
fn floating_point(state: &[u8]) -> Option<Vec<u8>> {
    let mut legacy = state.get(..512)?.to_vec();
    legacy.get_mut(464..)?.fill(0);
    Some(legacy)
}

impl Thread {
    /// A thread that did not stop: of its registers, those that the kernel tells of one that sleeps in a call.
    pub(super) fn asleep(facts: &ThreadFacts) -> Option<Thread> {
        let call = facts.syscall.as_ref()?;
        let place = |index: usize| if index == STACK_POINTER { call.sp } else { 0 };
        let general = (0..=STACK_POINTER).flat_map(|index| place(index).to_le_bytes()).collect();
        Some(Thread { tid: i32::try_from(facts.tid).ok()?, general, others: Vec::new() })
    }

    /// The `index`th general register.
    pub(super) fn word(&self, index: usize) -> Option<u64> {
        let at = index.checked_mul(8)?;
        self.general.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
    }

    pub(super) fn stack_pointer(&self) -> Option<u64> {
        self.word(STACK_POINTER)
    }

    /// All general registers.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.general.as_chunks::<8>().0.iter().copied().map(u64::from_le_bytes)
    }

    /// Where its thread-local storage is.
    pub(super) fn thread_pointer(&self) -> Option<u64> {
        if cfg!(target_arch = "x86_64") {
            // fs_base.
            return self.word(21);
        }
        let (_, _, tls) = self.others.iter().find(|(kind, _, _)| *kind == NT_ARM_TLS)?;
        tls.first_chunk().copied().map(u64::from_le_bytes)
    }

    /// The word that it waits on, where it is in a futex call.
    pub(super) fn futex(&self) -> Option<u64> {
        // Source: Linux uapi/asm/unistd_64.h (202, in orig_rax, first argument in rdi) and asm-generic/unistd.h (98, in
        // x8). On aarch64 the result has taken the place of the argument.
        if cfg!(target_arch = "x86_64") { self.word(14).filter(|_| self.word(15) == Some(202)) } else { None }
    }

    /// The thread without what may hold personal data: no vector registers, and of the general ones addresses, and what
    /// belongs to a system call that it is in.
    pub(super) fn scrubbed(&self, scrub: &Scrub) -> Thread {
        let in_call = self.word(ORIGINAL_NUMBER).is_some_and(|number| number.cast_signed() >= 0);
        let kept = |index: usize, word: u64| {
            CONTROL.contains(&index) || (in_call && ARGUMENTS.contains(&index)) || scrub.is_address(word)
        };
        let general = self.words().enumerate().flat_map(|(index, word)| {
            let word = if kept(index, word) { word } else { 0 };
            word.to_le_bytes()
        });
        let others = self.others.iter().filter(|(kind, _, _)| matches!(*kind, NT_ARM_TLS | NT_ARM_PAC_MASK));
        Thread { tid: self.tid, general: general.collect(), others: others.cloned().collect() }
    }

    /// Adds the thread's notes. `times`: user and system time of each thread, in clock ticks.
    pub(super) fn note(&self, notes: &mut Notes, process: &Stat, times: &BTreeMap<i32, (u64, u64)>) {
        notes.status(self.tid, process, times.get(&self.tid).copied().unwrap_or_default(), &self.general);
        for (kind, owner, bytes) in &self.others {
            notes.push(owner, *kind, bytes);
        }
    }
}
