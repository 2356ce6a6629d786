//! The fatal signal as an exception: what the kernel says, and what the faulting instruction adds to it.

use crate::capture::Memory;
use crate::model::{
    AccessKind, Addr, Arch, Detail, Exception, FatalSignal, Fault, Gap, Known, NamedFrame, Operand, OsThread, Place,
    Stack, syscall_name,
};
use crate::target::Target;

use super::access::{Access, Decoded, Special};
use super::freed;
use super::instruction;
use super::kinds;
use super::place::{self, Question, SI_KERNEL};

// Source: Linux include/uapi/asm-generic/signal.h.
const SIGILL: i32 = 4;
const SIGTRAP: i32 = 5;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;

/// Length of `int3`. Source: Intel SDM volume 2, "INT n/INTO/INT3/INT1".
const BREAKPOINT: u64 = 1;

/// The signal as an exception of the thread that took it.
pub(super) fn exception(
    target: &Target,
    signal: &FatalSignal,
    thread: Option<(&OsThread, &Stack)>,
    frames: Vec<NamedFrame>,
    handler: Option<String>,
) -> Exception {
    let decoded = thread.and_then(|(thread, _)| {
        let registers = thread.registers.as_ref().ok()?;
        // A breakpoint has been executed when it is reported. Source: Intel SDM volume 3, section 6.5, "Traps".
        let pc = registers.pc()?;
        let at = if signal.number == SIGTRAP { pc.minus(BREAKPOINT)? } else { pc };
        Some(instruction::decode(&target.memory, at, registers, thread.thread_pointer.as_ref().ok().copied()))
    });
    let special = decoded.as_ref().and_then(|decoded| decoded.as_ref().ok()?.special);
    let own = target.capture.process.pid.as_ref().ok().copied();
    let fault = match (signal.number, thread, decoded) {
        (SIGSEGV | SIGBUS, Some((thread, stack)), Some(decoded)) if !signal.was_sent() => {
            fault(target, signal, thread, stack, decoded)
        }
        (SIGSEGV | SIGBUS, Some((thread, stack)), Some(decoded))
            if signal.sender_pid.is_some_and(|pid| Some(pid) == own) =>
        {
            unreported(target, signal, thread, stack, decoded)
        }
        _ => None,
    };
    let sent = match &fault {
        Some(_) if signal.was_sent() => "; the process itself sent the signal again".to_owned(),
        _ => sender(signal, own),
    };
    let refused = refused(target.arch(), signal).unwrap_or_default();
    let message = message(signal, fault.as_ref(), special, &frames).map(|words| words + &refused + &sent);
    Exception {
        tid: Some(signal.tid),
        kind: kinds::SIGNAL,
        type_name: Ok(signal.name()),
        message: Ok(message),
        address: fault.as_ref().and_then(|fault| fault.address.as_ref().ok().copied()).or(signal.address),
        fatal: true,
        frames,
        inner: None,
        others: Vec::new(),
        code: Ok(None),
        detail: Detail::Signal { signal: signal.clone(), handler, fault: fault.map(Box::new) },
    }
}

fn message(
    signal: &FatalSignal,
    fault: Option<&Fault>,
    special: Option<Special>,
    frames: &[NamedFrame],
) -> Option<String> {
    if let Some(fault) = fault {
        return Some(fault.to_string());
    }
    let by_instruction = match (signal.number, special) {
        (SIGFPE, Some(Special::Divide(Some(0)))) => Some("integer division by zero"),
        // The processor reports both in one way. Source: Intel SDM volume 3, section 6.15, "Interrupt 0".
        (SIGFPE, Some(Special::Divide(Some(_)))) => Some("integer division whose quotient does not fit"),
        (SIGILL | SIGTRAP, Some(Special::Trap)) => {
            Some("ud2: code that the compiler was told can never run, or a trap")
        }
        (SIGTRAP, Some(Special::Breakpoint)) => Some("int3: a breakpoint in the code"),
        // musl says nothing, where glibc prints and aborts. Source: musl 1.2.3 src/env/__stack_chk_fail.c.
        (SIGSEGV, Some(Special::Halt)) if is_guard(frames) => {
            Some("stack smashing detected: a local array of the function that returned was overrun")
        }
        // Source: musl 1.2.3 arch/x86_64/atomic_arch.h, a_crash.
        (SIGSEGV, Some(Special::Halt)) => {
            Some("hlt: an instruction for the kernel only, and how musl stops a program whose state is broken")
        }
        (SIGSEGV, Some(Special::Privileged)) => Some("an instruction for the kernel only"),
        _ => None,
    };
    by_instruction.or_else(|| signal.words()).map(str::to_owned)
}

