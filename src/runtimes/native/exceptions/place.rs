//! What lies at a faulting address: nothing, the null page, the end of the stack, memory without the right.

use crate::capture::{Memory, Region};
use crate::model::fault::{AccessKind, Operand, Place};
use crate::model::{Addr, Arch, FatalSignal, Stack, Trust};

/// Signal codes that decide by themselves. Source: Linux include/uapi/asm-generic/siginfo.h.
pub(super) const SI_KERNEL: i32 = 0x80;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const SIGBUS: i32 = 7;

/// Pages that are never mapped: vm.mmap_min_addr is 65536 on every distribution's kernel.
const NULL_PAGES: u64 = 0x1_0000;
/// How far below zero a null pointer with a negative offset may reach.
const BELOW_NULL: u64 = 0x1000;
/// The kernel keeps this much unmapped below a growing stack. Source: Linux mm/mmap.c, stack_guard_gap (256 pages).
const STACK_GAP: u64 = 256 << 12;
/// A frame may be this large when its first access below the stack faults.
const MAX_FRAME: u64 = 8 << 20;
/// x86-64 code may use this much below rsp. Source: System V AMD64 psABI 3.2.2, red zone; a call writes 8 more.
const RED_ZONE: u64 = 128 + 8;
/// Frames of the crashing thread that are looked at for its real stack.
const FRAMES: usize = 64;

/// What is known about the access.
pub(super) struct Question<'a> {
    pub memory: &'a Memory,
    pub arch: Arch,
    pub signal: &'a FatalSignal,
    pub address: Addr,
    pub access: Option<AccessKind>,
    pub operand: Option<&'a Operand>,
    pub bytes: Option<u32>,
    pub sp: Option<Addr>,
    pub stack: &'a Stack,
}

/// Whether an address is in the kernel's half: bit 63 tells on x86-64, and bit 55 on aarch64, where those above may be a tag.
// Source: Linux Documentation/arch/x86/x86_64/mm.rst, Documentation/arch/arm64/memory.rst.
fn is_kernels(arch: Arch, address: Addr) -> bool {
    match arch {
        Arch::X86_64 => address.0 >> 63 == 1 && is_canonical(address),
        Arch::Aarch64 => address.0 >> 55 & 1 == 1,
    }
}

/// Says what lies at the address.
pub(super) fn place(question: &Question<'_>) -> Place {
    let Question { memory, arch, signal, address, access, .. } = *question;
    if signal.number == SIGBUS && signal.code == Some(BUS_ADRERR) {
        return Place::PastEndOfFile;
    }
    if signal.number == SIGBUS && signal.code == Some(BUS_ADRALN) {
        return Place::Misaligned { alignment: question.bytes.unwrap_or(4) };
    }
    // A null pointer's member may lie far out (a large array in a structure): the base register tells.
    let null_base = question
        .operand
        .is_some_and(|operand| matches!(operand.terms.as_slice(), [base] if base.value == Some(0) && base.scale == 1));
    if address.0 < NULL_PAGES || (null_base && memory.region_at(address).is_none()) {
        return Place::NullPage { offset: address.0 };
    }
    if address.0 >= 0u64.wrapping_sub(BELOW_NULL) {
        return Place::Unmapped;
    }
    if arch == Arch::X86_64 && !is_canonical(address) && signal.code.is_none_or(|code| code == SI_KERNEL) {
        return Place::NonCanonical;
    }
    // The kernel may lend pages there (x86-64's vsyscall).
    if is_kernels(arch, address) && memory.region_at(address).is_none() {
        return Place::Kernel;
    }
    if access != Some(AccessKind::Execute)
        && let Some(guard) = stack_guard(question)
    {
        return guard;
    }
    let Some(region) = memory.region_at(address) else { return Place::Unmapped };
    let rights = region.access;
    match access {
        _ if !rights.read && !rights.write && !rights.execute => Place::NoAccess,
        Some(AccessKind::Execute) if !rights.execute => Place::NotExecutable,
        Some(AccessKind::Write) if !rights.write => Place::ReadOnly,
        Some(AccessKind::Read) if !rights.read => Place::NoAccess,
        _ if signal.code == Some(SI_KERNEL) => misaligned(question).unwrap_or(Place::Mapped),
        _ => Place::Mapped,
    }
}

/// A general protection fault at a good address: SSE operands of 16 bytes and more demand their alignment.
// Source: Intel SDM volume 3, section 6.15, "Interrupt 13"; volume 1, section 4.1.1.
fn misaligned(question: &Question<'_>) -> Option<Place> {
    let alignment = question.bytes.filter(|bytes| *bytes >= 16 && bytes.is_power_of_two())?;
    (!question.address.is_aligned(u64::from(alignment))).then_some(Place::Misaligned { alignment })
}

/// Whether bits 63 to 47 agree. Source: Intel SDM volume 1, section 3.3.7.1 (4-level paging).
pub(super) fn is_canonical(address: Addr) -> bool {
    let upper = address.0 >> 47;
    upper == 0 || upper == 0x1_ffff
}

