//! The first code of processes and threads, recognised by its instructions: it has no caller, and often no unwind
//! tables.

use super::signal::SUPERVISOR_CALL;
use crate::capture::Memory;
use crate::model::{Addr, Arch, Register, Registers};

/// The start code of a program (`_start`) is shorter than this: at most 52 bytes in glibc and musl, on both
/// architectures.
pub(super) const MAX_START_CODE: u64 = 64;

/// Whether the call before `pc` is the one with which `clone` enters a new thread's function: behind it the thread
/// exits.
pub(super) fn is_thread_start(arch: Arch, memory: &Memory, pc: Addr) -> bool {
    // mov %eax,%edi; xor %eax,%eax; mov $60,%al; syscall: musl 1.2.3 src/thread/x86_64/clone.s. mov %rax,%rdi; mov
    // $60,%eax; syscall: glibc 2.36 sysdeps/unix/sysv/linux/x86_64/clone.S (mov %eax,%edi in older ones). mov x8,#93;
    // svc #0: musl src/thread/aarch64/clone.s. 60 and 93 are exit.
    const EXITS: [(Arch, &[u8]); 4] = [
        (Arch::X86_64, &[0x89, 0xc7, 0x31, 0xc0, 0xb0, 0x3c, 0x0f, 0x05]),
        (Arch::X86_64, &[0x89, 0xc7, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05]),
        (Arch::X86_64, &[0x48, 0x89, 0xc7, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05]),
        (Arch::Aarch64, &[0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]),
    ];
    let Ok(code) = memory.slice_up_to(pc, 10) else { return false };
    EXITS.iter().any(|(of, exit)| *of == arch && code.starts_with(exit))
}

/// Whether a thread stands where `clone` has just made it: behind the system call, with 0 as its result. Its stack is
/// still empty, and what lies above is no caller of its.
pub(super) fn is_newborn(memory: &Memory, registers: &Registers) -> bool {
    let Some(pc) = registers.pc() else { return false };
    let value = |number| registers.get(Register(number));
    match registers.arch() {
        Arch::X86_64 => {
            // syscall | a branch for the parent | xor %ebp,%ebp: glibc 2.36 clone.S and clone3.S, musl 1.2.3 clone.s.
            value(0) == Some(0)
                && pc.minus(2).is_some_and(|at| memory.slice(at, 2) == Ok(&[0x0f, 0x05]))
                && memory.slice_up_to(pc, 12).is_ok_and(|code| code.windows(2).any(|pair| pair == [0x31, 0xed]))
        }
        Arch::Aarch64 => {
            // clone 220, clone3 435: Linux include/uapi/asm-generic/unistd.h.
            value(0) == Some(0)
                && matches!(value(8), Some(220 | 435))
                && pc.minus(4).is_some_and(|at| memory.slice(at, 4) == Ok(&SUPERVISOR_CALL))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newborn(code: &[u8], rax: u64) -> bool {
        let mut registers = Registers::unknown(Arch::X86_64);
        registers.set(Register(0), rax);
        registers.set(Register(16), 0x1002);
        is_newborn(&Memory::of_bytes(0x1000, code), &registers)
    }

    #[test]
    fn the_child_of_clone_is_told_from_its_parent_by_the_result() {
        // syscall | test %rax,%rax | jl | je | ret | xor %ebp,%ebp | pop %rax: clone of glibc 2.36
        let clone = [0x0f, 0x05, 0x48, 0x85, 0xc0, 0x7c, 0x13, 0x74, 0x01, 0xc3, 0x31, 0xed, 0x58];
        assert!(newborn(&clone, 0));
        assert!(!newborn(&clone, 4712));
        // syscall | cmp $-4096,%rax | ja | ret: read of glibc 2.36
        assert!(!newborn(&[0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0x77, 0x56, 0xc3], 0));
    }

    #[test]
    fn a_thread_starts_at_the_call_whose_return_is_its_exit() {
        let musl = [0x89, 0xc7, 0x31, 0xc0, 0xb0, 0x3c, 0x0f, 0x05, 0xf4];
        assert!(is_thread_start(Arch::X86_64, &Memory::of_bytes(0x1000, &musl), Addr(0x1000)));
        assert!(!is_thread_start(Arch::X86_64, &Memory::of_bytes(0x1000, &musl), Addr(0x1002)));
        assert!(!is_thread_start(Arch::Aarch64, &Memory::of_bytes(0x1000, &musl), Addr(0x1000)));
    }
}