/// Whether the innermost function is the one that compilers call when a function's guard value has changed.
fn is_guard(frames: &[NamedFrame]) -> bool {
    frames.first().and_then(|frame| frame.function.as_deref()) == Some("__stack_chk_fail")
}

/// ` getppid`: the system call that was refused; `None` for another signal.
fn refused(arch: Arch, signal: &FatalSignal) -> Option<String> {
    let number = u64::from(signal.syscall?);
    Some(syscall_name(arch, number).map_or_else(|| format!(" {number}"), |name| format!(" {name}")))
}

/// ` from process 77, user 1000`; nothing for a signal that nobody sent.
fn sender(signal: &FatalSignal, own: Option<u32>) -> String {
    let Some(pid) = signal.sender_pid else { return String::new() };
    let who = match pid {
        pid if Some(pid) == own => " from the process itself".to_owned(),
        // The kernel fills in zero for a sender in another PID namespace.
        // Source: Linux kernel/signal.c, __send_signal_locked (task_tgid_nr_ns).
        0 => " from a process of another PID namespace".to_owned(),
        pid => format!(" from process {pid}"),
    };
    match signal.sender_uid {
        Some(uid) => format!("{who}, user {uid}"),
        None => who,
    }
}

/// What the processor was doing. `None` where the signal is no fault of a memory access.
fn fault(
    target: &Target,
    signal: &FatalSignal,
    thread: &OsThread,
    stack: &Stack,
    decoded: Known<Decoded>,
) -> Option<Fault> {
    let memory = &target.memory;
    let registers = thread.registers.as_ref().ok()?;
    let pc = registers.pc()?;
    // A general protection fault has no address: the kernel fills in zero.
    // Source: Linux arch/x86/kernel/traps.c, exc_general_protection.
    let reported = signal.address.filter(|_| signal.code != Some(SI_KERNEL));
    if let Some(Special::Privileged | Special::Halt) = decoded.as_ref().ok().and_then(|decoded| decoded.special) {
        return None;
    }
    let seen = if reported == Some(pc) || (reported.is_none() && !is_executable(memory, pc)) {
        Seen { access: Ok(AccessKind::Execute), bytes: None, address: Ok(pc), operand: None }
    } else {
        match (&decoded, reported) {
            (Ok(decoded), Some(address)) => by_address(decoded, address, memory),
            (Ok(decoded), None) => by_registers(decoded, memory),
            (Err(gap), Some(address)) => Seen { address: Ok(address), ..Seen::unknown(gap) },
            (Err(gap), None) => Seen::unknown(gap),
        }
    };
    let place = seen.address.clone().map(|address| {
        place::place(&Question {
            memory,
            arch: target.arch(),
            signal,
            address,
            access: seen.access.as_ref().ok().copied(),
            operand: seen.operand.as_ref(),
            bytes: seen.bytes,
            sp: registers.sp(),
            stack,
        })
    });
    let Seen { access, bytes, address, operand } = seen;
    let freed = operand.as_ref().and_then(|operand| freed::freed(target, registers, operand));
    Some(Fault { access, bytes, address, place, operand, freed })
}