/// The stack is full when the thread's callers run on a writable mapping that begins above the address, the stack
/// pointer has moved to (or past) the address, and nothing usable lies between.
fn stack_guard(question: &Question<'_>) -> Option<Place> {
    let sp = question.sp?;
    let address = question.address;
    if sp.0 > address.0.saturating_add(RED_ZONE) || address.0.saturating_sub(sp.0) > MAX_FRAME {
        return None;
    }
    let regions = question.memory.regions();
    let usable = |region: &&Region| region.access.read && region.access.write;
    if question.memory.region_at(address).as_ref().is_some_and(usable) {
        return None;
    }
    let above = regions.partition_point(|region| region.start <= address);
    let stack = regions.get(above..)?.iter().take(2).find(usable)?;
    let gap = stack.start.since(address)?;
    let guard = question.memory.region_at(address).map_or(0, |guard| guard.end.0.saturating_sub(guard.start.0));
    let runs_there = |at: Addr| stack.start <= at && at < stack.end;
    // One frame may be larger than what is left, and than the gap: its caller runs on the stack then.
    let reaches = question.stack.frames.iter().find(|frame| frame.sp > sp);
    let leaps = !runs_there(sp) && reaches.is_some_and(|frame| frame.trust == Trust::Cfi && runs_there(frame.sp));
    if gap > guard.max(STACK_GAP) && !leaps {
        return None;
    }
    let frames = question.stack.frames.iter().take(FRAMES);
    if !runs_there(sp) && !frames.map(|frame| frame.sp).any(runs_there) {
        return None;
    }
    Some(Place::StackGuard { stack: stack.start, size: stack.end.since(stack.start)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Access;
    use crate::model::fault::Term;
    use crate::model::{End, Frame, FrameKind, Tid, Why};

    const RW: Access = Access { read: true, write: true, execute: false };
    const NONE: Access = Access { read: false, write: false, execute: false };
    const RO: Access = Access { read: true, write: false, execute: false };

    fn segv(code: i32) -> FatalSignal {
        FatalSignal {
            tid: Tid(1),
            number: 11,
            code: Some(code),
            address: None,
            sender_pid: None,
            sender_uid: None,
            syscall: None,
        }
    }

    // | guard 0x10000..0x11000 | stack 0x11000..0x20000 |   | read-only 0x30000..0x31000 |
    fn memory() -> Memory {
        let region =
            |start, end, access| Region { start: Addr(start), end: Addr(end), access, missing: Why::NotDumped };
        Memory::new(
            Vec::new(),
            vec![
                region(0x10_0000, 0x10_1000, NONE),
                region(0x10_1000, 0x20_0000, RW),
                region(0x30_0000, 0x30_1000, RO),
            ],
        )
    }

    fn at(address: u64, access: AccessKind, code: i32, sp: u64, operand: Option<&Operand>) -> Place {
        let frame = |sp| Frame {
            pc: Addr(0x40_0000),
            returns: true,
            sp: Addr(sp),
            cfa: None,
            kind: FrameKind::Native,
            trust: Trust::Cfi,
        };
        place(&Question {
            memory: &memory(),
            arch: Arch::X86_64,
            signal: &segv(code),
            address: Addr(address),
            access: Some(access),
            operand,
            bytes: Some(16),
            sp: Some(Addr(sp)),
            stack: &Stack::without_registers(vec![frame(sp), frame(0x10_1100)], End::Limit),
        })
    }

    #[test]
    fn a_member_of_a_null_pointer_is_in_the_null_page() {
        assert_eq!(at(0x10, AccessKind::Read, 1, 0x18_0000, None), Place::NullPage { offset: 0x10 });
    }

    #[test]
    fn a_far_member_of_a_null_pointer_is_known_by_its_base() {
        let operand = |base| Operand {
            terms: vec![Term { register: "rax", value: Some(base), scale: 1 }],
            displacement: 0x50_0000,
        };
        assert_eq!(
            at(0x50_0000, AccessKind::Read, 1, 0x18_0000, Some(&operand(0))),
            Place::NullPage { offset: 0x50_0000 }
        );
        assert_eq!(at(0x50_0000, AccessKind::Read, 1, 0x18_0000, Some(&operand(8))), Place::Unmapped);
    }

    #[test]
    fn an_access_at_the_stack_pointer_below_the_stack_is_an_overflow() {
        let full = Place::StackGuard { stack: Addr(0x10_1000), size: 0xf_f000 };
        assert_eq!(at(0x10_0ff8, AccessKind::Write, 2, 0x10_1000, None), full, "a call at the very end");
        assert_eq!(at(0x10_0f80, AccessKind::Write, 2, 0x10_0f00, None), full, "a local of a frame past the end");
    }

    #[test]
    fn an_access_below_the_stack_with_the_stack_pointer_far_above_is_no_overflow() {
        assert_eq!(at(0x10_0ff8, AccessKind::Write, 2, 0x18_0000, None), Place::NoAccess);
    }

    #[test]
    fn rights_decide_in_mapped_memory() {
        assert_eq!(at(0x30_0000, AccessKind::Write, 2, 0x18_0000, None), Place::ReadOnly);
        assert_eq!(at(0x30_0000, AccessKind::Execute, 2, 0x18_0000, None), Place::NotExecutable);
    }

    #[test]
    fn general_protection_is_a_bad_address_or_a_bad_alignment() {
        assert_eq!(at(0x4141_4141_4141_4141, AccessKind::Read, SI_KERNEL, 0x18_0000, None), Place::NonCanonical);
        assert_eq!(at(0x18_0001, AccessKind::Write, SI_KERNEL, 0x18_0000, None), Place::Misaligned { alignment: 16 });
    }
}
