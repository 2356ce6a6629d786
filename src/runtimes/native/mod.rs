//! Native code: C, C++ and Rust on glibc or musl. Every process has it.
//!
//! Threads and what they wait for come from saved system calls and named frames; lock owners from the structures of the
//! C library, whose layouts stand in docs/layouts/.

mod calls;
pub mod exceptions;
mod libc;
mod locks;
pub mod runtime_code;
mod rust_names;
mod start;
mod syscalls;
mod threads;
mod tids;
mod variables;
mod waits;

use crate::error::Error;
use crate::job::Job;
use crate::model::{Exception, Lock, Partial, Thread};
use crate::target::Target;
use crate::unwind::Unwinder;

use super::{Runtime, RuntimeKind, Scene};

/// How native code is recognised: it always is there.
pub const KIND: RuntimeKind = RuntimeKind { name: "native", detect: |target| Ok(Some(Box::new(Native::of(target)))) };

/// The native runtime of a target.
pub struct Native {
    libc: libc::Libc,
    tids: tids::Tids,
}

impl Native {
    fn of(target: &Target) -> Native {
        let libc = libc::Libc::detect(target);
        let tids = tids::Tids::read(&libc, &target.capture.threads, &target.memory);
        Native { libc, tids }
    }
}

impl Runtime for Native {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn threads(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Thread>>, Error> {
        threads::threads(&locks::Ground::of(scene, &self.libc, &self.tids, job)?, job)
    }

    fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        locks::locks(&locks::Ground::of(scene, &self.libc, &self.tids, job)?, job)
    }

    fn exceptions(&self, scene: &Scene<'_>, unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        exceptions::exceptions(scene, unwinder, job)
    }
}
