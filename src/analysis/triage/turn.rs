//! Who has the turn that others wait for, where a runtime lets one thread run at a time and does not tell it in a lock.
//!
//! A thread that waits for its turn shows that another one has it: else it would not wait. Where just one other thread is inside of the
//! runtime's interpreter and does not wait for its turn, it is that one.

use crate::model::frame::path;
use crate::model::thread::Nature;
use crate::model::{Subject, Thread, Tid, WaitingOn};

use super::case::Case;
use super::finding::{Fact, Sentence};

/// What is waited for by its first words, and the beginnings of functions that run with it.
// Sources: CPython 3.2 to 3.14 Python/ceval.c; Ruby 2.6 to 3.4 vm.c.
const INTERPRETERS: [(&str, &[&str]); 2] = [
    ("the GIL of Python", &["_PyEval_EvalFrame", "PyEval_EvalFrame", "_PyEval_Vector"]),
    ("the VM lock of Ruby", &["rb_vm_exec", "vm_exec"]),
];

/// The thread that has the turn; `None` where that cannot be told.
pub(super) fn holder(case: &Case<'_>, waiting: &WaitingOn) -> Option<Tid> {
    let words = waiting.detail.as_deref().filter(|_| waiting.nature == Nature::Turn)?;
    let (_, functions) = INTERPRETERS.iter().find(|(what, _)| words.starts_with(what))?;
    let waits = |thread: &Thread| thread.waiting_on.as_ref().is_some_and(|waiting| waiting.nature == Nature::Turn);
    let runs_in = |tid: Tid| {
        let names = case.frames(tid).iter().filter_map(|frame| frame.function.as_deref()).map(path);
        names.into_iter().any(|name| functions.iter().any(|beginning| name.starts_with(beginning)))
    };
    let mut inside =
        case.threads.iter().filter(|thread| !waits(thread) && runs_in(thread.tid)).map(|thread| thread.tid);
    let only = inside.next()?;
    inside.next().is_none().then_some(only)
}

/// Why it is that one.
pub(super) fn evidence(case: &Case<'_>, holder: Tid) -> Fact {
    let words = Sentence::of("that ")
        .part(case.call(holder))
        .text(" has it is inferred: no other thread is inside of the interpreter");
    words.about(Subject::Thread(holder))
}

/// The thread among those that wait for their turn which holds what the turn's holder waits for.
pub(super) fn waits_for_one_of(case: &Case<'_>, holder: Tid, waiters: &[&Thread]) -> Option<Tid> {
    let address = case.thread(holder)?.waiting_on.as_ref()?.address?;
    let owner = case.locks.iter().find(|lock| lock.address == address)?.owner_tid()?;
    waiters.iter().any(|thread| thread.tid == owner).then_some(owner)
}
