//! What ended a process, in the terms of the system that ran it.

use super::{Addr, FatalSignal, Tid};

/// What ended (or stopped) a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Linux: a signal.
    Signal(FatalSignal),
    /// Windows: an exception that nobody handled.
    Windows {
        /// The thread that raised it.
        tid: Tid,
        /// `ExceptionCode`.
        code: u32,
        /// `ExceptionAddress`: the instruction.
        address: Addr,
        /// `ExceptionInformation`, 15 at most; of an access violation what was tried (0 read, 1 write, 8 execute) and the address.
        parameters: Vec<u64>,
    },
    /// macOS: a Mach exception.
    Mach {
        /// The thread that raised it.
        tid: Tid,
        /// `exception_type_t`.
        kind: u32,
        /// The first code; what it says depends on the kind.
        code: u64,
        /// The second code: of EXC_BAD_ACCESS the address.
        subcode: u64,
    },
}

// Source: Windows SDK, ntstatus.h and winnt.h.
const WINDOWS: [(u32, &str); 20] = [
    (0x8000_0001, "EXCEPTION_GUARD_PAGE"),
    (0x8000_0002, "EXCEPTION_DATATYPE_MISALIGNMENT"),
    (0x8000_0003, "EXCEPTION_BREAKPOINT"),
    (0x8000_0004, "EXCEPTION_SINGLE_STEP"),
    (0xc000_0005, "EXCEPTION_ACCESS_VIOLATION"),
    (0xc000_0006, "EXCEPTION_IN_PAGE_ERROR"),
    (0xc000_001d, "EXCEPTION_ILLEGAL_INSTRUCTION"),
    (0xc000_0025, "EXCEPTION_NONCONTINUABLE_EXCEPTION"),
    (0xc000_008c, "EXCEPTION_ARRAY_BOUNDS_EXCEEDED"),
    (0xc000_008e, "EXCEPTION_FLT_DIVIDE_BY_ZERO"),
    (0xc000_0090, "EXCEPTION_FLT_INVALID_OPERATION"),
    (0xc000_0094, "EXCEPTION_INT_DIVIDE_BY_ZERO"),
    (0xc000_0095, "EXCEPTION_INT_OVERFLOW"),
    (0xc000_0096, "EXCEPTION_PRIV_INSTRUCTION"),
    (0xc000_00fd, "EXCEPTION_STACK_OVERFLOW"),
    (0xc000_0374, "STATUS_HEAP_CORRUPTION"),
    (0xc000_0409, "STATUS_STACK_BUFFER_OVERRUN"),
    (0xc000_0420, "STATUS_ASSERTION_FAILURE"),
    // "msc" and "CLR" with the high bits of a status code that the customer defined.
    (0xe06d_7363, "C++ exception"),
    (0xe043_4352, "CLR exception"),
];

// Source: XNU osfmk/mach/exception_types.h, numbers 1 to 13.
const MACH: [&str; 13] = [
    "EXC_BAD_ACCESS",
    "EXC_BAD_INSTRUCTION",
    "EXC_ARITHMETIC",
    "EXC_EMULATION",
    "EXC_SOFTWARE",
    "EXC_BREAKPOINT",
    "EXC_SYSCALL",
    "EXC_MACH_SYSCALL",
    "EXC_RPC_ALERT",
    "EXC_CRASH",
    "EXC_RESOURCE",
    "EXC_GUARD",
    "EXC_CORPSE_NOTIFY",
];

impl Cause {
    /// The thread that it happened to.
    pub fn tid(&self) -> Tid {
        match self {
            Cause::Signal(signal) => signal.tid,
            Cause::Windows { tid, .. } | Cause::Mach { tid, .. } => *tid,
        }
    }

    /// `SIGSEGV`, `EXCEPTION_ACCESS_VIOLATION`, `EXC_BAD_ACCESS`; the number where it has no name.
    pub fn name(&self) -> String {
        match self {
            Cause::Signal(signal) => signal.name(),
            Cause::Windows { code, .. } => {
                let named = WINDOWS.iter().find(|(known, _)| known == code);
                named.map_or_else(|| format!("exception {code:#010x}"), |(_, name)| (*name).to_owned())
            }
            Cause::Mach { kind, .. } => {
                let index = kind.checked_sub(1).and_then(|index| usize::try_from(index).ok());
                let named = index.and_then(|index| MACH.get(index));
                named.map_or_else(|| format!("Mach exception {kind}"), |name| (*name).to_owned())
            }
        }
    }

    /// The signal, where it is one.
    pub fn signal(&self) -> Option<&FatalSignal> {
        match self {
            Cause::Signal(signal) => Some(signal),
            Cause::Windows { .. } | Cause::Mach { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_own_names() {
        let windows = |code| Cause::Windows { tid: Tid(1), code, address: Addr(0), parameters: Vec::new() }.name();
        assert_eq!(windows(0xc000_0005), "EXCEPTION_ACCESS_VIOLATION");
        assert_eq!(windows(0x1234), "exception 0x00001234");
        let mach = |kind| Cause::Mach { tid: Tid(1), kind, code: 0, subcode: 0 }.name();
        assert_eq!([mach(1), mach(13), mach(0), mach(14)].join(", "), {
            "EXC_BAD_ACCESS, EXC_CORPSE_NOTIFY, Mach exception 0, Mach exception 14"
        });
    }
}
