//! The fatal signal, from NT_SIGINFO and the threads' status notes.
//!
//! Layout: `siginfo_t` of 64-bit Linux, include/uapi/asm-generic/siginfo.h: si_signo 0, si_errno 4, si_code 8, then a union at 16.

use super::threads::{Grouped, ThreadNotes};
use super::words::Words;
use crate::model::{Addr, Arch, FatalSignal, Gap, Known, Tid};

// Source: Linux include/uapi/asm-generic/signal.h. From SIGCHLD to SIGTTOU: CHLD CONT STOP TSTP TTIN TTOU.
const SIGINT: i32 = 2;
const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
const SIGCHLD: i32 = 17;
const SIGTTOU: i32 = 22;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;
const SIGSYS: i32 = 31;
const LAST_SIGNAL: i32 = 64;

// Source: Linux include/uapi/asm-generic/siginfo.h.
const SI_USER: i32 = 0;
const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;
/// The kernel sent it and filled in no address (a non-canonical address, for one).
const SI_KERNEL: i32 = 0x80;

/// What NT_SIGINFO records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SigInfo {
    number: i32,
    code: i32,
    union: u64,
    /// The union's second half: of SIGSYS the number of the call, then the architecture whose number that is.
    second: Option<u64>,
}

impl SigInfo {
    /// Reads the note; `None` where it is cut before its union.
    pub(super) fn parse(content: &[u8]) -> Option<SigInfo> {
        let words = Words(content);
        Some(SigInfo { number: words.i32(0)?, code: words.i32(8)?, union: words.u64(16)?, second: words.u64(24) })
    }

    /// `si_addr` of a fault.
    fn address(self) -> Option<Addr> {
        let fault = matches!(self.number, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV);
        (fault && self.code > 0 && self.code != SI_KERNEL).then_some(Addr(self.union))
    }

    /// `si_syscall` of SIGSYS, where `si_arch` is the target's own: a 32-bit call has a number of another table.
    fn syscall(self, arch: Arch) -> Option<u32> {
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
    fn sender(self) -> Option<(u32, u32)> {
        let [pid @ .., _, _, _, _] = self.union.to_le_bytes();
        let [_, _, _, _, uid @ ..] = self.union.to_le_bytes();
        matches!(self.code, SI_USER | SI_QUEUE | SI_TKILL).then_some((u32::from_le_bytes(pid), u32::from_le_bytes(uid)))
    }
}

/// Who wrote the core: what a signal in it means depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    Kernel,
    Gdb,
    Createdump,
    Qemu,
    Dumpscope,
    Other,
}

/// Which thread took the fatal signal, and its number. `None` where the process went on.
///
/// The kernel writes one `pr_cursig` into every thread and the dumping thread first; gdb writes its last stop signal into every thread
/// and the stopped thread first; createdump and qemu write it into the crashed thread only.
pub(super) fn crashed(grouped: &Grouped<'_>, writer: Writer) -> Option<(usize, i32)> {
    // Where one of the three records of the signal is damaged the others still tell.
    let records: [fn(&ThreadNotes<'_>) -> i32; 2] = [|thread| thread.signal(), |thread| thread.info_signal()];
    let threads = || grouped.threads.iter().enumerate();
    let fatal = |number: i32| Some(number).filter(|number| is_fatal(*number, writer));
    let told = records
        .into_iter()
        .find_map(|record| threads().find_map(|(index, thread)| Some((index, fatal(record(thread))?))));
    told.or_else(|| {
        let (index, thread) = threads().next().filter(|_| writer == Writer::Kernel)?;
        Some((index, fatal(thread.siginfo.or(grouped.process_siginfo)?.number)?))
    })
}

/// The fatal signal with its details.
pub(super) fn fatal(
    grouped: &Grouped<'_>,
    crashed: Option<(usize, i32)>,
    tid: Option<Tid>,
    arch: Arch,
    writer: Writer,
) -> Known<Option<FatalSignal>> {
    if grouped.threads.is_empty() {
        return Err(Gap::NotRecorded("the core has no thread notes".to_owned()));
    }
    let (Some((index, number)), Some(tid)) = (crashed, tid) else { return Ok(None) };
    let own = grouped.threads.get(index).and_then(|thread| thread.siginfo);
    let info = own.into_iter().chain(grouped.process_siginfo).find(|info| info.number == number);
    // createdump, which the runtime starts when it gives up, writes zeros where it was told nothing else: no sender, and no address.
    // Measured on dumps of .NET 8 to 10.
    let info = info.filter(|info| writer != Writer::Createdump || info.code != 0 || info.union != 0);
    let sender = info.and_then(SigInfo::sender);
    Ok(Some(FatalSignal {
        tid,
        number,
        code: info.map(|info| info.code),
        address: info.and_then(SigInfo::address),
        sender_pid: sender.map(|(pid, _)| pid),
        sender_uid: sender.map(|(_, uid)| uid),
        syscall: info.and_then(|info| info.syscall(arch)),
    }))
}

/// Whether a signal can have ended the process.
fn is_fatal(number: i32, writer: Writer) -> bool {
    // Source: signal(7): stop, continue and ignore are the default actions of these.
    if !(1..=LAST_SIGNAL).contains(&number) || matches!(number, SIGCHLD..=SIGTTOU | SIGURG | SIGWINCH) {
        return false;
    }
    // A debugger stops its process with these (breakpoint, Ctrl-C), and the process goes on.
    !(writer == Writer::Gdb && matches!(number, SIGTRAP | SIGINT))
}
