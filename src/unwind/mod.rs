//! From a thread's registers up its stack.
//!
//! For every frame the strongest method that works is taken, and the frame says which ([`Trust`]): the rule of the runtime whose code it is
//! ([`Unwind`]), call frame information ([`cfi`],
//! [`row`]), the kernel's signal frame ([`signal`]), Go's own table of frames ([`go`]), the instructions themselves ([`confirm`], by [`flow`] and
//! [`epilogue`]), the chain of frame pointers ([`frame_pointer`]), and words of the stack that follow a call ([`scan`]). What is known of a place in the
//! code is kept ([`cache`]), so that a thousand threads that stand at the same places cost as much as their words.

mod aarch64;
mod cache;
pub mod call;
pub mod cfi;
mod chain;
mod code;
mod confirm;
mod epilogue;
pub mod expression;
mod flow;
mod frame_pointer;
mod go;
mod image;
mod instructions;
mod ops;
mod own;
mod room;
pub mod row;
mod rules;
mod scan;
#[cfg(test)]
mod scene;
mod signal;
mod start;
mod walk;
pub mod words;
mod x86_64;

use std::sync::Arc;

pub use self::own::{Beyond, OwnFrame, Step, Unwind};

use self::code::CodeMap;
use self::walk::Walk;
use crate::capture::Memory;
use crate::job::Job;
use crate::model::{Addr, End, Frame, OsThread, Registers, Stack};
use crate::target::Target;

/// Whether the function that begins at `start` is the one in which a frame stands: its code leads there, and leaves the return address
/// where the frame ends. Looks at a few thousand instructions at most.
pub fn leads_to(memory: &Memory, start: Addr, frame: &Frame, registers: &Registers) -> bool {
    let slot = frame.cfa.and_then(|base| base.minus(8));
    match flow::follow(memory, registers.arch(), start, frame.pc, frame.returns).0 {
        flow::Flow::Reached(row, framed) => {
            let mut rules = std::iter::once(&row).chain(&framed);
            slot.is_some() && rules.any(|rules| rules.return_slot(registers) == Ok(slot))
        }
        _ => false,
    }
}

/// Unwinds the threads of one target; tables are read once for each module and shared between threads.
pub struct Unwinder {
    code: CodeMap,
}

impl Unwinder {
    /// Prepares the unwinding of a target's threads. Reads nothing yet.
    pub fn new(target: Arc<Target>) -> Unwinder {
        Unwinder::with(target, Vec::new())
    }

    /// The same, where runtimes unwind code of their own. Of two that own the same code the first one is asked.
    pub fn with(target: Arc<Target>, own: Vec<Arc<dyn Unwind>>) -> Unwinder {
        Unwinder { code: CodeMap::new(target, own) }
    }

    /// The stack of a thread. Its frames are empty where the dump does not hold the thread's registers. A cancelled job ends the stack
    /// early, with [`End::Limit`].
    pub fn walk(&self, thread: &OsThread, job: &Job) -> Stack {
        match &thread.registers {
            Ok(registers) => {
                let stack = self.walk_from(registers, job);
                self.forget_pages(&stack);
                stack
            }
            Err(_) => Stack::without_registers(Vec::new(), End::NoMemory),
        }
    }

    /// Gives the pages of a walked stack back: a thousand stacks would count as 64 MB of ours.
    fn forget_pages(&self, stack: &Stack) {
        if let (Some(first), Some(last)) = (stack.frames.first(), stack.frames.last()) {
            let len = last.sp.since(first.sp).unwrap_or(0).saturating_add(1);
            self.code.memory().forget_pages(first.sp, len);
        }
    }

    /// The stack above arbitrary registers, those of an exception in flight for example.
    pub fn walk_from(&self, registers: &Registers, job: &Job) -> Stack {
        Walk::new(&self.code).run(registers, job)
    }
}
