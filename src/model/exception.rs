//! Exceptions and what else ends a process.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::fault::{Fault, or_null};
use super::{Addr, ExceptionKind, FatalSignal, Known, NamedFrame, Tid};

/// One exception (or the fatal signal).
#[derive(Clone, Debug)]
pub struct Exception {
    /// The thread that has it in flight; `None` when no thread has.
    pub tid: Option<Tid>,
    /// What it is.
    pub kind: ExceptionKind,
    /// Type: `std::runtime_error`, `SIGSEGV`, `core::panic`.
    pub type_name: Known<String>,
    /// Message; `Ok(None)` when the type carries none.
    pub message: Known<Option<String>>,
    /// The exception object, or the faulting address of a signal.
    pub address: Option<Addr>,
    /// Whether it ended the process.
    pub fatal: bool,
    /// Stack: of the throw where it is still there, else of the thread. Innermost first.
    pub frames: Vec<NamedFrame>,
    /// Nested exception.
    pub inner: Option<Box<Exception>>,
    /// Those that it gathers beside `inner`, in its order.
    pub others: Vec<Exception>,
    /// The number that its runtime gives it, of .NET the HRESULT; `Ok(None)` where its kind has none.
    pub code: Known<Option<u32>>,
    /// What only its kind has.
    pub detail: Detail,
}

/// What only one kind of exception has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Detail {
    /// Nothing more is known.
    Nothing,
    /// A signal.
    Signal {
        /// As the kernel told it.
        signal: FatalSignal,
        /// The function that handled it and ended the process; null where no handler ran.
        handler: Option<String>,
        /// What the processor was doing; null for a signal that is no fault of memory, or that someone sent, unless the process itself
        /// did and the instruction shows that it was sent again for a fault.
        fault: Option<Box<Fault>>,
    },
    /// A C++ exception.
    Cxx {
        /// How far it has come.
        phase: Phase,
        /// Why the program ended because of it; null where it did not.
        ended: Option<Termination>,
    },
    /// A failed `assert`.
    Assertion {
        /// The condition as written.
        expression: String,
        /// Where it stands.
        place: SourcePlace,
    },
    /// A panic of Rust or Go, or a fatal error of Go's runtime.
    Panic {
        /// Where it was raised; null when it was not found.
        #[serde(serialize_with = "or_null")]
        #[schemars(with = "Option<SourcePlace>")]
        place: Known<SourcePlace>,
    },
    /// The stack was full, as the runtime itself says.
    Overflow,
    /// A text that was not recorded, but found.
    Found {
        /// Where.
        place: String,
    },
    /// `std::terminate` without an exception.
    Terminate {
        /// Why.
        reason: Termination,
    },
}

/// How far a C++ exception has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nobody catches it.
    Uncaught,
    /// Thrown, on its way to a handler.
    InFlight,
    /// In a handler that has not ended.
    Caught,
}

/// Why `std::terminate` was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Termination {
    /// No handler for an exception.
    Uncaught,
    /// An exception wanted to leave a `noexcept` function, or a destructor while another was in flight.
    Noexcept,
    /// A `std::thread` was destroyed, or assigned to, while joinable.
    JoinableThread,
    /// `throw;` without an exception.
    NothingToRethrow,
    /// A pure virtual function was called.
    PureVirtual,
    /// A deleted virtual function was called.
    DeletedVirtual,
    /// Someone called `std::terminate`: where it ended an exception, while that was being handled.
    Called,
}

/// A place in source, as the program itself recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct SourcePlace {
    /// File as the compiler recorded it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; null where it is not recorded.
    pub column: Option<u32>,
    /// Function; null where it is not recorded.
    pub function: Option<String>,
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Termination::Uncaught => "no handler for the exception",
            Termination::Noexcept => "the exception wanted to leave a noexcept function",
            Termination::JoinableThread => "a std::thread was destroyed while joinable",
            Termination::NothingToRethrow => "throw without an active exception",
            Termination::PureVirtual => "pure virtual method called",
            Termination::DeletedVirtual => "deleted virtual method called",
            Termination::Called => "std::terminate was called",
        })
    }
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.column {
            Some(column) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
}
