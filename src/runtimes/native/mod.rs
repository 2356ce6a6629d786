//! Native code: C, C++ and Rust on glibc or musl. Every process has it.
//!
//! Threads and what they wait for come from saved system calls and named frames; lock owners from the structures of the
//! C library, whose layouts stand in docs/layouts/.

mod beyond;
mod callee;
mod calls;
mod contracts;
mod exceptions;
mod function_start;
mod heap;
mod libc;
mod locks;
mod observations;
mod rtti;
mod rust_names;
mod start;
mod static_tls;
mod syscalls;
mod threads;
mod tids;
mod waits;

pub use self::exceptions::{abort_exception, signal_exception};

use std::sync::Arc;

use crate::error::Error;
use crate::heap::HeapSource;
use crate::job::{Job, Shared};
use crate::model::{Acquisition, Exception, Lock, Partial, Problem, Thread};
use crate::target::Target;
use crate::unwind::Unwinder;

use self::locks::Recognised;
use self::observations::{Facts, Observations};
use super::{Runtime, RuntimeKind, Scene};

/// How native code is recognised: it always is there.
pub const KIND: RuntimeKind = RuntimeKind { name: "native", detect: |_| Ok(Some(Box::new(Native::default()))) };

/// The native runtime of a target. Nothing is read before it is asked: stacks are walked without.
#[derive(Default)]
pub struct Native {
    base: Shared<Base>,
    /// What is known of the threads and what they wait for; a session's scene is the same each time.
    facts: Shared<Facts>,
    recognised: Shared<Recognised>,
}

/// The C library, whose symbols are opened for it, and the ids that it gave its threads.
struct Base {
    libc: libc::Libc,
    tids: tids::Tids,
}

impl Native {
    fn base(&self, target: &Target, job: &Job) -> Result<Arc<Base>, Error> {
        self.base.get(job, |_| {
            let libc = libc::Libc::detect(target);
            let facts = target.capture.facts.as_deref();
            let tids = tids::Tids::read(libc.tid, &target.capture.threads, &target.memory, facts);
            Ok(Base { libc, tids })
        })
    }

    /// Answers from what is known of the threads and from the locks that they wait for.
    fn answer<T>(
        &self,
        scene: &Scene<'_>,
        job: &Job,
        answer: impl FnOnce(&Observations<'_>, &Recognised) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let base = self.base(scene.target, job)?;
        let facts = self.facts.get(job, |job| Facts::read(scene, &base.libc, job))?;
        let observations = Observations::new(scene, &base.libc, &base.tids, &facts);
        let recognised = self.recognised.get(job, |job| Recognised::of(&observations, job))?;
        answer(&observations, &recognised)
    }
}

impl Runtime for Native {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn annotate(&self, threads: &mut [Thread], scene: &Scene<'_>, job: &Job) -> Result<Vec<Problem>, Error> {
        self.answer(scene, job, |observations, recognised| threads::annotate(threads, observations, recognised, job))
    }

    fn locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        self.answer(scene, job, |observations, recognised| locks::locks(observations, recognised, job))
    }

    fn acquisitions(&self, scene: &Scene<'_>, threads: &[usize], job: &Job) -> Result<Vec<Vec<Acquisition>>, Error> {
        self.answer(scene, job, |observations, recognised| locks::acquisitions(observations, recognised, threads, job))
    }

    fn held_locks(&self, scene: &Scene<'_>, job: &Job) -> Result<Partial<Vec<Lock>>, Error> {
        self.answer(scene, job, |observations, recognised| locks::held(observations, recognised, job))
    }

    fn has_heap(&self, _: &Arc<Target>, _: &Job) -> Result<bool, Error> {
        // Every process allocates. Whether the allocator is one that is known is told when its heap is asked for: looking for it would
        // keep the first screen waiting.
        Ok(true)
    }

    fn heap(&self, target: &Arc<Target>, job: &Job) -> Result<Option<Arc<dyn HeapSource>>, Error> {
        Ok(heap::NativeHeap::find(target, job)?.map(|heap| Arc::new(heap) as _))
    }

    fn exceptions(&self, scene: &Scene<'_>, _unwinder: &Unwinder, job: &Job) -> Result<Partial<Vec<Exception>>, Error> {
        exceptions::exceptions(scene, &self.base(scene.target, job)?.libc, job)
    }
}
