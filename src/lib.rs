//! dumpscope: opens a dump of a process and says why it hung, crashed or grew.
//!
//! `file or pid → capture → unwind + symbols → runtimes → model → analysis → views → Answer → json | text | tui`.
//! Who may import whom stands in docs/architecture.md and is kept by `tests/layers`.

pub mod analysis;
pub mod capture;
pub mod cli;
pub mod commands;
pub mod demo;
pub mod error;
pub mod heap;
pub mod job;
pub mod log;
pub mod marks;
pub mod model;
pub mod on_crash;
pub mod processes;
mod ptrace;
pub mod report;
pub mod runtimes;
pub mod scratch;
pub mod session;
pub mod settings;
pub mod target;
pub mod tui;
pub mod unwind;
pub mod variables;
pub mod views;
