//! What ends a program of C, C++ or Rust.

use crate::model::{ExceptionFamily, ExceptionKind};

/// A signal of the kernel's: SIGSEGV, SIGFPE …
pub(super) const SIGNAL: ExceptionKind = ExceptionKind::new("signal", ExceptionFamily::Signal, "signal");
/// A C++ exception object.
pub(super) const CXX: ExceptionKind = ExceptionKind::new("cxx", ExceptionFamily::Exception, "uncaught");
/// `abort`, with the text that the C library left.
pub(super) const ABORT: ExceptionKind = ExceptionKind::new("abort", ExceptionFamily::Abort, "abort");
/// A failed `assert`.
pub(super) const ASSERTION: ExceptionKind =
    ExceptionKind::new("assertion", ExceptionFamily::Assertion, "assertion failed");
/// A Rust panic.
pub(super) const RUST_PANIC: ExceptionKind = ExceptionKind {
    inner: "the stack was being unwound for an earlier panic",
    ..ExceptionKind::new("rust-panic", ExceptionFamily::Panic, "panic")
};
/// `std::terminate` without an exception.
pub(super) const TERMINATE: ExceptionKind =
    ExceptionKind::new("terminate", ExceptionFamily::Terminate, "std::terminate");
