//! dumpscope: opens a dump and says why.

use std::process::ExitCode;

use dumpscope::scratch::Scratch;

/// musl's own allocator takes one lock for all threads; see docs/benchmarks.md for the figures.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: Scratch<mimalloc::MiMalloc> = Scratch::new(mimalloc::MiMalloc);

#[cfg(not(feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: Scratch<std::alloc::System> = Scratch::new(std::alloc::System);

fn main() -> ExitCode {
    // The allocator asks for huge pages; zeroing them costs more than all stacks of a thousand threads, and they count as
    // memory in full. A kernel that refuses leaves us with them.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    dumpscope::cli::main()
}
