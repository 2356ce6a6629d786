//! dumpscope: opens a dump and says why.

use std::process::ExitCode;

/// musl's own allocator takes one lock for all threads; see docs/benchmarks.md for the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dumpscope::cli::main()
}