/// The fault of an instruction that cannot but fault, where the kernel's word of it is gone: a handler caught the signal, sent
/// it again for the default action, and returned to the instruction.
fn unreported(
    target: &Target,
    signal: &FatalSignal,
    thread: &OsThread,
    stack: &Stack,
    decoded: Known<Decoded>,
) -> Option<Fault> {
    let unknown = FatalSignal { code: None, address: None, ..signal.clone() };
    let fault = fault(target, &unknown, thread, stack, decoded)?;
    let sure = matches!(
        fault.place,
        Ok(Place::NullPage { .. }
            | Place::StackGuard { .. }
            | Place::Unmapped
            | Place::NonCanonical
            | Place::Kernel
            | Place::NoAccess
            | Place::ReadOnly
            | Place::NotExecutable)
    );
    sure.then_some(fault)
}

struct Seen {
    access: Known<AccessKind>,
    bytes: Option<u32>,
    address: Known<Addr>,
    operand: Option<Operand>,
}

impl Seen {
    fn unknown(gap: &Gap) -> Seen {
        Seen { access: Err(gap.clone()), bytes: None, address: Err(gap.clone()), operand: None }
    }

    fn of(access: &Access, address: Addr, memory: &Memory) -> Seen {
        // What both reads and writes was stopped at the write where reading is allowed.
        let readable = memory.region_at(address).is_some_and(|region| region.access.read);
        let kind = if access.also_writes && readable { AccessKind::Write } else { access.kind };
        Seen { access: Ok(kind), bytes: access.bytes, address: Ok(address), operand: Some(access.operand.clone()) }
    }
}

/// The access that covers the address that the processor reported.
fn by_address(decoded: &Decoded, address: Addr, memory: &Memory) -> Seen {
    let covers = |access: &&Access| {
        let Some(start) = access.operand.address() else { return false };
        address.since(start).is_some_and(|offset| offset < u64::from(access.bytes.unwrap_or(1)))
    };
    if let Some(access) = decoded.accesses.iter().find(covers) {
        return Seen::of(access, address, memory);
    }
    // A register that is not known (a vector index): where there is one operand only, it must be this one.
    if let [access] = decoded.accesses.as_slice()
        && access.operand.address().is_none()
    {
        return Seen::of(access, address, memory);
    }
    let gap = Gap::Corrupt(format!("no operand of the instruction gives {address}"));
    Seen { address: Ok(address), ..Seen::unknown(&gap) }
}

/// The access that must have faulted, by what its registers hold: for faults without an address.
fn by_registers(decoded: &Decoded, memory: &Memory) -> Seen {
    if let Some(Special::Goto(to)) = decoded.special
        && !is_executable(memory, to)
    {
        // The operand that held the address, where it was in memory: a function pointer, or the return address.
        let slot = decoded.accesses.iter().find(|access| access.kind == AccessKind::Read);
        let operand = slot.map(|slot| slot.operand.clone());
        return Seen { access: Ok(AccessKind::Execute), bytes: None, address: Ok(to), operand };
    }
    let bad: [fn(&Memory, &Access, Addr) -> bool; 3] = [
        |_, _, address| !place::is_canonical(address),
        |_, access, address| access.bytes.is_some_and(|bytes| bytes >= 16 && !address.is_aligned(u64::from(bytes))),
        |memory, access, address| !allows(memory, address, access),
    ];
    for is_bad in bad {
        for access in &decoded.accesses {
            if let Some(address) = access.operand.address()
                && is_bad(memory, access, address)
            {
                return Seen::of(access, address, memory);
            }
        }
    }
    Seen::unknown(&Gap::NotRecorded("the processor reports no address, and no register explains the fault".to_owned()))
}

fn allows(memory: &Memory, address: Addr, access: &Access) -> bool {
    memory.region_at(address).is_some_and(|region| match access.kind {
        AccessKind::Read => region.access.read && (region.access.write || !access.also_writes),
        AccessKind::Write => region.access.write,
        AccessKind::Execute => region.access.execute,
    })
}

fn is_executable(memory: &Memory, address: Addr) -> bool {
    memory.region_at(address).is_some_and(|region| region.access.execute)
}
