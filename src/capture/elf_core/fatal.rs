//! The fatal signal and the thread that took it, from NT_SIGINFO and the threads' status notes.

use super::siginfo::SigInfo;
use super::threads::{Grouped, ThreadNotes};
use crate::model::{Arch, FatalSignal, Gap, Known, Tid};

// Source: Linux include/uapi/asm-generic/signal.h. From SIGCHLD to SIGTTOU: CHLD CONT STOP TSTP TTIN TTOU.
const SIGINT: i32 = 2;
const SIGTRAP: i32 = 5;
const SIGCHLD: i32 = 17;
const SIGTTOU: i32 = 22;
const SIGURG: i32 = 23;
const SIGWINCH: i32 = 28;
const LAST_SIGNAL: i32 = 64;

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
/// The kernel writes one `pr_cursig` into every thread and the dumping thread first; gdb writes its last stop signal
/// into every thread and the stopped thread first; createdump and qemu write it into the crashed thread only.
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
    // createdump, which the runtime starts when it gives up, writes zeros where it was told nothing else: no sender,
    // and no address. Measured on dumps of .NET 8 to 10.
    let info = info.filter(|info| writer != Writer::Createdump || !info.is_empty());
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
