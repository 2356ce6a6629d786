//! Kinds of exceptions of .NET, and what is one.

use super::super::clr::Clr;
use crate::model::{Addr, ExceptionFamily, ExceptionKind, Gap, Known};

/// An exception of .NET.
pub(super) const EXCEPTION: ExceptionKind =
    ExceptionKind { code: "HResult", ..ExceptionKind::new("dotnet", ExceptionFamily::Exception, "uncaught") };
/// `Environment.FailFast`.
pub(super) const FAIL_FAST: ExceptionKind =
    ExceptionKind { code: "HResult", ..ExceptionKind::new("dotnet-fail-fast", ExceptionFamily::Abort, "fail fast") };
/// An error after which the runtime cannot go on, as it says itself.
pub(super) const FATAL_ERROR: ExceptionKind = ExceptionKind {
    code: "HResult",
    ..ExceptionKind::new("dotnet-fatal-error", ExceptionFamily::Panic, "fatal error of .NET")
};

/// Base classes that are looked at.
const MAX_BASES: usize = 64;

/// Whether an object's class derives from `System.Exception`.
pub(in crate::runtimes::coreclr) fn is_exception(clr: &Clr, object: Addr) -> Known<bool> {
    is_class_of_exceptions(clr, Addr(clr.ptr(object, "Object", "m_pMethTab")?.0 & !7))
}

/// Whether a class, by its method table, derives from `System.Exception`.
pub(in crate::runtimes::coreclr) fn is_class_of_exceptions(clr: &Clr, mut table: Addr) -> Known<bool> {
    let wanted = clr.global("ExceptionMethodTable")?;
    for _ in 0..MAX_BASES {
        if table == wanted || table.0 == 0 {
            return Ok(table == wanted);
        }
        table = clr.ptr(table, "MethodTable", "ParentMethodTable")?;
    }
    Err(Gap::Corrupt(format!("a class with more than {MAX_BASES} bases, the last at {table}")))
}
