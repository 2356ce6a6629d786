//! A live process becomes a core: stopped, read, let go again.
//!
//! Input: a process id, a type of dump, a destination. Output: an ELF core that gdb, lldb and .NET's tools read, with a
//! note of our own ([`crate::capture::facts`]). The order of things: what the kernel tells of the process is read while
//! it still runs; all threads are stopped; their registers and the list of mappings are read; memory goes to the sink;
//! the threads go on. Nothing of the target is changed, save in [`Mode::Fork`].

mod beyond;
mod copied;
mod copy;
mod deleted;
mod faults;
mod file_facts;
mod fork;
mod freeze;
mod gather;
mod guard;
mod holes;
mod identity;
mod images;
mod inject;
mod layout;
mod live;
mod maps;
mod mini;
mod notes;
mod others;
mod output;
mod packed;
mod pages;
mod peek;
mod request;
mod run;
mod scene;
mod scrub;
mod select;
mod sink;
mod source;
mod spare;
mod stock;
mod stops;
mod text;
mod thin;
mod threads;
mod transfer;
mod unwind_table;
mod work;

pub use self::guard::end_copy;
pub use self::identity::Identity;
pub use self::request::{Collected, Destination, Kind, Mode, Needed, Request};

use crate::error::Error;
use crate::job::Job;

/// Dumps a process. `say` is told of each step. Cancelling `job` lets the process go at once and leaves no file.
pub fn collect(request: &Request, job: &Job, say: &(dyn Fn(&str) + Sync)) -> Result<Collected, Error> {
    // Tracees belong to a thread, and go when it ends, however it ends.
    std::thread::scope(|scope| {
        let traced = scope.spawn(|| run::run(request, None, job, say));
        traced.join().unwrap_or_else(|_| Err(Error::Failed("a bug in dumpscope; the process goes on".to_owned())))
    })
}

/// Dumps a process all of whose threads that can be read are stopped already, traced by the thread that calls: by id,
/// each with the signal that it is about to take, 0 for none. They stay stopped. In other respects as [`collect`],
/// always in [`Mode::Direct`].
pub fn collect_stopped(
    request: &Request,
    stopped: &[(u32, i32)],
    job: &Job,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Collected, Error> {
    let request = Request { mode: Mode::Direct, ..request.clone() };
    run::run(&request, Some(stopped), job, say)
}

/// Removes what an unfinished dump has left, for a process that is about to end without unwinding.
pub fn abandon() {
    output::remove_partial();
}
