//! Go: packages of its runtime. No name of C, C++ or Rust has a dot there: what compilers append to clones is taken off.

use super::names::Names;

// Source: Go 1.19 src/runtime, src/internal, src/sync, src/syscall, src/reflect; cmd/cgo for the names that it makes, runtime/cgocall.go,
// asm_amd64.s, proc.go.
pub(super) const NAMES: Names = Names {
    functions: &[
        "runtime.",
        "runtime/",
        "internal/",
        "sync.",
        "sync/",
        "syscall.",
        "reflect.",
        "_cgo_",
        "x_cgo_",
        "_rt0_",
    ],
    starts: &["runtime.goexit", "runtime.goexit.abi0", "runtime.main", "runtime.mstart", "runtime.mstart.abi0"],
    glue: &["_cgo_", "runtime.cgocall", "runtime.asmcgocall", "runtime.systemstack_switch"],
    glue_parts: &["._Cfunc_"],
    ..Names::NONE
};
