//! What a thread was started to do: the label of a nameless thread.
//!
//! glibc keeps the start routine in the thread's control block; elsewhere it is the outermost frame outside the C library. The
//! wrappers of `std::thread` (C++ and Rust) are looked through to the program's own function.

use std::sync::Arc;

use crate::marks::code::is_runtime_function;
use crate::model::frame::path;
use crate::model::{End, Tid};

use super::observations::Observations;

/// The start routine's name without parameters, `pool::run`; `None` when nothing names it.
pub(super) fn start(observations: &Observations<'_>, index: usize) -> Option<String> {
    let thread = observations.scene.threads.get(index)?;
    if observations.scene.target.capture.process.pid.as_ref().is_ok_and(|pid| Tid(*pid) == thread.tid) {
        return Some("main".to_owned());
    }
    let recorded = recorded(observations, index);
    if let Some(name) = recorded.as_deref().filter(|name| !is_runtime_function(name, observations.libc.in_executable)) {
        return Some(path(name).to_owned());
    }
    let calls = observations.situation(index)?.calls.outer.as_slice();
    // The outermost frame of a stack that was cut short is not where the thread began: the C library's is.
    if observations.scene.stacks.get(index)?.end != End::Bottom && !calls.first()?.runtime {
        return None;
    }
    let names = calls.iter().filter(|call| !call.runtime).filter_map(|call| call.name.as_deref());
    // musl's own first function, in pthread_create.c, has a name that a program might use too.
    let mut names = names.enumerate().filter(|(at, name)| *at > 0 || *name != "start" || !observations.libc.is_musl());
    names.next().map(|(_, name)| path(name).to_owned())
}

/// The name of the start routine in the control block.
fn recorded(observations: &Observations<'_>, index: usize) -> Option<Arc<str>> {
    let thread = observations.scene.threads.get(index)?;
    let member = observations.libc.start_routine?.of(*thread.thread_pointer.as_ref().ok()?).ok()?;
    let routine = observations.scene.target.memory.ptr(member).ok()?;
    observations.scene.target.name(routine)?.parts.last()?.function.clone()
}
