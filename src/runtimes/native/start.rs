//! What a thread was started to do: the label of a nameless thread.
//!
//! glibc keeps the start routine in the thread's control block; elsewhere it is the outermost frame outside the C library. The
//! wrappers of `std::thread` (C++ and Rust) are looked through to the program's own function.

use std::sync::Arc;

use crate::model::frame::path;
use crate::model::runtime_code::is_runtime_function;
use crate::model::{End, Tid};

use super::ground::Ground;

/// The start routine's name without parameters, `pool::run`; `None` when nothing names it.
pub(super) fn start(ground: &Ground<'_>, index: usize) -> Option<String> {
    let thread = ground.scene.threads.get(index)?;
    if ground.scene.target.capture.process.pid.as_ref().is_ok_and(|pid| Tid(*pid) == thread.tid) {
        return Some("main".to_owned());
    }
    let recorded = recorded(ground, index);
    if let Some(name) = recorded.as_deref().filter(|name| !is_runtime_function(name, ground.libc.in_executable)) {
        return Some(path(name).to_owned());
    }
    let calls = ground.situation(index)?.calls.outer.as_slice();
    // The outermost frame of a stack that was cut short is not where the thread began: the C library's is.
    if ground.scene.stacks.get(index)?.end != End::Bottom && !calls.first()?.runtime {
        return None;
    }
    let names = calls.iter().filter(|call| !call.runtime).filter_map(|call| call.name.as_deref());
    // musl's own first function, in pthread_create.c, has a name that a program might use too.
    let mut names = names.enumerate().filter(|(at, name)| *at > 0 || *name != "start" || !ground.libc.is_musl());
    names.next().map(|(_, name)| path(name).to_owned())
}

/// The name of the start routine in the control block.
fn recorded(ground: &Ground<'_>, index: usize) -> Option<Arc<str>> {
    let thread = ground.scene.threads.get(index)?;
    let member = ground.libc.start_routine?.of(*thread.thread_pointer.as_ref().ok()?).ok()?;
    let routine = ground.scene.target.memory.ptr(member).ok()?;
    ground.scene.target.name(routine)?.parts.last()?.function.clone()
}
