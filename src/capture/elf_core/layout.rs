//! Where each register stands in NT_PRSTATUS, by architecture.

use crate::model::Arch;

/// The register part of `struct elf_prstatus`.
pub(super) struct Layout {
    /// Bytes of the whole structure.
    pub(super) status_size: usize,
    /// Index of the 8-byte word in `pr_reg`, DWARF number.
    pub(super) dwarf: &'static [(usize, u16)],
}

/// The layout of an architecture.
pub(super) fn of(arch: Arch) -> &'static Layout {
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    }
}

/// `orig_rax` and `fs_base` in `pr_reg`.
pub(super) const X86_64_ORIG_RAX: usize = 15;
pub(super) const X86_64_FS_BASE: usize = 21;

// Order of words: Linux arch/x86/include/asm/user_64.h, struct user_regs_struct: r15 r14 r13 r12 rbp rbx r11 r10 r9 r8
// rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs. Numbers: psABI figure 3.36.
static X86_64: Layout = Layout {
    status_size: 336,
    dwarf: &[
        (0, 15),
        (1, 14),
        (2, 13),
        (3, 12),
        (4, 6),
        (5, 3),
        (6, 11),
        (7, 10),
        (8, 9),
        (9, 8),
        (10, 0),
        (11, 2),
        (12, 1),
        (13, 4),
        (14, 5),
        (16, 16),
        (19, 7),
    ],
};

// Order of words: Linux arch/arm64/include/uapi/asm/ptrace.h, struct user_pt_regs: x0 to x30, sp, pc, pstate; the DWARF
// numbers are the same up to pc (32, see `Arch::instruction_pointer`).
static AARCH64: Layout = Layout {
    status_size: 392,
    dwarf: &{
        let mut same = [(0, 0); 33];
        let mut number = 0;
        while number < same.len() {
            same[number] = (number, number as u16);
            number += 1;
        }
        same
    },
};
