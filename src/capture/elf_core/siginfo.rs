//! What NT_SIGINFO tells of a signal.
//!
//! Layout: `siginfo_t` of 64-bit Linux, include/uapi/asm-generic/siginfo.h: si_signo 0, si_errno 4, si_code 8, then a
//! union at 16.

use super::words::Words;
use crate::model::{Addr, Arch};

// Source: Linux include/uapi/asm-generic/signal.h.
const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
const SIGSYS: i32 = 31;

// Source: Linux include/uapi/asm-generic/siginfo.h.
const SI_USER: i32 = 0;
const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;
/// The kernel sent it and filled in no address (a non-canonical address, for one).
const SI_KERNEL: i32 = 0x80;

/// What NT_SIGINFO records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SigInfo {
    /// `si_signo`.
    pub(super) number: i32,
    /// `si_code`.
    pub(super) code: i32,
    union: u64,
    /// The union's second half: of SIGSYS the number of the call, then the architecture whose number that is.
    second: Option<u64>,
}

impl SigInfo {
    /// Whether nothing is known but the number.
    pub(super) fn is_empty(self) -> bool {
        self.code == 0 && self.union == 0
    }

    /// Reads the note; `None` where it is cut before its union.
    pub(super) fn parse(content: &[u8]) -> Option<SigInfo> {
        let words = Words(content);
        Some(SigInfo { number: words.i32(0)?, code: words.i32(8)?, union: words.u64(16)?, second: words.u64(24) })
    }

    /// `si_addr` of a fault.
    pub(super) fn address(self) -> Option<Addr> {
        let fault = matches!(self.number, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV);
        (fault && self.code > 0 && self.code != SI_KERNEL).then_some(Addr(self.union))
    }

    /// `si_syscall` of SIGSYS, where `si_arch` is the target's own: a 32-bit call has a number of another table.
    pub(super) fn syscall(self, arch: Arch) -> Option<u32> {
        let [number @ .., _, _, _, _] = self.second?.to_le_bytes();
        let [_, _, _, _, of @ ..] = self.second?.to_le_bytes();
        // Source: Linux include/uapi/linux/audit.h.
        let own: u32 = match arch {
            Arch::X86_64 => 0xc000_003e,
            Arch::Aarch64 => 0xc000_00b7,
        };
        let refused = self.number == SIGSYS && self.code > 0 && u32::from_le_bytes(of) == own;
        refused.then_some(u32::from_le_bytes(number))
    }

    /// `si_pid` and `si_uid` of a signal that a process sent.
    pub(super) fn sender(self) -> Option<(u32, u32)> {
        let [pid @ .., _, _, _, _] = self.union.to_le_bytes();
        let [_, _, _, _, uid @ ..] = self.union.to_le_bytes();
        matches!(self.code, SI_USER | SI_QUEUE | SI_TKILL).then_some((u32::from_le_bytes(pid), u32::from_le_bytes(uid)))
    }
}
