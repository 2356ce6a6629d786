//! Instructions as the analyses of code without tables see them: where execution goes on, and what happens to the stack
//! pointer, the frame pointer and the registers that a function must preserve. Architectures differ below this, not
//! above.

use crate::model::{Arch, Register};

/// Preserved registers of an architecture at most.
pub(super) const MAX_PRESERVED: usize = 12;
/// Effects of one instruction at most.
pub(super) const MAX_EFFECTS: usize = 4;

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    /// Address of the instruction behind it.
    pub(super) next: u64,
    /// Where execution goes on.
    pub(super) way: Way,
    /// What it changes, in order.
    pub(super) effects: [Effect; MAX_EFFECTS],
}

/// Where execution goes on after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Behind it.
    On,
    /// Into a function, and behind it when that returns.
    Call,
    /// Here or behind it.
    Maybe(u64),
    /// There.
    Jump(u64),
    /// Where only the running program knows.
    Computed,
    /// To the caller.
    Return,
    /// Nowhere: a trap.
    Stop,
}

/// What an address is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The stack pointer.
    Stack,
    /// The frame pointer register.
    Frame,
}

/// A change. Registers are places in [`preserved`]; offsets are bytes upward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// None.
    Nothing,
    /// The stack pointer moves.
    Stack(i64),
    /// The stack pointer becomes the frame pointer + offset.
    StackAtFrame(i64),
    /// The stack pointer becomes something else.
    StackLost,
    /// The frame pointer register becomes base + offset.
    FrameAt(Base, i64),
    /// A preserved register is stored.
    Store(usize, Base, i64),
    /// A preserved register is loaded.
    Load(usize, Base, i64),
    /// A preserved register becomes something else.
    Write(usize),
}

/// Registers that a function must preserve; on aarch64 also x30, which holds the return address.
// Sources: System V AMD64 psABI 1.0, 3.2.1; AAPCS64 6.1.1.
pub(super) const fn preserved(arch: Arch) -> &'static [Register] {
    const X86_64: [Register; 6] = [Register(3), Register(6), Register(12), Register(13), Register(14), Register(15)];
    const AARCH64: [Register; MAX_PRESERVED] = [
        Register(19),
        Register(20),
        Register(21),
        Register(22),
        Register(23),
        Register(24),
        Register(25),
        Register(26),
        Register(27),
        Register(28),
        Register(29),
        Register(30),
    ];
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Aarch64 => &AARCH64,
    }
}

/// Place of the frame pointer in [`preserved`].
pub(super) const fn frame_pointer(arch: Arch) -> usize {
    match arch {
        Arch::X86_64 => 1,
        Arch::Aarch64 => 10,
    }
}

/// Where the return address is when a function begins: `None` on the stack, at the stack pointer; else the place of its
/// register.
pub(super) const fn link_register(arch: Arch) -> Option<usize> {
    match arch {
        Arch::X86_64 => None,
        Arch::Aarch64 => Some(11),
    }
}

impl Effect {
    /// The stack pointer becomes base + offset.
    pub(super) const fn stack_at(base: Base, offset: i64) -> Effect {
        match base {
            Base::Stack => Effect::Stack(offset),
            Base::Frame => Effect::StackAtFrame(offset),
        }
    }
}

impl Op {
    /// An instruction that changes nothing that matters.
    pub(super) const fn plain(next: u64, way: Way) -> Op {
        Op { next, way, effects: [Effect::Nothing; MAX_EFFECTS] }
    }

    /// With effects; more than there is room for are an error of the decoder and dropped.
    pub(super) fn with(mut self, effects: &[Effect]) -> Op {
        for (slot, effect) in self.effects.iter_mut().zip(effects) {
            *slot = *effect;
        }
        self
    }
}
