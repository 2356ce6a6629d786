//! Native code: C, C++ and Rust on glibc or musl. Every process has it.
//!
//! Threads and what they wait for come from saved system calls and named frames; lock owners from the structures of the
//! C library, whose layouts stand in docs/layouts/.

mod callee;
mod calls;
mod exceptions;
mod function_start;
mod ground;
mod libc;
mod locks;
mod rust_names;
mod start;
mod static_tls;
mod syscalls;
mod threads;
mod tids;
mod waits;

pub use self::exceptions::{abort_exception, signal_exception};

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;
use crate::job::Job;
use crate::model::{Exception, Lock, Partial, Taking, Thread};
use crate::target::Target;
use crate::unwind::Unwinder;

use self::ground::{Facts, Ground};
use super::{Runtime, RuntimeKind, Scene};

/// How native code is recognised: it always is there.
pub const KIND: RuntimeKind = RuntimeKind { name: "native", detect: |target| Ok(Some(Box::new(Native::of(target)))) };

/// The native runtime of a target.
pub struct Native {
    libc: libc::Libc,
    tids: tids::Tids,
    /// Read when first asked for; a session's scene is the same each time.
    facts: Mutex<Option<Arc<Facts>>>,
}

impl Native {
    fn of(target: &Target) -> Native {
        let libc = libc::Libc::detect(target);
        let facts = target.capture.facts.as_deref();
        let tids = tids::Tids::read(&libc, &target.capture.threads, &target.memory, facts);
        Native { libc, tids, facts: Mutex::default() }
    }

    fn ground<'a>(&'a self, scene: &'a Scene<'a>, job: &Job) -> Result<Ground<'a>, Error> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &*facts {
            Some(known) => Arc::clone(known),
            None => Arc::clone(facts.insert(Arc::new(Facts::read(scene, &self.libc, job)?))),
        };
        Ok(Ground::new(scene, &self.libc, &self.tids, known))
    }
}

impl Runtime for Native {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn threads(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Thread>>, Error> {
        threads::threads(&self.ground(scene, job)?, job)
    }

    fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        locks::locks(&self.ground(scene, job)?, job)
    }

    fn takings(&self, scene: &Scene<'_>, threads: &[usize], job: &Job) -> Result<Vec<Vec<Taking>>, Error> {
        locks::takings(&self.ground(scene, job)?, threads, job)
    }

    fn held_locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        locks::held(&self.ground(scene, job)?, job)
    }

    fn exceptions(&self, scene: &Scene<'_>, _unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        exceptions::exceptions(scene, &self.libc, job)
    }
}
