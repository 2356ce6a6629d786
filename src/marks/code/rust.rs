//! Rust: its standard library, and what programs lock with.

use super::names::Names;

/// Sources: Rust 1.95 library/core/src/ops/function.rs, library/std/src/sys/backtrace.rs; parking_lot 0.12.
pub(super) const NAMES: Names = Names {
    scopes: &[
        "std::",
        "__rustc::",
        "core::",
        "alloc::",
        "<std::",
        "<core::",
        "<alloc::",
        "<&std::",
        "<&core::",
        "<&alloc::",
        "<&mut std::",
        "<&mut core::",
        "<&mut alloc::",
        "parking_lot::",
        "parking_lot_core::",
        "lock_api::",
        "<parking_lot",
        "<lock_api::",
        "hashbrown::",
        "<hashbrown::",
    ],
    functions: &["rust_begin_unwind", "rust_panic"],
    glue: &["core::ops::function::", "std::sys::backtrace::"],
    glue_parts: &[" as core::ops::function::"],
    ..Names::NONE
};

/// With this Rust marks where the program's own code begins.
pub(super) const BEGIN: &str = "__rust_begin_short_backtrace";
