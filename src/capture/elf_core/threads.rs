//! Threads from their notes: id, registers, thread pointer, system call, signal.
//!
//! Layouts: `struct elf_prstatus` in Linux include/linux/elfcore.h; the order of registers in [`super::layout`].

use super::layout;
use super::notes::{NT_ARM_TLS, NT_PRSTATUS, NT_SIGINFO, Note};
use super::siginfo::SigInfo;
use super::words::Words;
use crate::capture::Memory;
use crate::model::{Addr, Arch, Gap, Known, OsThread, Problem, Register, Registers, SavedSyscall, Subject, Tid};

/// Most threads that are read.
pub(super) const MAX_THREADS: usize = 100_000;

/// Offsets in `struct elf_prstatus`: `pr_info.si_signo`, `pr_cursig` (16 bits), `pr_pid`, `pr_reg`.
/// Source: Linux include/linux/elfcore.h; the same on every 64-bit architecture.
const SI_SIGNO: usize = 0;
const CURSIG: usize = 12;
const PID: usize = 32;
const REGISTERS: usize = 112;

/// A thread's notes: NT_PRSTATUS and those that follow it up to the next thread's.
pub(super) struct ThreadNotes<'a> {
    status: Words<'a>,
    offset: u64,
    tls: Option<&'a [u8]>,
    pub(super) siginfo: Option<SigInfo>,
}

/// Notes grouped by thread, in the dump's order, and the signal information that stands before the first thread.
pub(super) struct Grouped<'a> {
    pub(super) threads: Vec<ThreadNotes<'a>>,
    pub(super) process_siginfo: Option<SigInfo>,
}

/// Groups notes by thread.
pub(super) fn group<'a>(notes: &[Note<'a>], arch: Arch, problems: &mut Vec<Problem>) -> Grouped<'a> {
    let mut grouped = Grouped { threads: Vec::new(), process_siginfo: None };
    let mut left_out = 0u64;
    for note in notes {
        if is_status(note, arch) {
            if grouped.threads.len() >= MAX_THREADS {
                left_out = left_out.saturating_add(1);
                continue;
            }
            let status = Words(note.content);
            grouped.threads.push(ThreadNotes { status, offset: note.offset, tls: None, siginfo: None });
            continue;
        }
        match (note.kind, grouped.threads.last_mut()) {
            (NT_SIGINFO, Some(thread)) if thread.siginfo.is_none() => thread.siginfo = SigInfo::parse(note.content),
            (NT_SIGINFO, None) => grouped.process_siginfo = SigInfo::parse(note.content),
            (NT_ARM_TLS, Some(thread)) if arch == Arch::Aarch64 => thread.tls = Some(note.content),
            _ => {}
        }
    }
    if left_out > 0 {
        let message = format!("{left_out} threads beyond the first {MAX_THREADS} are left out");
        problems.push(Problem::new("limit", Subject::Capture, message));
    }
    grouped
}

/// Whether this is a thread's status, even where one of its name, its type or its size was damaged.
fn is_status(note: &Note<'_>, arch: Arch) -> bool {
    let sized = note.content.len() == layout::of(arch).status_size;
    match (note.name, note.kind) {
        (b"CORE", NT_PRSTATUS) => true,
        (_, NT_PRSTATUS) => sized,
        (b"CORE", kind) => sized && !super::notes::is_known_kind(kind),
        _ => false,
    }
}

