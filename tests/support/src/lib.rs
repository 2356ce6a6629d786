//! What the tests share: a fixture built, run and dumped (`dump`, `Running`), its truth (`Truth`), and the program
//! run on it (`dumpscope!`, `Output`).
//!
//! The recipes are those of `fixtures/make`; this crate only calls that script and reads what it leaves, so a developer
//! gets the same dumps by hand. Each variant is made once for a state of its sources and shared by all tests, which run
//! as processes of their own: the script takes a lock. Everything here panics with the reason, since its callers are tests.

pub mod core_parts;
pub mod core_writer;
mod crash_report;
mod dotnet;
pub mod dotnet_locks;
mod eu_stack;
mod fixture;
mod frames;
mod gdb;
mod left_out;
mod output;
mod process;
mod running;
mod single_file;
mod truth;

pub use crash_report::{CrashReport, ReportedFrame, csharp, plain};
pub use dotnet::Dotnet;
pub use eu_stack::eu_stacks;
pub use fixture::{Dump, build, dump, fixtures_dir, repository};
pub use frames::{Stack, is_named};
pub use gdb::{GdbFrame, gdb_stacks};
pub use left_out::left_out;
pub use output::{Output, difference, run, without_remainders};
pub use process::{Started, copy_program, said, signal};
pub use running::{Running, wait_for};
pub use single_file::{SingleFileHost, Stored};
pub use truth::{Expected, Truth, as_address};

/// Runs the built `dumpscope` with these arguments (anything that is an `AsRef<OsStr>`) and returns its [`Output`].
/// A macro, because only the crate of an integration test knows where the binary is.
#[macro_export]
macro_rules! dumpscope {
    ($($argument:expr),* $(,)?) => {{
        let mut command = ::std::process::Command::new(env!("CARGO_BIN_EXE_dumpscope"));
        $( command.arg($argument); )*
        $crate::run(command)
    }};
}
