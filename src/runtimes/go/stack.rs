//! A thread's stack continued where Go left it for the system's: on the goroutine's own.

use crate::job::Job;
use crate::model::{NamedFrame, OsThread, Stack};
use crate::runtimes::Scene;
use crate::unwind::Unwinder;

use super::goroutine::OfThread;

/// Functions that go over to the system's stack; what follows them there called nothing.
// Source: Go src/runtime/asm_amd64.s and asm_arm64.s.
const SWITCHES: [&str; 4] = ["runtime.systemstack", "runtime.mcall", "runtime.morestack", "runtime.asmcgocall"];

/// A thread with its goroutines.
pub(super) struct Joined {
    pub thread: OsThread,
    /// Of the system's stack down to where it was entered, then the goroutine's.
    pub stack: Stack,
    pub frames: Vec<NamedFrame>,
    pub goroutines: Option<OfThread>,
}

/// A function's name as Go's source has it: without the mark of its calling convention.
pub(super) fn plain(function: &str) -> &str {
    function.strip_suffix(".abi0").or_else(|| function.strip_suffix(".abiinternal")).unwrap_or(function)
}

impl Joined {
    pub(super) fn of(scene: &Scene<'_>, unwinder: &Unwinder, thread: &OsThread, stack: &Stack, job: &Job) -> Joined {
        let target = scene.target;
        let memory = &target.memory;
        let goroutines = OfThread::find(memory, thread, stack);
        let user = goroutines.and_then(|found| found.user);
        let on_its_stack =
            user.is_some_and(|user| stack.frames.iter().any(|frame| user.has_on_stack(memory, frame.sp)));
        let mut joined = stack.clone();
        if let Some(user) = user.filter(|_| !on_its_stack)
            && let Some(registers) = user.saved(memory, target.arch())
        {
            let frames = scene.named(&stack.frames);
            let switch = frames.iter().position(|frame| {
                frame.function.as_deref().is_some_and(|function| SWITCHES.contains(&plain(function)))
            });
            // Named frames are more than the walked ones: inlined calls share their place.
            if let Some(kept) = switch.and_then(|at| frames.get(at)?.walked.checked_add(1)) {
                let rest = unwinder.walk_from(&registers, job);
                joined = joined.joined(kept, &rest);
            }
        }
        let frames = scene.named(&joined.frames);
        Joined { thread: thread.clone(), stack: joined, frames, goroutines }
    }

    /// Position among the named frames of the first that has one of these names.
    pub(super) fn position(&self, names: &[&str]) -> Option<usize> {
        let is =
            |frame: &NamedFrame| frame.function.as_deref().is_some_and(|function| names.contains(&plain(function)));
        self.frames.iter().position(is)
    }
}
