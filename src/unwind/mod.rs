//! Walks a thread's stack.

use std::sync::Arc;

use crate::job::Job;
use crate::model::{End, Frame, FrameKind, OsThread, Registers, Stack, Trust};
use crate::target::Target;

/// Unwinds threads of one target.
pub struct Unwinder {
    #[expect(dead_code, reason = "callers are found with the modules' unwind tables, which are not read yet")]
    target: Arc<Target>,
}

impl Unwinder {
    /// An unwinder over a target.
    pub fn new(target: Arc<Target>) -> Unwinder {
        Unwinder { target }
    }

    /// The thread's stack.
    pub fn walk(&self, thread: &OsThread, job: &Job) -> Stack {
        match &thread.registers {
            Ok(registers) => self.walk_from(registers, job),
            Err(_) => Stack { frames: Vec::new(), registers: Vec::new(), end: End::NoMemory },
        }
    }

    /// The stack from given registers.
    pub fn walk_from(&self, registers: &Registers, _job: &Job) -> Stack {
        let (Some(pc), Some(sp)) = (registers.pc(), registers.sp()) else {
            return Stack { frames: Vec::new(), registers: Vec::new(), end: End::NoMemory };
        };
        let frame = Frame { pc, returns: false, sp, cfa: None, kind: FrameKind::Native, trust: Trust::Context };
        Stack { frames: vec![frame], registers: vec![registers.clone()], end: End::NoUnwindInfo }
    }
}
