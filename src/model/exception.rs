//! Exceptions and what else ends a process.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Addr, Known, NamedFrame, Tid};

/// What kind of thing was thrown or happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExceptionKind {
    /// A signal of the kernel's: SIGSEGV, SIGFPE …
    Signal,
    /// A C++ exception object.
    Cxx,
    /// `abort`, with the text that the C library left.
    Abort,
    /// A failed `assert`.
    Assertion,
    /// A Rust panic.
    RustPanic,
    /// `std::terminate` without an exception.
    Terminate,
}

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
}
