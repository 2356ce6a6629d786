//! Signal frames: what the kernel leaves on the stack when it calls a handler.
//!
//! The handler returns into a trampoline of two instructions, which asks the kernel to restore the registers that lie
//! above it on the stack. The trampoline is recognised by its bytes, since musl's and the aarch64 vDSO's have no unwind
//! tables; the registers are read from the kernel's own structure.

use super::words::Words;
use crate::model::{Addr, Arch, Register, Registers, Unreadable};

/// `mov $15, %rax; syscall`: `__restore_rt` of glibc and musl; 15 is rt_sigreturn (Linux
/// arch/x86/entry/syscalls/syscall_64.tbl).
const X86_64: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
/// `mov x8, #139; svc #0`: `__kernel_rt_sigreturn`; 139 is rt_sigreturn (Linux include/uapi/asm-generic/unistd.h).
const AARCH64: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// `svc #0`: the system call instruction of aarch64.
pub(super) const SUPERVISOR_CALL: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];

/// Bytes that [`is_trampoline`] looks at.
pub(super) const TRAMPOLINE: u64 = 9;

/// Whether `code` begins with the instructions of a signal trampoline.
pub(super) fn is_trampoline(arch: Arch, code: &[u8]) -> bool {
    match arch {
        Arch::X86_64 => code.starts_with(&X86_64),
        Arch::Aarch64 => code.starts_with(&AARCH64),
    }
}

// struct ucontext at the stack pointer: uc_flags 8, uc_link 8, uc_stack 24, then sigcontext: r8-r15, rdi, rsi, rbp,
// rbx, rdx, rax, rcx, rsp, rip. Sources: Linux arch/x86/include/uapi/asm/sigcontext.h, asm-generic/ucontext.h,
// arch/x86/include/asm/sigframe.h (the return address, first in the frame, is popped by the handler's `ret`).
const X86_64_REGISTERS: u64 = 40;
const X86_64_ORDER: [u16; 17] = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];

// struct rt_sigframe at the stack pointer: siginfo 128, ucontext (flags 8, link 8, stack 24, sigmask padded to 128,
// aligned to 16: 176), sigcontext: fault_address 8, x0-x30, sp, pc. Sources: Linux arch/arm64/kernel/signal.c,
// arch/arm64/include/uapi/asm/ucontext.h and sigcontext.h.
const AARCH64_REGISTERS: u64 = 128 + 176 + 8;

/// The registers of the interrupted code; `sp` is the stack pointer in the trampoline.
pub(super) fn interrupted(arch: Arch, sp: Addr, words: &Words<'_>) -> Result<Registers, Unreadable> {
    let mut registers = Registers::unknown(arch);
    let mut restore = |first: u64, numbers: &mut dyn Iterator<Item = u16>| {
        for (index, number) in (0u64..).zip(numbers) {
            let at = Addr(sp.0.wrapping_add(first).wrapping_add(index.wrapping_mul(8)));
            registers.set(Register(number), words.get(at)?);
        }
        Ok(())
    };
    match arch {
        Arch::X86_64 => restore(X86_64_REGISTERS, &mut X86_64_ORDER.into_iter())?,
        Arch::Aarch64 => restore(AARCH64_REGISTERS, &mut (0..33))?,
    }
    Ok(registers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Memory;

    #[test]
    fn the_interrupted_registers_lie_behind_the_ucontext_header() {
        // sp → | flags | link | stack ×3 | r8 … r15 | rdi rsi rbp rbx rdx rax rcx rsp rip |, each register 0x100 + its
        // DWARF number
        let mut words = vec![0; 5];
        words.extend([8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16].map(|number| 0x100 + number));
        let memory = Memory::of(0x7000, &words);
        let registers = interrupted(Arch::X86_64, Addr(0x7000), &Words::new(&memory)).unwrap();
        assert!((0..17).all(|number| registers.get(Register(number)) == Some(0x100 + u64::from(number))));
    }

    #[test]
    fn aarch64_registers_start_312_bytes_above_the_stack_pointer() {
        // 128 siginfo + 176 ucontext header + 8 fault address = 39 words
        let mut words = vec![0; 39];
        words.extend((0..33).map(|number| 0x100 + number));
        let memory = Memory::of(0x7000, &words);
        let registers = interrupted(Arch::Aarch64, Addr(0x7000), &Words::new(&memory)).unwrap();
        assert!((0..33).all(|number| registers.get(Register(number)) == Some(0x100 + u64::from(number))));
    }

    #[test]
    fn a_cut_signal_frame_has_no_registers() {
        let memory = Memory::of(0x7000, &[0; 21]);
        assert!(interrupted(Arch::X86_64, Addr(0x7000), &Words::new(&memory)).is_err());
    }
}
