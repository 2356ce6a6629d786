//! What ends a program of Go.

use crate::model::{ExceptionFamily, ExceptionKind};

/// A panic that nobody recovered. A deferred function that panics may have recovered the first one.
pub(super) const PANIC: ExceptionKind = ExceptionKind {
    inner: "it followed an earlier panic",
    apart: Some("the goroutine's stack"),
    ..ExceptionKind::new("go-panic", ExceptionFamily::Panic, "panic")
};
/// A fatal error of Go's runtime: a deadlock, concurrent writes to a map …
pub(super) const FATAL: ExceptionKind = ExceptionKind {
    inner: "the first goroutine waits",
    apart: Some("the goroutine's stack"),
    ..ExceptionKind::new("go-fatal", ExceptionFamily::Panic, "fatal error")
};