impl ThreadNotes<'_> {
    /// `pr_cursig`, the signal that the thread was about to take; 0 for none.
    pub(super) fn signal(&self) -> i32 {
        self.status.u16(CURSIG).map_or(0, |signal| i32::from(signal.cast_signed()))
    }

    /// `pr_info.si_signo`: the kernel repeats the signal here, gdb leaves it 0.
    pub(super) fn info_signal(&self) -> i32 {
        self.status.i32(SI_SIGNO).unwrap_or(0)
    }

    /// The thread as the model has it. `memory` is asked for the instruction before the pc on aarch64.
    pub(super) fn thread(
        &self,
        arch: Arch,
        memory: &Memory,
        crashed: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<OsThread> {
        let Some(pid) = self.status.u32(PID) else {
            let message =
                format!("the thread's note at {:#x} is cut before its id; the thread is left out", self.offset);
            problems.push(Problem::new("thread-damaged", Subject::Capture, message));
            return None;
        };
        let tid = Tid(pid);
        let registers = self.registers(arch);
        if let Err(gap) = &registers {
            let message = format!("thread {tid}: {gap} (note at {:#x})", self.offset);
            problems.push(Problem::new("thread-damaged", Subject::Thread(tid), message));
        }
        let syscall = registers.as_ref().ok().and_then(|registers| self.syscall(arch, registers, memory));
        Some(OsThread {
            tid,
            registers,
            thread_pointer: self.thread_pointer(arch),
            syscall,
            signal: self.signal(),
            name: None,
            crashed,
        })
    }

    /// The `index`th register of the note.
    fn word(&self, index: usize) -> Option<u64> {
        self.status.u64(index.checked_mul(8)?.checked_add(REGISTERS)?)
    }

    fn registers(&self, arch: Arch) -> Known<Registers> {
        let mut registers = Registers::unknown(arch);
        for (index, dwarf) in layout::of(arch).dwarf {
            if let Some(value) = self.word(*index) {
                registers.set(Register(*dwarf), value);
            }
        }
        // The instruction pointer stands late in both layouts: without it the note was cut, and what is left is no
        // context.
        match registers.pc() {
            Some(_) => Ok(registers),
            None => Err(Gap::Corrupt("the note ends before the registers do".to_owned())),
        }
    }

    fn thread_pointer(&self, arch: Arch) -> Known<Addr> {
        match arch {
            Arch::X86_64 => self
                .word(layout::X86_64_FS_BASE)
                .map(Addr)
                .ok_or_else(|| Gap::Corrupt("the note ends before fs_base".to_owned())),
            Arch::Aarch64 => match self.tls {
                Some(content) => Words(content)
                    .u64(0)
                    .map(Addr)
                    .ok_or_else(|| Gap::Corrupt("the NT_ARM_TLS note is shorter than a pointer".to_owned())),
                None => Err(Gap::NotRecorded("tpidr_el0 (no NT_ARM_TLS note)".to_owned())),
            },
        }
    }

    fn syscall(&self, arch: Arch, registers: &Registers, memory: &Memory) -> Option<SavedSyscall> {
        let get = |number| registers.get(Register(number));
        match arch {
            Arch::X86_64 => {
                // orig_rax is the call's number from its entry on, and -1 otherwise. Source: Linux
                // arch/x86/entry/entry_64.S.
                let number = self.word(layout::X86_64_ORIG_RAX).filter(|number| number.cast_signed() >= 0)?;
                // rdi rsi rdx r10 r8 r9. Source: System V AMD64 psABI, appendix A.2.1.
                let args = [get(5), get(4), get(1), get(10), get(8), get(9)];
                Some(SavedSyscall { number, args, result: get(0)?.cast_signed() })
            }
            Arch::Aarch64 => aarch64_syscall(registers, memory),
        }
    }
}

/// The system call that an aarch64 thread was in. Nothing in its registers tells that one was entered, save the
/// instruction at the pc or before it, which is in the dump or in the module's file.
pub(in crate::capture) fn aarch64_syscall(registers: &Registers, memory: &Memory) -> Option<SavedSyscall> {
    // svc #0 is 0xd4000001. Source: Arm Architecture Reference Manual, "SVC"; Linux arch/arm64 takes the number from
    // x8.
    const SVC: u32 = 0xd400_0001;
    // Before it writes a core, the kernel undoes a call that is to be restarted: x0 is the argument again, and the pc
    // at the instruction. Source: Linux arch/arm64/kernel/signal.c, do_signal; ERESTARTSYS is 512.
    const RESTARTED: i64 = -512;
    let pc = registers.pc()?;
    let get = |number| registers.get(Register(number));
    if memory.u32(pc).is_ok_and(|instruction| instruction == SVC) {
        let args = [get(0), get(1), get(2), get(3), get(4), get(5)];
        return Some(SavedSyscall { number: get(8)?, args, result: RESTARTED });
    }
    if memory.u32(pc.minus(4)?).ok()? != SVC {
        return None;
    }
    // The result took the place of the first argument.
    let args = [None, get(1), get(2), get(3), get(4), get(5)];
    Some(SavedSyscall { number: get(8)?, args, result: get(0)?.cast_signed() })
}
